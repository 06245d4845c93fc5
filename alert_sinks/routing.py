"""The routing tree: which sinks a revision of an incident goes to, as data (``routing.toml``).

A decision depends on the incident alone, so a repetition goes where the original went.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, get_args

import msgspec
from msgspec import Meta, Struct

from streams.errors import Mend
from streams.records import Incident, IncidentEvent

DEFAULT = Path(__file__).parent / "routing.toml"


class RouteMatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Every named condition must hold; an empty list or absent flag matches anything."""

    levels: list[Annotated[int, Meta(ge=1, le=4)]] = []
    categories: list[str] = []
    events: list[IncidentEvent] = []
    cities: list[str] = []
    exercise: bool | None = None
    historical: bool | None = None

    def holds(self, incident: Incident) -> bool:
        return (
            (not self.levels or incident.level in self.levels)
            and (not self.categories or incident.category in self.categories)
            and (not self.events or incident.event in self.events)
            and (not self.cities or incident.city in self.cities)
            and (self.exercise is None or incident.exercise == self.exercise)
            and (self.historical is None or incident.historical == self.historical)
        )


class Route(Struct, frozen=True, forbid_unknown_fields=True, rename={"continue_": "continue"}):
    """One node of the tree. ``continue``: the node's younger siblings are looked at, too."""

    sinks: list[str] = []
    match: RouteMatch = RouteMatch()
    continue_: bool = False
    routes: list[Route] = []

    def walk(self) -> Iterator[Route]:
        yield self
        for route in self.routes:
            yield from route.walk()


class Routing:
    """The tree with the names of its sinks checked against those there are."""

    def __init__(self, root: Route) -> None:
        self.root = root

    @classmethod
    def from_file(cls, path: str | Path | None, known: Collection[str]) -> Routing:
        """Raises :class:`Mend` for a file that cannot be read, an unknown key or a sink that does not exist."""
        file = Path(path) if path else DEFAULT
        try:
            root = msgspec.convert(tomllib.loads(file.read_text()), Route)
        except OSError as error:
            raise Mend(f"cannot be read ({error.strerror})", where=str(file), mend="name an existing routing file") from None
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            events = f" (events are {', '.join(get_args(IncidentEvent))})" if "enum" in str(error) else ""
            raise Mend(f"{error}{events}", where=str(file), mend="see the comment in alert_sinks/routing.toml") from None
        for route in root.walk():
            for sink in route.sinks:
                if sink not in known:
                    near = difflib.get_close_matches(sink, known, n=1, cutoff=0.0)
                    raise Mend(f"{sink!r} is no sink", where=str(file), mend=f"did you mean {near[0]!r}?" if near else "")
        return cls(root)

    def sinks_for(self, incident: Incident) -> list[str]:
        """Names of the sinks, in the order of the tree, each once."""
        found: dict[str, None] = {}
        self._collect(self.root, incident, found)
        return list(found)

    def _collect(self, route: Route, incident: Incident, found: dict[str, None]) -> None:
        found.update(dict.fromkeys(route.sinks))
        for child in route.routes:
            if child.match.holds(incident):
                self._collect(child, incident, found)
                if not child.continue_:
                    return

"""Truth files: what really happened, and how well incidents tell it.

A truth file is ``truth.jsonl`` (one hazard per line) or ``labels.csv`` with the same columns: ``hazard_id category lat lon
radius_m from_ts to_ts level entities[] note``. An incident finds a hazard when category, place (within ``radius_m`` + 100 m)
and time (opened between ``from_ts`` and ``to_ts`` + 10 min) agree. A second incident of one hazard is a duplicate; an incident
that agrees with no hazard is false.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from replay.recording import lines_of
from streams.errors import Mend
from streams.event_time import epoch_ms
from streams.geography import haversine_m
from streams.records import Incident

#: What a place and a time in a truth file may be off (contract).
NEAR_M = 100.0
LATE_MS = 600_000
COLUMNS = ("hazard_id", "category", "lat", "lon", "radius_m", "from_ts", "to_ts", "level", "entities", "note")


class Hazard(Struct, kw_only=True):
    """One real happening. Without ``lat`` and ``lon`` the place agrees with everything that names one of ``entities`` (and
    with everything where there are none)."""

    hazard_id: str
    category: str
    from_ts: int | str
    to_ts: int | str
    lat: float | None = None
    lon: float | None = None
    radius_m: float = 0.0
    level: int | None = None
    entities: list[str] = []
    note: str = ""


@dataclass(slots=True)
class Found:
    """``delay_s``: from the hazard's beginning to the opening of the incident that found it first."""

    hazard_id: str
    category: str
    incident_id: str
    delay_s: float
    level: int
    level_expected: int | None
    duplicates: list[str]


@dataclass(slots=True)
class Verdict:
    """``hazards_found``, ``missed``, ``duplicates`` and ``false_incidents`` name them; the counts are properties.

    Incidents marked ``historical`` or ``exercise`` are shown, never dispatched, so they can find a hazard but are not false.
    """

    hazards: int
    hazards_found: list[Found] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    false_incidents: list[Incident] = field(default_factory=list)
    incidents: int = 0

    @property
    def found(self) -> int:
        return len(self.hazards_found)

    @property
    def duplicate(self) -> int:
        return len(self.duplicates)

    @property
    def false(self) -> int:
        return len(self.false_incidents)

    @property
    def recall(self) -> float | None:
        return self.found / self.hazards if self.hazards else None

    @property
    def precision(self) -> float | None:
        """Share of the incidents that are not false."""
        return (self.incidents - self.false) / self.incidents if self.incidents else None

    def by_category(self) -> dict[str, dict[str, int]]:
        """Per category: found, false."""
        counts: dict[str, dict[str, int]] = {}
        for one in self.hazards_found:
            counts.setdefault(one.category, {"found": 0, "false": 0})["found"] += 1
        for incident in self.false_incidents:
            counts.setdefault(incident.category, {"found": 0, "false": 0})["false"] += 1
        return dict(sorted(counts.items()))

    def as_json(self) -> dict[str, Any]:
        delays = sorted(one.delay_s for one in self.hazards_found)
        return {
            "hazards": self.hazards,
            "found": self.found,
            "missed": self.missed,
            "duplicate": self.duplicate,
            "duplicates": self.duplicates,
            "false": self.false,
            "false_level_1_2": sum(incident.level <= 2 for incident in self.false_incidents),
            "false_incidents": [
                {"incident_id": one.incident_id, "category": one.category, "level": one.level, "title": one.title}
                for one in self.false_incidents
            ],
            "incidents": self.incidents,
            "recall": self.recall,
            "precision": self.precision,
            "delay_s": {
                "p50": delays[len(delays) // 2] if delays else None,
                "max": delays[-1] if delays else None,
            },
            "hazards_found": [
                {
                    "hazard_id": one.hazard_id,
                    "incident_id": one.incident_id,
                    "delay_s": one.delay_s,
                    "level": one.level,
                    "level_expected": one.level_expected,
                }
                for one in self.hazards_found
            ],
        }


def read_truth(path: Path) -> list[Hazard]:
    """The hazards of a ``truth.jsonl`` (or .gz) or a ``.csv``. Raises :class:`Mend` with file and line."""
    lines = [line for line in lines_of(path) if line.strip()]
    if path.name.removesuffix(".gz").endswith(".csv"):
        return _table(path, lines)
    return [_hazard(_decoded(line, f"{path}:{number}"), f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _decoded(line: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Mend(f"is not JSON ({error})", where, "one hazard per line, as JSON") from error


def _table(path: Path, lines: list[bytes]) -> list[Hazard]:
    hazards: list[Hazard] = []
    text = io.StringIO(b"\n".join(lines).decode("utf-8-sig", "replace"), newline="")
    for number, row in enumerate(csv.DictReader(text), 2):
        given: dict[str, Any] = {name.strip(): value.strip() for name, value in row.items() if name and value and value.strip()}
        if "entities" in given:
            # Written by hand with ; or |, by programs with blanks.
            given["entities"] = given["entities"].replace(";", " ").replace("|", " ").split()
        hazards.append(_hazard(given, f"{path}:{number}"))
    return hazards


def _hazard(given: Any, where: str) -> Hazard:
    try:
        hazard = msgspec.convert(given, Hazard, strict=False)
        hazard.from_ts, hazard.to_ts = _instant(hazard.from_ts), _instant(hazard.to_ts)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise Mend(f"is not a hazard: {error}", where, f"columns are {' '.join(COLUMNS)}") from error
    return hazard


def _instant(given: int | str) -> int:
    return int(given) if isinstance(given, str) and given.lstrip("-").isdigit() else epoch_ms(given)


def _agree(hazard: Hazard, incident: Incident) -> bool:
    start, end = epoch_ms(hazard.from_ts), epoch_ms(hazard.to_ts)
    if incident.category != hazard.category or not start <= incident.opened_ts <= end + LATE_MS:
        return False
    if hazard.lat is None or hazard.lon is None or incident.location is None:
        # Nothing to measure: the entities decide, where the truth names any.
        named = set(hazard.entities)
        return not named or any(one.entity in named for one in incident.evidence)
    lon, lat = incident.location.coordinates
    return float(haversine_m(hazard.lat, hazard.lon, lat, lon)) <= hazard.radius_m + NEAR_M


def judge(truth: Iterable[Hazard | Mapping[str, Any]], incidents: Iterable[Incident]) -> Verdict:
    """Match incidents (any revisions of them, in order) with the truth.

    An incident agrees with a hazard if any of its revisions does; one that was merged speaks for the incident it went into.
    Where several incidents and hazards agree, each hazard gets an incident of its own as far as possible; only the rest is
    duplicate.
    """
    hazards = [one if isinstance(one, Hazard) else _hazard(dict(one), "truth") for one in truth]
    hazards.sort(key=lambda hazard: (epoch_ms(hazard.from_ts), hazard.hazard_id))
    told = _told(incidents)
    agreeing: list[list[int]] = [
        [number for number, revisions in enumerate(told) if any(_agree(hazard, one) for one in revisions)] for hazard in hazards
    ]
    own = _own(agreeing)
    verdict = Verdict(len(hazards))
    taken: set[int] = set(own.values())
    for place, hazard in enumerate(hazards):
        if not agreeing[place]:
            verdict.missed.append(hazard.hazard_id)
            continue
        first = told[own.get(place, agreeing[place][0])]
        more = [told[number][-1].incident_id for number in agreeing[place] if number not in taken]
        opened = min(one.opened_ts for one in first)
        verdict.hazards_found.append(
            Found(
                hazard.hazard_id,
                hazard.category,
                first[-1].incident_id,
                (opened - epoch_ms(hazard.from_ts)) / 1000,
                min(one.level for one in first),
                hazard.level,
                more,
            )
        )
        verdict.duplicates += [name for name in more if name not in verdict.duplicates]
    matched = {number for numbers in agreeing for number in numbers}
    for number, revisions in enumerate(told):
        quiet = revisions[-1].historical or revisions[-1].exercise
        verdict.incidents += not quiet or number in matched
        if number not in matched and not quiet:
            verdict.false_incidents.append(revisions[-1])
    return verdict


def _told(incidents: Iterable[Incident]) -> list[list[Incident]]:
    """Revisions per incident in order of opening; those of a merged one count with the incident it went into."""
    by_id: dict[str, list[Incident]] = {}
    for incident in incidents:
        by_id.setdefault(incident.incident_id, []).append(incident)
    into = {name: revisions[-1].merged_into for name, revisions in by_id.items() if revisions[-1].status == "merged"}
    kept: dict[str, list[Incident]] = {name: revisions for name, revisions in by_id.items() if name not in into}
    for name in into:
        survivor, seen = name, set[str]()
        while survivor in into and survivor not in seen:
            seen.add(survivor)
            survivor = into[survivor] or survivor
        if survivor in kept and survivor != name:
            kept[survivor] = by_id[name] + kept[survivor]
        else:
            kept[name] = by_id[name]
    return sorted(kept.values(), key=lambda revisions: (revisions[-1].opened_ts, revisions[-1].incident_id))


def _own(agreeing: Sequence[Sequence[int]]) -> dict[int, int]:
    """As many hazards as possible with an incident of their own (augmenting paths), earlier ones first."""
    holder: dict[int, int] = {}

    def place(hazard: int, tried: set[int]) -> bool:
        for incident in agreeing[hazard]:
            if incident not in tried:
                tried.add(incident)
                if incident not in holder or place(holder[incident], tried):
                    holder[incident] = hazard
                    return True
        return False

    for hazard in range(len(agreeing)):
        place(hazard, set())
    return {hazard: incident for incident, hazard in holder.items()}

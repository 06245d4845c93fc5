"""What a sink is: one method that delivers one revision of one incident, and says by exception what went wrong.

The outbox in front calls :meth:`Sink.deliver` in the order of revisions of each incident, never two of one incident at once,
again and again until it returns. So a sink needs no queue, no retry and no memory, but must be harmless when repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from streams.records import Incident

#: Statuses after which an incident is not open any more.
CLOSED = frozenset({"resolved", "false_alarm", "merged"})

_incident = msgspec.json.Decoder(Incident)


class SinkAway(Exception):
    """The sink's server does not answer: the outbox pauses the whole sink and tries again."""


class SinkRefused(Exception):
    """This delivery can never succeed there (too large, forbidden); it is counted and given up, the others go on."""


@dataclass(slots=True)
class Delivery:
    """One revision of one incident for one sink.

    ``body`` is the JSON of the record, encoded once and never changed; None is the tombstone of a closed incident.
    ``left_level`` is the level the incident had in its previous revision where that was another one. ``headers`` go with
    the record where the sink can carry them (latency stands there, not in the body). ``decided_at`` is epoch ms.
    """

    incident_id: str
    revision: int
    body: bytes | None
    left_level: int | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    decided_at: int = 0
    _read: Incident | None = None

    @property
    def incident(self) -> Incident | None:
        if self._read is None and self.body is not None:
            self._read = _incident.decode(self.body)
        return self._read

    def snapshot(self) -> list[Any]:
        return [self.incident_id, self.revision, self.body, self.left_level, [list(h) for h in self.headers], self.decided_at]

    @classmethod
    def restore(cls, saved: list[Any]) -> Delivery:
        incident_id, revision, body, left_level, headers, decided_at = saved
        return cls(incident_id, revision, body, left_level, [(name, value) for name, value in headers], decided_at)


class Sink(Protocol):
    """``name`` is the label of its metrics and its name in routing.toml."""

    name: str
    #: Gets the tombstone of a closed incident, too.
    wants_tombstones: bool

    async def deliver(self, delivery: Delivery) -> None: ...

    async def close(self) -> None: ...

"""The outbox: everything that was decided and is not yet delivered, one lane per sink.

Order is kept per incident and sink; different incidents overtake each other, so one that a sink cannot take does not hold
up the rest. A delivery is logged as (incident, revision, sink) and stays until the sink has taken it: retries back off
with jitter, a server that is away pauses its whole lane. The outbox is bounded: :meth:`Outbox.room` makes the caller wait.

Its snapshot is part of the incident stage's checkpoint (D4): what the checkpoint covers and no sink has taken yet is
delivered after a restart; what came after the checkpoint is decided again, with the same revisions and bodies (D5).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alert_sinks.lane import Lane, Retry
from alert_sinks.routing import Routing
from alert_sinks.sink import CLOSED, Delivery, Sink
from streams.records import Incident

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
#: Tombstones are due to the day; looking for them costs a walk over all closed incidents.
SWEEP_MS = 60_000

#: Told after every attempt: sink, delivery, result (delivered, failed, refused, dropped).
Observer = Callable[[str, Delivery, str], None]


def nobody(sink: str, delivery: Delivery, result: str) -> None:
    """Observer that does not care."""


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """``deliveries``: how many may wait before :meth:`Outbox.room` does. Times in seconds, ``tombstone_after_days`` in days."""

    deliveries: int = 10_000
    retry: Retry = field(default_factory=Retry)
    tombstone_after_days: float = 30.0


class Outbox:
    """Deliveries of one partition of incidents. Everything but :meth:`offer` and the snapshots runs on the event loop."""

    def __init__(
        self, sinks: Mapping[str, Sink], routing: Routing, settings: OutboxSettings | None = None, observe: Observer = nobody
    ) -> None:
        self.settings = settings or OutboxSettings()
        self._routing = routing
        self._observe = observe
        self._room = asyncio.Event()
        self._room.set()
        self._lanes = {name: Lane(sink, self.settings.retry, self._attempted) for name, sink in sinks.items()}
        #: Last level of every incident that is not forgotten: which topic it has to leave.
        self._levels: dict[str, int] = {}
        #: Closed incidents in the order of closing, with the log's time of it: when their tombstones are due.
        self._closed: dict[str, int] = {}
        self._swept = 0

    # --- what is decided

    def offer(
        self, incident: Incident, body: bytes, headers: list[tuple[str, bytes]] | None = None, decided_at: int = 0
    ) -> int:
        """Queue one revision for its sinks; a revision that was offered before is no news. Returns how many were queued."""
        key = incident.incident_id
        before = self._levels.get(key)
        queued = 0
        for name in self._routing.sinks_for(incident):
            lane = self._lanes[name]
            if incident.revision > lane.offered.get(key, -1):
                left = before if before is not None and before != incident.level else None
                lane.put(Delivery(key, incident.revision, body, left, headers or [], decided_at))
                queued += 1
        self._levels[key] = incident.level
        self._closed.pop(key, None)
        if incident.status in CLOSED:
            self._closed[key] = incident.updated_ts
        self._measure_room()
        return queued

    def pass_time(self, now: int) -> None:
        """The log's time has come to ``now`` (epoch ms): tombstones that are due are queued, their incidents forgotten."""
        if now - self._swept < SWEEP_MS:
            return
        self._swept = now
        limit = now - int(self.settings.tombstone_after_days * DAY_MS)
        due = [key for key, closed_at in self._closed.items() if closed_at <= limit]
        for key in due:
            del self._closed[key]
            self._levels.pop(key, None)
            for lane in self._lanes.values():
                revision = lane.offered.pop(key, None)
                if lane.sink.wants_tombstones and revision is not None:
                    lane.put(Delivery(key, revision + 1, None), remember=False)
        self._measure_room()

    # --- how it leaves

    def start(self) -> None:
        for lane in self._lanes.values():
            lane.start()

    async def stop(self) -> None:
        """Ends the lanes; what is pending stays in the snapshot. Sinks are closed by their owner."""
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))

    async def room(self) -> None:
        """Returns when fewer than the limit wait."""
        await self._room.wait()

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every lane is empty, at most ``timeout_s``; says whether they are."""
        waits = [asyncio.ensure_future(lane.empty.wait()) for lane in self._lanes.values()]
        _, pending = await asyncio.wait(waits, timeout=timeout_s)
        for wait in pending:
            wait.cancel()
        return not pending

    def depth(self) -> dict[str, int]:
        """Deliveries that wait or are under way, per sink."""
        return {name: lane.depth for name, lane in self._lanes.items()}

    def _attempted(self, sink: str, delivery: Delivery, result: str) -> None:
        self._measure_room()
        self._observe(sink, delivery, result)

    def _measure_room(self) -> None:
        if max((lane.depth for lane in self._lanes.values()), default=0) >= self.settings.deliveries:
            self._room.clear()
        else:
            self._room.set()

    # --- what is kept

    def snapshot(self) -> dict[str, Any]:
        return {
            "levels": dict(self._levels),
            "closed": dict(self._closed),
            "swept": self._swept,
            "lanes": {name: lane.snapshot() for name, lane in self._lanes.items()},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Before :meth:`start`. Deliveries of a sink that is configured no more are counted as dropped and said."""
        self._levels = dict(saved.get("levels", {}))
        self._closed = dict(saved.get("closed", {}))
        self._swept = saved.get("swept", 0)
        for name, kept in saved.get("lanes", {}).items():
            lane = self._lanes.get(name)
            if lane is not None:
                lane.restore(kept)
                continue
            orphans = deque(Delivery.restore(item) for item in kept["pending"])
            if orphans:
                log.warning("%d deliveries of the sink %r are dropped: it is configured no more", len(orphans), name)
            for delivery in orphans:
                self._observe(name, delivery, "dropped")
        self._measure_room()

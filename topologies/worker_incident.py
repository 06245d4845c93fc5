"""The incident stage's shard: one partition of ``city.signals``, one stage per city in it, and the outbox behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from alert_sinks.outbox import Outbox
from alert_sinks.sink import CLOSED
from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.cloudevents import headers_of
from streams.codec import decode_record, encode
from streams.records import Control, Signal
from streams.registry import Registry
from streams.topics import topic_name
from streams.unreadable import Cause, dead_letter
from topologies.crash_points import CrashPoints
from topologies.incident import Decided, IncidentStage
from topologies.metrics import Metrics
from topologies.worker_clock import wall_ms
from topologies.worker_detect import Send
from topologies.worker_shard import Shard, ShardPlace
from topologies.worker_versions import Versions

_LATENCY = "cw_latency_"
#: Stands as a key in every control and, because quotes are escaped in text, in no signal.
_CONTROL = b'"control":'
_RULES, _REGISTRY = b'"control":"rules"', b'"control":"registry"'


class IncidentShard(Shard):
    """``fresh(city, rules, registry)`` makes the stage of a city that was never seen; ``revived(city, saved)`` one from a
    snapshot, with the version it was decided with and that version's names.

    A version comes into force where the partition announces it, here as in a replay, whatever the worker itself was started
    with: that is for the first start of all. ``versions`` brings to hand what an announcement names.
    """

    def __init__(
        self,
        place: ShardPlace,
        saved: dict[str, Any],
        outbox: Outbox,
        *,
        fresh: Callable[[str, RuleBook, Registry], IncidentStage],
        revived: Callable[[str, dict[str, Any], RuleBook, Registry], IncidentStage],
        versions: Versions,
        send: Send,
        metrics: Metrics,
        prefix: str,
        playback: bool,
        points: CrashPoints,
    ) -> None:
        super().__init__(place)
        self.outbox = outbox
        self._fresh, self._send, self._metrics, self._playback = fresh, send, metrics, playback
        self._versions, self._points = versions, points
        self._dead = topic_name("dead_letters", prefix)
        named: dict[str, list[Any]] = saved.get("versions", {})
        #: Of each city, and under "" of cities that are yet to come.
        self._in_force = {city: versions.of(*name) for city, name in {"": ["", -1], **named}.items()}
        self.stages: dict[str, IncidentStage] = {}
        for city, kept in saved.get("cities", {}).items():
            self.stages[city] = revived(city, kept, *self._in_force.setdefault(city, versions.of("", -1)))
        #: Category and level of the open incidents, for the gauges.
        self._classes = {
            incident.incident_id: (incident.category, incident.level)
            for stage in self.stages.values()
            for incident in stage.open_incidents()
        }
        self._now = int(saved.get("now", 0))

    def decide(self, batch: RawBatch, received: int) -> None:
        by_city: dict[str, list[Signal | Control]] = {}
        latencies: dict[int, list[tuple[str, bytes]]] = {}
        for row, value in enumerate(batch.values):
            record = self._read(value)
            if isinstance(record, Cause):
                self._send(self._dead, encode(dead_letter(batch, row, record)), batch.topic)
                continue
            by_city.setdefault(record.city, []).append(record)
            stage = self.stages.get(record.city) or self._begin(record.city)
            if isinstance(record, Control) and record.control in ("rules", "registry"):
                self._announced(stage, record)
            self._now = max(self._now, record.arrival_ts)
            if isinstance(record, Signal):
                given = batch.headers[row] if batch.headers is not None else ()
                kept = [(name, text) for name, text in given or () if name.startswith(_LATENCY) and text is not None]
                kept.append((f"{_LATENCY}signal_to_incident_ms", str(max(0, received - batch.arrivals[row])).encode()))
                latencies[record.arrival_ts] = kept
        for city, records in by_city.items():
            stage = self.stages[city]
            self._deliver(stage.process(records), latencies)
            stage.settle()
        self.outbox.pass_time(self._now)
        if not self._playback:
            self._metrics.observe_stage("incident", "signal_to_incident", wall_ms() - batch.arrivals[-1])

    def _begin(self, city: str) -> IncidentStage:
        rules, registry = self._in_force[city] = self._in_force[""]
        stage = self.stages[city] = self._fresh(city, rules, registry)
        return stage

    def _announced(self, stage: IncidentStage, control: Control) -> None:
        """The stage switches when it comes to the control; cities that appear behind it begin with it."""
        rules = self._versions.rules(control.fingerprint or "") if control.control == "rules" else None
        registry = self._versions.registry(control.registry_revision or 0) if control.control == "registry" else None
        stage.offer(rules=rules, registry=registry)
        for city in (control.city, ""):
            before, facts = self._in_force[city]
            if registry is not None and registry.revision < facts.revision:
                registry = None
            self._in_force[city] = (rules or before, registry if registry is not None else facts)

    async def prepare(self, batch: RawBatch) -> None:
        announced = [value for value in batch.values if value is not None and (_RULES in value or _REGISTRY in value)]
        if not announced:
            return
        controls = [one for value in announced if isinstance(one := decode_record(Control, value), Control)]
        await self._versions.ready(
            {one.fingerprint for one in controls if one.control == "rules" and one.fingerprint},
            {one.registry_revision or 0 for one in controls if one.control == "registry"},
        )

    def _read(self, value: bytes | None) -> Signal | Control | Cause:
        if value is None:
            return Cause("tombstone")
        return decode_record(Control, value) if _CONTROL in value else decode_record(Signal, value)

    def _deliver(self, decided: Decided, latencies: dict[int, list[tuple[str, bytes]]]) -> None:
        for incident in decided.incidents:
            body = encode(incident)
            # What caused the revision arrived at updated_ts; revisions caused by a timer have no signal and no latency of one.
            headers = headers_of(incident) + latencies.get(incident.updated_ts, [])
            self._points.passed("before_outbox_step")
            self.outbox.offer(incident, body, headers, wall_ms())
            self._metrics.count_incident(incident.event, incident.level)
            if incident.status in CLOSED:
                self._classes.pop(incident.incident_id, None)
            else:
                self._classes[incident.incident_id] = (incident.category, incident.level)
        self._metrics.count_muted(decided.muted)

    def counts(self) -> Counter[tuple[str, int]]:
        """Open incidents per (category, level)."""
        return Counter(self._classes.values())

    def open_incidents(self) -> list[bytes]:
        """JSON of every open incident, as it stands."""
        return [encode(incident) for stage in self.stages.values() for incident in stage.open_incidents()]

    def state(self) -> dict[str, Any]:
        return {
            "cities": {city: stage.snapshot() for city, stage in self.stages.items()},
            "now": self._now,
            "versions": {city: [rules.fingerprint, registry.revision] for city, (rules, registry) in self._in_force.items()},
        }

    def outbox_state(self) -> dict[str, Any]:
        return self.outbox.snapshot()

    def rule_fingerprint(self) -> str:
        return self._in_force[""][0].fingerprint

    def registry_revision(self) -> int:
        return self._in_force[""][1].revision

    async def room(self) -> None:
        await self.outbox.room()

    async def drain(self, timeout_s: float) -> None:
        await self.outbox.drained(timeout_s)
        # What a lane delivers from now on would not stand in the checkpoint; harmless, but a repetition to no end.
        await self.outbox.stop()

    async def close(self) -> None:
        await self.outbox.stop()

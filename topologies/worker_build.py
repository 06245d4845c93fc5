"""How a shard is built: which stage a topic belongs to, fresh or from its checkpoint, with the rules and registry of now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from alert_sinks.kafka_topics import KafkaTopics
from alert_sinks.lane import Retry
from alert_sinks.outbox import Outbox, OutboxSettings
from alert_sinks.redis_live import RedisLive
from alert_sinks.routing import Routing
from alert_sinks.sink import Delivery, Sink
from alert_sinks.terminal import Terminal
from detectors.rulebook import RuleBook
from streams.errors import Mend
from streams.gate import GateSettings
from streams.kafka import Producer
from streams.registry import Registry
from streams.topics import BY_STREAM, topic_name, topic_of
from topologies.checkpoints import Checkpoint, StoreAway
from topologies.crash_points import CrashPoints
from topologies.detect import DetectStage
from topologies.incident import IncidentStage
from topologies.incident_settings import IncidentSettings
from topologies.metrics import Metrics
from topologies.settings import Settings, part
from topologies.settings_stages import DetectSettings
from topologies.worker_clock import wall_ms
from topologies.worker_controls import ControlShard
from topologies.worker_detect import DetectShard, quiet_send
from topologies.worker_incident import IncidentShard
from topologies.worker_log import LogFacts
from topologies.worker_outputs import SinkProducer
from topologies.worker_plan import announced, plan, told_since
from topologies.worker_shard import Shard, ShardPlace
from topologies.worker_tail import Tail, read_tails
from topologies.worker_versions import Versions

log = logging.getLogger(__name__)

_RETRY_S = 0.5

#: Base names of the topics the worker reads through Faust, one agent each.
CONSUMED = (*(topic.base for topic in BY_STREAM.values()), "signals", "mutes", "feedback")


def stage_of(topic: str, prefix: str) -> str:
    """detect, incident or controls."""
    row = topic_of(topic, prefix)
    assert row is not None, topic
    if row.stream is not None:
        return "detect"
    return "incident" if row.base == "signals" else "controls"


def gate_settings(settings: Settings, stream: str) -> GateSettings:
    """Defaults of the stream, with what the table [gate.<stream>] says."""
    of = msgspec.to_builtins(GateSettings.of(stream))
    return part(GateSettings, settings.gate.get(stream, {}), f"gate.{stream}", **of)


class Builder:
    """Owns the sinks and what the shards share; ``end(error)`` is called with what the worker must not go on after."""

    def __init__(
        self,
        settings: Settings,
        rules: RuleBook,
        registry: Registry,
        producer: Producer,
        sink_producer: SinkProducer,
        metrics: Metrics,
        facts: LogFacts,
        points: CrashPoints,
        end: Callable[[Exception], None],
        versions: Versions,
    ) -> None:
        """Raises :class:`Mend` for a setting of a room or a routing file that cannot be used."""
        self._settings, self._rules, self._registry = settings, rules, registry
        self._metrics, self._facts, self._points, self._versions = metrics, facts, points, versions
        self._tails: dict[tuple[str, int], Tail] = {}
        versions.use(rules, registry)
        self.send = quiet_send(producer, lambda text: log.error("%s", text))
        for stream in settings.gate:
            if stream not in BY_STREAM:
                part(_Streams, {stream: {}}, "gate")
        self._gate = {stream: gate_settings(settings, stream) for stream in BY_STREAM}
        self._incident = part(IncidentSettings, settings.incident, "incident")
        self._detect = part(
            DetectSettings, settings.detect, "detect", default_city=settings.default_city, topic_prefix=settings.topic_prefix
        )
        self._sinks: dict[str, Sink] = {
            "kafka_topics": KafkaTopics(sink_producer, settings.topic_prefix),
            "redis_live": RedisLive(settings.redis, settings.namespace),
            "terminal": Terminal(show_latency=not settings.playback) if settings.terminal else _Unseen(),
        }
        self._routing = Routing.from_file(settings.routing or None, self._sinks)
        self._outbox_settings = OutboxSettings(
            settings.outbox_deliveries,
            Retry(settings.outbox_retry_first_s, settings.outbox_retry_longest_s),
            settings.tombstone_after_days,
        )

    @staticmethod
    def encode(record: msgspec.Struct) -> bytes:
        return msgspec.json.encode(record)

    # --- before building ----------------------------------------------------------------------------------------------------

    async def prepare(self, found: list[tuple[Checkpoint, int]]) -> None:
        """Bring to hand what the shards of these checkpoints were decided with, and read what stands in the log behind them.

        Beside each checkpoint stands where its partition ends: what never saw a record and has none to see has said nothing.
        """
        await self.keep(self._rules)
        detect = [(one, high) for one, high in found if one.key.stage == "detect" and one.state]
        decided = [one for one, high in detect if one.state["clock"] is not None or one.mark < high]
        self._tails = {}
        if decided:
            skew = round(self._settings.clock_skew_s * 1000)
            since = min(told_since(one) for one in decided) - skew
            signals = topic_name("signals", self._settings.topic_prefix)
            while True:
                try:
                    self._tails = await asyncio.to_thread(read_tails, self._settings.broker, signals, since)
                    break
                except Mend as error:
                    log.warning("the end of %s cannot be read (%s); trying again", signals, error)
                    await asyncio.sleep(_RETRY_S)
        names = [(one.rule_fingerprint, one.registry_revision) for one, _ in detect]
        names += [name for one, _ in found if one.key.stage == "incident" for name in one.state.get("versions", {}).values()]
        switches = [switch for one in decided for switch in announced(one, self._tail(one))]
        await self._versions.ready(
            {name for name, _ in names if name} | {one.fingerprint for one in switches if one.fingerprint},
            {revision for _, revision in names} | {one.revision for one in switches if one.revision is not None},
        )

    async def keep(self, rules: RuleBook) -> None:
        """Before anything is decided with these rules."""
        while True:
            try:
                await asyncio.to_thread(self._versions.keep, rules)
                return
            except StoreAway as error:
                log.warning("the rules in use cannot be kept (%s); trying again", error)
                await asyncio.sleep(_RETRY_S)

    def _tail(self, found: Checkpoint) -> Tail:
        return self._tails.get((found.key.topic, found.key.partition), Tail())

    # --- building -----------------------------------------------------------------------------------------------------------

    def shard(self, place: ShardPlace, found: Checkpoint | None) -> Shard:
        """The shard at its place. A checkpoint without state (a rebuild's starting point) makes a fresh one."""
        saved = found.state if found is not None else {}
        if place.key.stage == "detect":
            return self._detect_shard(place, found)
        if place.key.stage == "incident":
            return self._incident_shard(place, saved, found.outbox if found is not None else {})
        return ControlShard(place, saved, cities=self._cities, send=self.send, prefix=self._settings.topic_prefix)

    def _detect_shard(self, place: ShardPlace, found: Checkpoint | None) -> DetectShard:
        topic, partition = place.key.topic, place.key.partition
        row = topic_of(topic, self._settings.topic_prefix)
        assert row is not None and row.stream is not None
        settings = msgspec.structs.replace(self._detect, partitions=self._facts.partitions[topic])
        gate = self._gate[row.stream]
        rules, registry = self._rules, self._registry
        if found is None or not found.state:
            stage = DetectStage(topic, partition, rules, registry, settings, gate)
        else:
            # As it was decided, where that can be had: what changed since takes effect where the plan says.
            rules, registry = self._versions.of(found.rule_fingerprint, found.registry_revision)
            stage = DetectStage.restore(topic, partition, rules, registry, settings, found.state, gate)
        shard = DetectShard(
            place,
            stage,
            rules,
            registry,
            send=self.send,
            metrics=self._metrics,
            prefix=self._settings.topic_prefix,
            skew_ms=round(self._settings.clock_skew_s * 1000),
            playback=self._settings.playback,
            points=self._points,
        )
        if found is not None and found.state:
            tail = self._tail(found)
            shard.follow(plan(found, tail, self._versions, self._rules, self._registry), tail.end(), told_since(found))
        return shard

    def _incident_shard(self, place: ShardPlace, saved: dict[str, Any], outbox_saved: dict[str, Any]) -> IncidentShard:
        outbox = Outbox(self._sinks, self._routing, self._outbox_settings, self._attempted)
        if outbox_saved:
            outbox.restore(outbox_saved)
        outbox.start()
        return IncidentShard(
            place,
            saved,
            outbox,
            fresh=lambda city, rules, registry: IncidentStage(city, rules, registry, self._incident),
            revived=lambda _, kept, rules, registry: IncidentStage.restore(kept, rules, registry, self._incident),
            versions=self._versions,
            send=self.send,
            metrics=self._metrics,
            prefix=self._settings.topic_prefix,
            playback=self._settings.playback,
            points=self._points,
        )

    def _cities(self) -> set[str]:
        return {self._detect.default_city, *self._registry.cities()}

    # --- while running --------------------------------------------------------------------------------------------------------

    def switch(self, shards: Iterable[Shard], *, rules: RuleBook | None = None, registry: Registry | None = None) -> None:
        """One step: detect stages switch and announce it; incident stages switch where they read the announcement."""
        self._rules, self._registry = rules or self._rules, registry if registry is not None else self._registry
        self._versions.use(self._rules, self._registry)
        for shard in shards:
            if isinstance(shard, DetectShard):
                shard.switch(rules=rules, registry=registry)

    def open_incidents(self, shards: Iterable[Shard]) -> list[bytes]:
        return [body for shard in shards if isinstance(shard, IncidentShard) for body in shard.open_incidents()]

    def _attempted(self, sink: str, delivery: Delivery, result: str) -> None:
        if result == "delivered":
            self._points.passed("outbox_step")
        self._metrics.count_delivery(sink, result)
        incident = delivery.incident
        if result != "delivered" or incident is None or self._settings.playback:
            return
        now = wall_ms()
        self._metrics.observe_stage("incident", "incident_to_sink", now - delivery.decided_at)
        if sink == "kafka_topics":
            self._metrics.observe_alert(incident.level, now - incident.updated_ts)

    async def close(self) -> None:
        for sink in self._sinks.values():
            await sink.close()


class _Streams(msgspec.Struct):
    """Tables that [gate] may have."""

    sensor: dict[str, Any] = {}
    group: dict[str, Any] = {}
    vehicle: dict[str, Any] = {}
    video: dict[str, Any] = {}
    hotline: dict[str, Any] = {}


class _Unseen:
    """The terminal where nobody asked for it: routes to it stay valid and cost nothing."""

    name = "terminal"
    wants_tombstones = False

    async def deliver(self, delivery: Delivery) -> None:
        return None

    async def close(self) -> None:
        return None

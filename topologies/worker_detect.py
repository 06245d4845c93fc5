"""The detect stage's shard: one partition of one input topic."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.cloudevents import headers_of
from streams.codec import encode
from streams.kafka import NotAcknowledged, Producer
from streams.records import Signal
from streams.registry import Registry
from streams.topics import stream_of, topic_name
from streams.transport_raw import ARRIVAL_HEADER
from topologies.crash_points import CrashPoints
from topologies.detect import Detected, DetectStage
from topologies.metrics import Metrics
from topologies.worker_clock import wall_ms
from topologies.worker_plan import Planned
from topologies.worker_shard import Shard, ShardPlace
from topologies.worker_tail import Place

#: Send one record of a stage: topic, value, key, headers.
Send = Callable[..., None]


def quiet_send(producer: Producer, lost: Callable[[str], None]) -> Send:
    """``producer.send`` that tells of a record librdkafka refuses at once (too large) instead of raising into a stage."""

    def send(topic: str, value: bytes | None, key: str, headers: Any = None) -> None:
        try:
            producer.send(topic, value, key, headers)
        except NotAcknowledged as refused:
            lost(f"a record with key {key!r} cannot be written: {refused}")

    return send


class DetectShard(Shard):
    """Feeds batches to its :class:`DetectStage` and sends what comes out at once.

    ``rules`` and ``registry`` are those of the stage; ``plan`` is what it switches to where a worker before it did, or behind
    what that one has said. ``told`` is how far that was, to be found again from ``told_since`` on in the log.
    """

    def __init__(
        self,
        place: ShardPlace,
        stage: DetectStage,
        rules: RuleBook,
        registry: Registry,
        *,
        send: Send,
        metrics: Metrics,
        prefix: str,
        skew_ms: int,
        playback: bool,
        points: CrashPoints,
    ) -> None:
        super().__init__(place)
        self.stage = stage
        self._rules, self._registry = rules, registry
        self._send, self._metrics, self._points = send, metrics, points
        self._skew_ms, self._playback = skew_ms, playback
        self.stream = stream_of(self.key.topic, prefix) or "sensor"
        self._signals, self._dead, self._quarantine, self._groups = (
            topic_name(base, prefix) for base in ("signals", "dead_letters", "quarantine", "sensor.groups")
        )
        #: As the last batch left them, for the gauges.
        self.watermark: int | None = None
        self.lateness_ms = round(stage.settings.lateness_s.get(self.stream, 60.0) * 1000)
        self.entities = 0
        self._plan: deque[Planned] = deque()
        self._told: Place | None = None
        self._told_since = 0

    def follow(self, plan: Iterable[Planned], told: Place | None, told_since: int) -> None:
        """What the log says of the worker before; called once, before anything is decided."""
        self._plan.extend(plan)
        self._told, self._told_since = told, told_since
        self._switch_where_planned(self.mark)

    def decide(self, batch: RawBatch, received: int) -> None:
        while self._plan and (at := self._plan[0].place.offset) <= batch.offsets[-1]:
            rows = bisect_left(batch.offsets, at)
            if rows:
                self._leave(self.stage.process(batch.cut(0, rows)), received)
                batch = batch.cut(rows, len(batch))
            self._switch_where_planned(at)
        detected = self.stage.process(batch)
        self._points.passed("before_produce")
        self._leave(detected, received)
        self._switch_where_planned(batch.offsets[-1] + 1)
        if not self._playback:
            self._metrics.observe_stage(self.stream, "log_to_worker", received - batch.arrivals[-1])
        self._points.passed("after_produce")

    def idle(self, next_offset: int, fetch_started: int) -> None:
        # In playback the recording's clock is the only one: what is silent there is told by the player's own records.
        if self._playback or next_offset != self.mark:
            return
        detected = self.stage.idle(fetch_started - self._skew_ms, next_offset)
        self.dirty = self.dirty or bool(detected.signals)
        self._leave(detected, fetch_started)

    def switch(self, *, rules: RuleBook | None = None, registry: Registry | None = None) -> None:
        """Between two batches: the stage announces it in ``city.signals``, so a replay switches at the same place (D6)."""
        if rules is None and registry is None:
            return
        if self._plan:
            # Behind what was decided before: a place of its own it has not come to yet.
            self._plan.append(Planned(self._plan[-1].place, rules, registry))
        else:
            self._switch(Planned(Place(self.mark), rules, registry))

    def _switch_where_planned(self, next_offset: int) -> None:
        while self._plan and self._plan[0].place.offset <= next_offset:
            self._switch(self._plan.popleft())

    def _switch(self, planned: Planned) -> None:
        place, now = planned.place, wall_ms()
        if place.clock:
            # Empty fetches had brought the former worker's clock there.
            self._leave(self.stage.idle(place.clock, place.offset), now)
        self._rules, self._registry = (
            planned.rules or self._rules,
            planned.registry if planned.registry is not None else self._registry,
        )
        self._leave(self.stage.switch(rules=planned.rules, registry=planned.registry, next_offset=place.offset), now)
        self.dirty = True

    def _leave(self, detected: Detected, received: int) -> None:
        metrics, send = self._metrics, self._send
        for signal in detected.signals:
            if not isinstance(signal, Signal):
                send(self._signals, encode(signal), signal.city)
                continue
            latency = {
                "source_to_log": signal.arrival_ts - signal.ts,
                "log_to_worker": received - signal.arrival_ts,
                "worker_to_signal": wall_ms() - received,
            }
            headers = headers_of(signal) + [(f"cw_latency_{stage}_ms", str(ms).encode()) for stage, ms in latency.items()]
            send(self._signals, encode(signal), signal.city, headers)
            metrics.count_signal(signal.rule)
            if not self._playback:
                metrics.observe_stage(self.stream, "source_to_log", latency["source_to_log"])
                metrics.observe_stage(self.stream, "worker_to_signal", latency["worker_to_signal"])
        for letter in detected.dead:
            send(self._dead, encode(letter), letter.topic)
        for refused in detected.quarantined:
            send(self._quarantine, encode(refused), refused.entity)
        for (group, reading), at in zip(detected.regrouped, detected.regrouped_at, strict=True):
            # A group's arrival is its own topic's; only a played recording keeps the original clock.
            send(self._groups, encode(reading), group, [(ARRIVAL_HEADER, b"%d" % at)] if self._playback else None)
        metrics.count_outcomes(self.stream, detected.outcomes, detected.reasons)
        self.watermark, self.entities = detected.watermark, detected.entities

    def state(self) -> dict[str, Any]:
        return self.stage.snapshot()

    def marks(self) -> dict[str, Any]:
        """Where the log must be read from again by whoever goes on, while this one is not past what was told before."""
        told = self._told
        if told is not None and (
            self.mark < told.offset or (self.mark == told.offset and (self.stage.clock or 0) < told.clock)
        ):
            return {"told_since": self._told_since}
        return {}

    def rule_fingerprint(self) -> str:
        return self._rules.fingerprint

    def registry_revision(self) -> int:
        return self._registry.revision

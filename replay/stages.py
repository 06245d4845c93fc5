"""The stages as a replay builds them: the same classes, settings and order of things as in the worker, without its edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.gate import GateSettings
from streams.records import Control, Incident, Signal
from streams.registry import Registry
from streams.topics import stream_of
from topologies.detect import Detected, DetectStage
from topologies.incident import Decided, IncidentStage
from topologies.incident_settings import IncidentSettings
from topologies.settings import Settings, part
from topologies.settings_stages import DetectSettings

Home = tuple[str, int]


@dataclass(frozen=True)
class StageSettings:
    """Settings of gate and stages out of the worker's settings file; raises Mend for what they do not know."""

    settings: Settings = field(default_factory=Settings)

    def detect(self, prefix: str, partitions: int) -> DetectSettings:
        own = self.settings
        given = part(DetectSettings, own.detect, "detect", default_city=own.default_city, topic_prefix=prefix)
        return msgspec.structs.replace(given, partitions=partitions, topic_prefix=prefix)

    def gate(self, stream: str) -> GateSettings:
        defaults = msgspec.to_builtins(GateSettings.of(stream))
        return part(GateSettings, self.settings.gate.get(stream, {}), f"gate.{stream}", **defaults)

    def incident(self) -> IncidentSettings:
        return part(IncidentSettings, self.settings.incident, "incident")

    def cities(self, registry: Registry) -> list[str]:
        """Where a mute without a city goes."""
        return sorted({self.detect("city.", 1).default_city, *registry.cities()})


@dataclass(slots=True)
class Shard:
    """A detect stage with its place in its log. Nothing is decided before the first record of the partition."""

    stage: DetectStage
    next_offset: int = 0
    #: Running maximum of the arrivals of what it said: what one source says keeps its order in the merge.
    said: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def process(self, batch: RawBatch) -> Detected:
        detected = self.stage.process(batch)
        self.next_offset = batch.offsets[-1] + 1
        self.outcomes.update(detected.outcomes)
        self.reasons.update(detected.reasons)
        return detected

    def idle(self, now: int) -> Detected:
        return self.stage.idle(now, self.next_offset)

    def switch(self, rules: RuleBook | None = None, registry: Registry | None = None) -> Detected:
        return self.stage.switch(rules=rules, registry=registry, next_offset=self.next_offset)


def shard(home: Home, prefix: str, partitions: int, rules: RuleBook, registry: Registry, settings: StageSettings) -> Shard:
    """A fresh detect stage for a partition."""
    stream = stream_of(home[0], prefix) or "sensor"
    return Shard(DetectStage(*home, rules, registry, settings.detect(prefix, partitions), settings.gate(stream)))


class Cities:
    """The incident stages by city, made when a city is first spoken of."""

    def __init__(self, rules: RuleBook, registry: Registry, settings: StageSettings) -> None:
        self.rules, self.registry = rules, registry
        self._settings = settings.incident()
        self._stages: dict[str, IncidentStage] = {}
        self.muted: Counter[str] = Counter()
        self.repeated = 0

    def offer(self, *, rules: RuleBook | None = None, registry: Registry | None = None) -> None:
        """What a control record will announce; cities that appear later begin with it."""
        self.rules, self.registry = rules or self.rules, registry or self.registry
        for stage in self._stages.values():
            stage.offer(rules=rules, registry=registry)

    def process(self, records: Iterable[Signal | Control]) -> list[Incident]:
        """Records in the order of ``city.signals``; revisions city by city."""
        by_city: dict[str, list[Signal | Control]] = {}
        for record in records:
            by_city.setdefault(record.city, []).append(record)
        return [incident for city in sorted(by_city) for incident in self._take(self._stage(city).process(by_city[city]))]

    def advance(self, now: int) -> list[Incident]:
        return [incident for city in sorted(self._stages) for incident in self._take(self._stages[city].advance(now))]

    def stages(self) -> list[IncidentStage]:
        return [stage for _, stage in sorted(self._stages.items())]

    def _stage(self, city: str) -> IncidentStage:
        stage = self._stages.get(city)
        if stage is None:
            stage = self._stages[city] = IncidentStage(city, self.rules, self.registry, self._settings)
        return stage

    def _take(self, decided: Decided) -> list[Incident]:
        self.muted.update(decided.muted)
        self.repeated += decided.repeated
        return decided.incidents


def partition_counts(homes: Iterable[Home], stated: dict[str, int] | None = None) -> dict[str, int]:
    """Partitions per topic: what the recording states, else the highest number seen and one."""
    counts: dict[str, int] = {}
    for topic, partition in homes:
        counts[topic] = max(counts.get(topic, 0), partition + 1)
    return {topic: max(count, (stated or {}).get(topic, 0)) for topic, count in counts.items()}

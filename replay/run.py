"""``replay run``: a recording through the two stages, without a broker, as fast as it can, with the answer of the live system.

Everything is in the order (arrival, topic, partition, offset). Detect stages see windows of arrival time (:mod:`replay.merge`);
what they say is merged by (arrival, topic, partition, sequence) and goes to the incident stages of the cities. Readings of
grouped sensors go to a virtual ``city.sensor.groups`` of one partition at the arrival of their own record; what a recording
holds of that internal topic is not used. A change of the registry takes effect before the first record that arrived with it
or after it. At the end time goes on to the manifest's ``until`` (and ``drain_s`` more), so that what was due is decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.rulebook import RuleBook
from replay.controls import Controls
from replay.merge import CHUNK_ROWS, Home, Merge, Window
from replay.recording import Recording
from replay.results import Results
from replay.stages import Cities, Shard, StageSettings, partition_counts, shard
from streams.batch import RawBatch
from streams.codec import decode_record, encode
from streams.records import Asset, Control, Incident, Signal
from streams.registry import Registry
from streams.topics import stream_of, topic_name
from streams.unreadable import Cause
from topologies.detect import Detected, DetectStage
from topologies.incident import IncidentStage

Key = tuple[int, str, int, tuple[int, int, int]]


@dataclass(slots=True)
class Summary:
    """Counts of a run; ``outcomes`` per topic add up to its readings (law 8)."""

    records: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    quarantined: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    controls: Counter[str] = field(default_factory=Counter)
    revisions: int = 0
    incidents: int = 0
    opened: Counter[str] = field(default_factory=Counter)
    by_level: Counter[str] = field(default_factory=Counter)
    muted: Counter[str] = field(default_factory=Counter)
    first_arrival_ts: int | None = None
    last_arrival_ts: int | None = None
    until: int | None = None
    rule_fingerprint: str = ""
    registry_assets: int = 0
    unreadable_controls: int = 0

    def total(self) -> Counter[str]:
        """Outcomes of all inputs together (not those of the internal groups, which count twice)."""
        every: Counter[str] = Counter()
        for topic, outcomes in self.outcomes.items():
            if not topic.endswith("sensor.groups"):
                every.update(outcomes)
        return every

    def as_json(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Counter):
                value = dict(sorted(value.items()))
            elif name == "outcomes":
                value = {topic: dict(sorted(counts.items())) for topic, counts in sorted(value.items())}
            tree[name] = value
        tree["total"] = dict(sorted(self.total().items()))
        return tree


Progress = Callable[[int, int], None]


class Run:
    """One pass over a recording. :meth:`revisions` yields what was decided; ``summary`` is complete when it has ended."""

    def __init__(
        self,
        recording: Recording,
        rules: RuleBook,
        settings: StageSettings | None = None,
        *,
        drain_s: float = 0.0,
        chunk_rows: int = CHUNK_ROWS,
        progress: Progress | None = None,
    ) -> None:
        self._recording, self._rules = recording, rules
        self._settings = settings or StageSettings()
        self._progress = progress
        manifest = recording.manifest
        self._prefix = manifest.prefix
        self._registry_topic = topic_name("registry", self._prefix)
        self._groups_home: Home = (topic_name("sensor.groups", self._prefix), 0)
        self._groups_offset = 0
        homes = recording.partitions()
        inputs = [home for home in homes if self._stream(home) not in (None, "group")]
        forwarded = [
            home for home in homes if home[0] in (topic_name("mutes", self._prefix), topic_name("feedback", self._prefix))
        ]
        self._counts = partition_counts(inputs, manifest.partitions) | {self._groups_home[0]: 1}
        self._merge = Merge(recording, inputs + forwarded, chunk_rows)
        self._changes = list(self._registry_changes())
        self._registry = Registry.from_assets(recording.registry(), manifest.registry_revision)
        self._shards: dict[Home, Shard] = {}
        self._cities = Cities(rules, self._registry, self._settings)
        self._controls = Controls(topic_name("mutes", self._prefix), lambda: self._settings.cities(self._registry))
        self._until = max(manifest.until or 0, manifest.last_arrival_ts or 0) + round(drain_s * 1000)
        self._ids: set[str] = set()
        self.summary = Summary(
            first_arrival_ts=manifest.first_arrival_ts,
            last_arrival_ts=manifest.last_arrival_ts,
            until=self._until,
            rule_fingerprint=rules.fingerprint,
        )

    def detect_stages(self) -> list[DetectStage]:
        """Of every partition that was heard of so far, as they stand: for who watches what they hold."""
        return [held.stage for _, held in sorted(self._shards.items())]

    def incident_stages(self) -> list[IncidentStage]:
        """Of every city, as they stand."""
        return self._cities.stages()

    def _stream(self, home: Home) -> str | None:
        return stream_of(home[0], self._prefix)

    def _registry_changes(self) -> Iterator[tuple[int, int, bytes | None, bytes | None]]:
        """(arrival, offset, key, value) of the registry's own topic, which has one partition."""
        for home in self._recording.partitions():
            if home[0] == self._registry_topic:
                for batch in self._recording.read(*home):
                    yield from zip(batch.arrivals, batch.offsets, batch.keys, batch.values, strict=True)

    # --- the pass ------------------------------------------------------------------------------------------------------------

    def revisions(self) -> Iterator[tuple[list[Signal], list[Incident]]]:
        """Signals and revisions, window by window."""
        last = False
        while not last:
            said = self._switch()
            window = self._merge.window(self._until, self._changes[0][0] if self._changes else None)
            last = window.last and not self._changes
            said += self._window(window)
            yield self._decide(said, window.horizon)
            if self._progress is not None:
                self._progress(sum(self.summary.records.values()), window.horizon)
        self._finish()

    def _switch(self) -> list[tuple[Key, Signal | Control]]:
        """Changes of the registry that are due before the next record."""
        first = self._merge.first
        due = 0
        while due < len(self._changes) and (first is None or self._changes[due][0] <= first):
            due += 1
        if not due:
            return []
        assets: dict[str, Asset | None] = {}
        for _, _, key, value in self._changes[:due]:
            asset = None if value is None else decode_record(Asset, value)
            if isinstance(asset, Cause):
                self.summary.unreadable_controls += 1
            elif asset is None:
                assets[(key or b"").decode("utf-8", "replace")] = None
            else:
                assets[asset.asset_id] = asset
        revision = self._changes[due - 1][1] + 1
        del self._changes[:due]
        self._registry = self._registry.with_assets(
            [asset for asset in assets.values() if asset is not None],
            gone=[name for name, asset in assets.items() if asset is None],
            revision=revision,
        )
        self._cities.offer(registry=self._registry)
        said: list[tuple[Key, Signal | Control]] = []
        for home in sorted(self._shards):
            self._collect(home, self._shards[home].switch(registry=self._registry), said)
        return said

    def _window(self, window: Window) -> list[tuple[Key, Signal | Control]]:
        said: list[tuple[Key, Signal | Control]] = []
        regrouped: list[tuple[int, str, int, int, str, bytes]] = []
        for home in sorted(window.rows):
            if self._stream(home) is None:
                self._forward(window.rows[home], said)
                continue
            for batch in window.rows[home]:
                self.summary.records[home[0]] += len(batch)
                detected = self._shard(home).process(batch)
                self._collect(home, detected, said)
                for place, (at, (group, reading)) in enumerate(zip(detected.regrouped_at, detected.regrouped, strict=True)):
                    regrouped.append((at, *home, place, group, encode(reading)))
        if regrouped:
            self._regroup(regrouped, said)
        for home in sorted(self._shards):
            self._collect(home, self._shards[home].idle(window.horizon), said)
        return said

    def _shard(self, home: Home) -> Shard:
        held = self._shards.get(home)
        if held is None:
            partitions = self._counts[home[0]]
            held = shard(home, self._prefix, partitions, self._rules, self._registry, self._settings)
            self._shards[home] = held
        return held

    def _regroup(
        self, regrouped: list[tuple[int, str, int, int, str, bytes]], said: list[tuple[Key, Signal | Control]]
    ) -> None:
        # Stable: readings of one partition stay in its order, those of several are merged by arrival, topic, partition.
        regrouped.sort(key=lambda one: one[:3])
        first = self._groups_offset
        self._groups_offset += len(regrouped)
        batch = RawBatch(
            *self._groups_home,
            list(range(first, self._groups_offset)),
            [one[0] for one in regrouped],
            [one[5] for one in regrouped],
            [one[4].encode() for one in regrouped],
        )
        self._collect(self._groups_home, self._shard(self._groups_home).process(batch), said)

    def _forward(self, batches: list[RawBatch], said: list[tuple[Key, Signal | Control]]) -> None:
        for batch in batches:
            self.summary.records[batch.topic] += len(batch)
            for control in self._controls.of(batch):
                source = control.source
                said.append(((control.arrival_ts, source.topic, source.partition, source.sequence), control))

    def _collect(self, home: Home, detected: Detected, said: list[tuple[Key, Signal | Control]]) -> None:
        held = self._shards[home]
        for record in detected.signals:
            held.said = max(held.said, record.arrival_ts)
            said.append(((held.said, *home, record.source.sequence), record))

    def _decide(self, said: list[tuple[Key, Signal | Control]], horizon: int) -> tuple[list[Signal], list[Incident]]:
        said.sort(key=lambda pair: pair[0])
        records = [record for _, record in said]
        signals: list[Signal] = []
        for record in records:
            if isinstance(record, Signal):
                signals.append(record)
                self.summary.signals[record.rule] += 1
            else:
                self.summary.controls[record.control] += 1
        incidents = self._cities.process(records) + self._cities.advance(horizon)
        # Cities and timers are told apart by nothing but time: in this order the file does not show where windows ended.
        incidents.sort(key=lambda one: (one.updated_ts, one.incident_id, one.revision))
        self._count(incidents)
        return signals, incidents

    def _count(self, incidents: list[Incident]) -> None:
        summary = self.summary
        summary.revisions += len(incidents)
        for incident in incidents:
            if incident.incident_id not in self._ids:
                self._ids.add(incident.incident_id)
                summary.incidents += 1
                summary.opened[incident.category] += 1
                summary.by_level[str(incident.level)] += 1

    def _finish(self) -> None:
        summary = self.summary
        for home, held in sorted(self._shards.items()):
            summary.outcomes.setdefault(home[0], Counter()).update(held.outcomes)
            summary.quarantined.update(held.reasons)
        summary.muted = self._cities.muted
        summary.registry_assets = len(self._registry)
        summary.unreadable_controls += self._controls.unreadable


def run(
    recording: Recording,
    rules: RuleBook,
    out: Path,
    settings: StageSettings | None = None,
    *,
    drain_s: float = 0.0,
    progress: Progress | None = None,
) -> tuple[Summary, list[Incident]]:
    """Replay ``recording`` under ``rules`` into the directory ``out``; summary, and every incident as opened and as it ended.

    The files are described in docs/replay.md. Raises :class:`streams.errors.Mend` for an unreadable recording.
    """
    one = Run(recording, rules, settings, drain_s=drain_s, progress=progress)
    first: dict[str, Incident] = {}
    last: dict[str, Incident] = {}
    with Results(out) as results:
        for signals, incidents in one.revisions():
            results.signals(signals)
            results.incidents(incidents)
            for incident in incidents:
                first.setdefault(incident.incident_id, incident)
                last[incident.incident_id] = incident
    tree = {"format": 1, "kind": "citywatch run", "source": recording.path.name, **one.summary.as_json()}
    span = (one.summary.last_arrival_ts or 0) - (one.summary.first_arrival_ts or 0)
    own = (settings or StageSettings()).settings
    results.manifest(
        {**tree, "span_s": span / 1000, "settings": {"gate": own.gate, "detect": own.detect, "incident": own.incident}}
    )
    ends = (incident for name, incident in last.items() if incident is not first[name])
    return one.summary, [*first.values(), *ends]

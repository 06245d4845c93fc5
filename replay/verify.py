"""``replay verify``: decide a recording again, and demand what the live system decided (law 1).

Signals are re-decided per input partition from the recorded inputs, with registry and rules switched at the very offsets that
the control records of ``city.signals`` name. Incidents are re-decided from the recorded order of ``city.signals``. Repetitions
(at-least-once) are not differences as long as their bodies agree. The recording must begin where the worker began: state from
before is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from detectors.rulebook import RuleBook
from replay.recording import Recording
from replay.stages import Cities, Home, Shard, StageSettings, partition_counts, shard
from streams.batch import RawBatch
from streams.codec import decode_record, encode
from streams.errors import Mend
from streams.records import Asset, Control, Incident, Signal, Source
from streams.registry import Registry
from streams.topics import stream_of, topic_name
from streams.unreadable import Cause
from topologies.detect import switch_number

_CONTROL = b'"control":'
Sequence = tuple[int, int, int]
#: Offset and time of a switch, and what to.
Switch = tuple[int, int, RuleBook | None, Registry | None]


@dataclass(slots=True, frozen=True)
class Difference:
    """``kind``: missing (decided again, not recorded), extra (recorded, not decided again), different (in ``fields``)."""

    kind: str
    what: str
    key: str
    place: str
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class Verified:
    """``beyond``: decided again from records whose decision lies behind the end of the recording; not a difference."""

    signals: int = 0
    incidents: int = 0
    repeated: int = 0
    beyond: int = 0
    unreadable: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        tree = {name: getattr(self, name) for name in self.__slots__ if name != "differences"}
        return {**tree, "same": self.same, "differences": [msgspec.to_builtins(one) for one in self.differences]}


class Registries:
    """The registry at any revision: the recording's snapshot, and the changes recorded after it."""

    def __init__(self, recording: Recording) -> None:
        self._held = Registry.from_assets(recording.registry(), recording.manifest.registry_revision)
        self._known = {self._held.revision: self._held}
        topic = topic_name("registry", recording.manifest.prefix)
        self._changes: list[tuple[int, bytes | None, bytes | None]] = [
            row
            for home in recording.partitions()
            if home[0] == topic
            for batch in recording.read(*home)
            for row in zip(batch.offsets, batch.keys, batch.values, strict=True)
        ]

    def at(self, revision: int) -> Registry:
        """The registry whose next unapplied offset is ``revision``."""
        found = self._known.get(revision)
        if found is not None:
            return found
        assets: dict[str, Asset | None] = {}
        for offset, key, value in self._changes:
            if self._held.revision <= offset < revision:
                asset = None if value is None else decode_record(Asset, value)
                if asset is None:
                    assets[(key or b"").decode("utf-8", "replace")] = None
                elif not isinstance(asset, Cause):
                    assets[asset.asset_id] = asset
        found = self._held.with_assets(
            [asset for asset in assets.values() if asset is not None],
            gone=[name for name, asset in assets.items() if asset is None],
            revision=revision,
        )
        self._known[revision] = found
        return found


@dataclass(slots=True)
class _Told:
    """What ``city.signals`` holds of one source partition."""

    bodies: dict[Sequence, bytes] = field(default_factory=dict)
    ids: dict[Sequence, str] = field(default_factory=dict)
    switches: list[Control] = field(default_factory=list)
    revision: int | None = None
    last: int = 0


class Verification:
    """Decides one recording again. ``books`` are the rule sets that may have been at work; the first one at the beginning
    unless the manifest names another."""

    def __init__(self, recording: Recording, books: list[RuleBook], settings: StageSettings | None = None) -> None:
        if recording.manifest.cut_ts is not None:
            raise Mend(
                "was cut where the disk was full: what was said of its last records is not in it",
                str(recording.path),
                "replay it, or verify a whole recording",
            )
        self._recording = recording
        self._prefix = recording.manifest.prefix
        self._settings = settings or StageSettings()
        self._books = {book.fingerprint: book for book in books}
        self._first = books[0]
        fingerprint = recording.manifest.rule_fingerprint
        if fingerprint is not None:
            self._first = self._book(fingerprint)
        self._registries = Registries(recording)
        self._homes = recording.partitions()
        self._signals_topic = topic_name("signals", self._prefix)
        self.verified = Verified()

    def _book(self, fingerprint: str) -> RuleBook:
        book = self._books.get(fingerprint)
        if book is None:
            raise Mend(
                f"was decided with rules {fingerprint}, given are {', '.join(self._books)}",
                str(self._recording.path),
                "name the directory of those rules with --rules (several times if they were changed)",
            )
        return book

    def run(self) -> Verified:
        if not any(topic == self._signals_topic for topic, _ in self._homes):
            raise Mend(
                f"holds no {self._signals_topic}: nothing was decided in it",
                str(self._recording.path),
                "record a running worker, or use `replay run`",
            )
        told = self._read_told()
        inputs = [home for home in self._homes if stream_of(home[0], self._prefix) is not None]
        counts = partition_counts(inputs, self._recording.manifest.partitions)
        for home in inputs:
            self._signals(home, counts[home[0]], told.pop(home, _Told()))
        for home, left in sorted(told.items()):
            if stream_of(home[0], self._prefix) is not None:
                self._compare(home, left, {})
        self._incidents()
        return self.verified

    # --- signals -------------------------------------------------------------------------------------------------------------

    def _records(self, batches: Iterable[RawBatch]) -> Iterator[tuple[int, bytes, Signal | Control]]:
        """Offset, body and record of whatever can be read."""
        for batch in batches:
            for offset, value in zip(batch.offsets, batch.values, strict=True):
                if value is None:
                    continue
                record: Signal | Control | Cause = (
                    decode_record(Control, value) if _CONTROL in value else decode_record(Signal, value)
                )
                if isinstance(record, Cause):
                    self.verified.unreadable += 1
                else:
                    yield offset, value, record

    def _read_told(self) -> dict[Home, _Told]:
        told: dict[Home, _Told] = {}
        for topic, partition in self._homes:
            if topic != self._signals_topic:
                continue
            for _, value, record in self._records(self._recording.read(topic, partition)):
                source = record.source
                one = told.setdefault((source.topic, source.partition), _Told())
                one.last = max(one.last, record.arrival_ts)
                if one.revision is None and record.registry_revision is not None:
                    one.revision = record.registry_revision
                if isinstance(record, Control):
                    if record.control in ("rules", "registry"):
                        one.switches.append(record)
                    continue
                self._keep(one, source.sequence, record.signal_id, value, source)
        return told

    def _keep(self, one: _Told, sequence: Sequence, name: str, value: bytes, source: Source) -> None:
        before = one.bodies.setdefault(sequence, value)
        one.ids[sequence] = name
        if before is value:
            self.verified.signals += 1
        elif before == value:
            self.verified.repeated += 1
        else:
            self._differ("signal", name, f"{source.topic}/{source.partition}/{source.offset}", before, value)

    def _signals(self, home: Home, partitions: int, told: _Told) -> None:
        first_switch = min((one.source.offset for one in told.switches), default=None)
        revision = told.revision
        if revision is None or (first_switch is not None and revision == told.switches[0].registry_revision):
            revision = self._recording.manifest.registry_revision
        decided: dict[Sequence, tuple[str, bytes, int]] = {}
        rules = self._began_with(told)
        one: Shard = shard(home, self._prefix, partitions, rules, self._registries.at(revision), self._settings)
        switches = self._switches(told.switches)
        for batch in self._recording.read(*home):
            start = 0
            while start < len(batch):
                stop = len(batch)
                if switches:
                    at = switches[0][0]
                    if batch.offsets[start] >= at:
                        self._switch(one, switches.pop(0), decided)
                        continue
                    stop = next((row for row in range(start, stop) if batch.offsets[row] >= at), stop)
                self._take(decided, one.process(batch.cut(start, stop)).signals)
                start = stop
        for switch in switches:
            self._switch(one, switch, decided)
        self._take(decided, one.idle(told.last).signals)
        self._compare(home, told, decided)

    def _switch(self, one: Shard, switch: Switch, decided: dict[Sequence, tuple[str, bytes, int]]) -> None:
        # Live, empty fetches had brought the stage's time to that of the switch.
        self._take(decided, one.idle(switch[1]).signals)
        self._take(decided, one.switch(switch[2], switch[3]).signals)

    def _began_with(self, told: _Told) -> RuleBook:
        """Nobody announces the rules a partition begins with, and workers that begin while rules change may have others than
        the first of the books: those that its first signal was decided by, or, where it changed before, others than it
        changed to."""
        first = min(told.bodies, default=None)
        changed = min((one for one in told.switches if one.fingerprint), key=lambda one: one.source.sequence, default=None)
        books = [self._first, *(book for book in self._books.values() if book is not self._first)]
        if changed is not None and (first is None or changed.source.sequence < first):
            fitting = (book for book in books if book.fingerprint != changed.fingerprint)
        elif first is not None:
            signal = msgspec.json.decode(told.bodies[first], type=Signal)
            fitting = (
                book
                for book in books
                if any(rule.name == signal.rule and book.version(rule) == signal.rule_version for rule in book)
            )
        else:
            return self._first
        return next(fitting, self._first)

    def _switches(self, controls: list[Control]) -> list[Switch]:
        """One for each switch of the stage, however many cities were told of it (and however often), in the stage's order: at
        one place rules may change, and change back."""
        found: dict[tuple[int, int, str], Switch] = {}
        for control in controls:
            offset, at = control.source.offset, control.arrival_ts
            key = (offset, switch_number(control.source), control.control)
            if control.control == "rules":
                found[key] = (offset, at, self._book(control.fingerprint or ""), None)
            else:
                found[key] = (offset, at, None, self._registries.at(control.registry_revision or 0))
        # What one switch changed at once is told registry first.
        return [found[key] for key in sorted(found)]

    @staticmethod
    def _take(decided: dict[Sequence, tuple[str, bytes, int]], signals: Iterable[Signal | Control]) -> None:
        for signal in signals:
            if isinstance(signal, Signal):
                decided[signal.source.sequence] = (signal.signal_id, encode(signal), signal.arrival_ts)

    def _compare(self, home: Home, told: _Told, decided: dict[Sequence, tuple[str, bytes, int]]) -> None:
        for sequence in sorted({*told.bodies, *decided}):
            place = f"{home[0]}/{home[1]}/{sequence[0]}"
            recorded, again = told.bodies.get(sequence), decided.get(sequence)
            if again is None:
                self.verified.differences.append(Difference("extra", "signal", told.ids[sequence], place))
            elif recorded is None:
                if again[2] > told.last:
                    self.verified.beyond += 1
                else:
                    self.verified.differences.append(Difference("missing", "signal", again[0], place))
            elif recorded != again[1]:
                self._differ("signal", again[0], place, recorded, again[1])

    # --- incidents -----------------------------------------------------------------------------------------------------------

    def _incidents(self) -> None:
        decided: dict[tuple[str, int], tuple[bytes, bool]] = {}
        for home in self._homes:
            if home[0] == self._signals_topic:
                self._decide(home, decided)
        recorded = self._recorded_incidents()
        self.verified.incidents = len(recorded)
        for key in sorted({*recorded, *decided}):
            name = f"{key[0]} revision {key[1]}"
            if key not in decided:
                self.verified.differences.append(Difference("extra", "incident", name, "city.incidents"))
                continue
            again, finished = decided[key]
            if key in recorded:
                if recorded[key] != again:
                    self._differ("incident", name, "city.incidents", recorded[key], again)
            elif finished:
                self.verified.differences.append(Difference("missing", "incident", name, "city.incidents"))
            else:
                self.verified.beyond += 1

    def _decide(self, home: Home, decided: dict[tuple[str, int], tuple[bytes, bool]]) -> None:
        """Every revision out of one partition of ``city.signals``, and whether the worker was done with its record."""
        finished = self._recording.manifest.committed.get(f"{home[0]}/{home[1]}")
        cities: Cities | None = None
        for offset, _, record in self._records(self._recording.read(*home)):
            if cities is None:
                revision = record.registry_revision
                start = self._recording.manifest.registry_revision if revision is None else revision
                cities = Cities(self._first, self._registries.at(start), self._settings)
            if isinstance(record, Control) and record.control == "registry":
                cities.offer(registry=self._registries.at(record.registry_revision or 0))
            elif isinstance(record, Control) and record.control == "rules":
                cities.offer(rules=self._book(record.fingerprint or ""))
            for incident in cities.process([record]):
                decided[(incident.incident_id, incident.revision)] = (encode(incident), finished is None or offset < finished)

    def _recorded_incidents(self) -> dict[tuple[str, int], bytes]:
        start = topic_name("incidents", self._prefix)
        recorded: dict[tuple[str, int], bytes] = {}
        for topic, partition in self._homes:
            if topic != start and not topic.startswith(f"{start}.level"):
                continue
            for batch in self._recording.read(topic, partition):
                for value in batch.values:
                    incident = None if value is None else decode_record(Incident, value)
                    if value is None or incident is None:
                        continue
                    if isinstance(incident, Cause):
                        self.verified.unreadable += 1
                    elif incident.moved_to is None:
                        self._same_revision(recorded, incident, value)
        return recorded

    def _same_revision(self, recorded: dict[tuple[str, int], bytes], incident: Incident, value: bytes) -> None:
        key = (incident.incident_id, incident.revision)
        before = recorded.setdefault(key, value)
        if before != value:
            self._differ("incident", f"{key[0]} revision {key[1]}", "recorded twice", before, value)

    def _differ(self, what: str, key: str, place: str, recorded: bytes, again: bytes) -> None:
        one, other = msgspec.json.decode(recorded), msgspec.json.decode(again)
        fields = {name: (one.get(name), other.get(name)) for name in {*one, *other} if one.get(name) != other.get(name)}
        self.verified.differences.append(Difference("different", what, key, place, dict(sorted(fields.items()))))


def verify(recording: Recording, books: list[RuleBook], settings: StageSettings | None = None) -> Verified:
    """Decide ``recording`` again under ``books`` and list every difference. Raises Mend where it holds no decisions."""
    return Verification(recording, books, settings).run()

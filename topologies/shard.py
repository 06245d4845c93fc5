"""What one partition of an input stream knows: the gate's memory, its series with the registry's facts, and who is silent.

A shard's slots are those of the gate's :class:`streams.series.SeriesIndex`, except on the stream ``group``, where readings
of many sensors belong to one series, the group, which is the record's key.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.series import Series
from streams.asset_facts import Facts
from streams.batch import Batch, Bool, Int64, RawBatch
from streams.codec import decode
from streams.event_time import FOREVER, Watermark
from streams.gate import Gate, GateSettings
from streams.partitioner import partition_of
from streams.records import DeadLetter, Quarantined
from streams.registry import Registry
from streams.series import SeriesIndex, grown
from topologies.facts import ASSET_KIND, next_boundary, partition_key, report_after_ms, series_of, state_columns
from topologies.hearing import Hearing
from topologies.newcomers import Heard, Newcomers
from topologies.regroup import Groups
from topologies.settings_stages import DetectSettings
from topologies.signs_of_life import signs_of_life

#: Streams whose records say what kind of thing an entity is.
_NAMED = frozenset({"vehicle", "hotline"})


@dataclass(slots=True)
class Found:
    """What codec and gate made of a raw batch; ``outcomes`` add up to its rows."""

    batch: Batch
    dead: list[DeadLetter]
    quarantined: list[Quarantined]
    unknown_fields: int
    #: Index into the raw batch of every row that was read.
    row_of: NDArray[np.int32]
    #: Quarantined rows that show their device speaks; None where there are none.
    alive: Batch | None = None
    outcomes: Counter[str] = field(default_factory=Counter)


class Shard:
    """``facts[slot]`` is the series of a slot; arrays of the shard are as long as its index."""

    def __init__(
        self, stream: str, partition: int, registry: Registry, settings: DetectSettings, gate: GateSettings | None = None
    ) -> None:
        self.stream, self.partition, self.settings = stream, partition, settings
        self.registry = registry
        self._dates = registry.dates
        self.gate = Gate(stream, registry, gate)
        self.index: SeriesIndex = SeriesIndex() if stream == "group" else self.gate.series
        self.facts: list[Series] = []
        self.groups = Groups()
        self._kinds: dict[int, str] = {}
        self._fresh: list[int] = []
        self._mark = Watermark(round(settings.lateness_s.get(stream, 60.0) * 1000))
        self._nobody = Series("", stream=stream)
        self._give_up_ms = round(settings.give_up_s.get(stream, 172_800.0) * 1000)
        self.hearing = Hearing()
        #: Next date of the facts (ms), per slot.
        self._boundary: Int64 = np.zeros(0, dtype=np.int64)
        #: Slots in use that are forgotten when they are silent for long.
        self._passing: Bool = np.zeros(0, dtype=np.bool_)
        self._sweep_due = FOREVER
        self._newcomers = Newcomers(settings.partitions, settings.sweep_s * 1000)

    # --- rows --------------------

    def admit(self, raw: RawBatch) -> Found:
        """Decode and judge records; new series get their facts (ask :meth:`fresh`)."""
        decoded = decode(self.stream, raw)
        admitted = self.gate.admit(decoded, raw)
        batch = admitted.batch
        since: dict[int, tuple[int, int]] = {}
        if self.stream == "group":
            for slot, row in self._by_group(batch, raw).items():
                self._settle(slot, int(batch.arrival[row]))
        else:
            for slot, row in admitted.fresh.items():
                i = int(decoded.row_of[row])
                since[slot] = (raw.offsets[i], int(decoded.part[row]))
                self._settle(slot, raw.arrivals[i], shown=self.stream not in _NAMED)
        if came := self._newcomers.come(batch.slot):
            self._welcome(came, batch, since)
        if self.stream in _NAMED:
            since |= self._name_kinds(batch, bool(since))
        if admitted.quarantined:
            since |= dict.fromkeys(self._newcomers.waiting, (FOREVER, 0))  # nor heard by what nobody can use
        alive = signs_of_life(self.stream, admitted.quarantined, self.index, since, batch)
        if self.stream == "vehicle":
            batch.columns |= state_columns(admitted.fields)
        self._mark.observe(batch.ts)
        late = admitted.late
        outcomes = {
            "processed": len(batch) - late,
            "late": late,
            "duplicate": admitted.duplicates,
            "quarantined": len(admitted.quarantined),
            "dead_letter": len(decoded.dead),
        }
        some = Counter({name: count for name, count in outcomes.items() if count})
        return Found(batch, decoded.dead, admitted.quarantined, decoded.unknown_fields, decoded.row_of, alive, some)

    def _welcome(self, came: Mapping[int, int], batch: Batch, since: dict[int, tuple[int, int]]) -> None:
        """These slots wait no longer, each with the row it came with, which goes into ``since``."""
        for slot, row in came.items():
            since[slot] = (int(batch.offset[row]), int(batch.part[row]))
            self.hearing.since(slot, arrival := int(batch.arrival[row]))
            self._resolve(slot, arrival)
        if self.stream not in _NAMED:
            # Rules are shown what is new in the order of the log, wherever the batch was cut.
            self._fresh = sorted((*self._fresh, *came), key=lambda slot: since.get(slot, (-1, -1)))

    def _name_kinds(self, batch: Batch, fresh: bool) -> dict[int, tuple[int, int]]:
        """Take the kind a vehicle (or the line a call) says it is from its first row; which row that is, (offset, n).

        A registered vehicle has its slot before it speaks; where the registry does not say what it is, its rules begin here.
        A slot whose rows were all refused (a call told again after it was forgotten) is shown to the rules with the first row
        that is not: shown at once it would have its place among them by where the batch was cut.
        """
        everyone = len(self._kinds) == self.index.live  # has said what it is
        if not fresh and (everyone or self._kinds.keys() >= set(batch.slot.tolist())):
            return {}
        named: dict[int, tuple[int, int]] = {}
        for row, slot in enumerate(batch.slot.tolist()):
            if slot in self._kinds:
                continue
            record = batch.records[row]
            self._kinds[slot] = record.line if self.stream == "hotline" else record.kind
            named[slot] = (int(batch.offset[row]), int(batch.part[row]))
            arrival = int(batch.arrival[row])
            if self.facts[slot].registered:
                self._resolve(slot, arrival)
                self._fresh.append(slot)
            else:
                self._settle(slot, arrival)
        return named

    def _by_group(self, batch: Batch, raw: RawBatch) -> dict[int, int]:
        """Rows of the internal topic belong to the group that is their key; the groups that are new, and the row of each."""
        if not len(batch):
            return {}
        place = np.searchsorted(raw.offset_array, batch.offset)
        ids = []
        for row, i in enumerate(place.tolist()):
            key = raw.keys[i]
            if key:
                ids.append(key.decode("utf-8", "replace")[:128])
            else:
                sensor_id = batch.records[row].sensor_id
                facts = self.registry.latest(sensor_id)
                ids.append(facts.group if facts and facts.group else sensor_id)
        batch.slot, fresh = self.index.slots(ids, [None] * len(ids), batch.arrival)
        return fresh

    @property
    def watermark(self) -> int | None:
        return self._mark.value

    @property
    def entities(self) -> int:
        return self.index.live

    def live(self) -> list[int]:
        """Slots in use, ascending."""
        return [slot for slot in range(len(self.index)) if self.index.key(slot) is not None]

    def fresh(self) -> list[int]:
        """Slots given out since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    # --- facts --------------------

    def _settle(self, slot: int, now: int, shown: bool = True) -> None:
        """Facts of a new slot; ``shown``: the rules are to look at it."""
        size = len(self.index)
        self.hearing.grow(size, now)
        self._boundary, self._passing = grown(self._boundary, size, FOREVER), grown(self._passing, size, False)
        while len(self.facts) < size:
            self.facts.append(self._nobody)
        self.hearing.since(slot, None if slot in self._newcomers else now)
        self._resolve(slot, now)
        if not self._stays(slot):
            self._sweep_due = min(self._sweep_due, now + self._give_up_ms)
        if shown:
            self._fresh.append(slot)

    def _resolve(self, slot: int, now: int) -> bool:
        """Facts that hold now; True where they are other ones than before."""
        before = self.facts[slot]
        self._sweep_due = min(self._sweep_due, self._look_up(slot, now))
        return self.facts[slot] != before

    def _look_up(self, slot: int, now: int) -> int:
        """Take the facts that hold at ``now``; when they end."""
        key = self.index.key(slot)
        assert key is not None
        kind = self._kinds.get(slot)
        waits = slot in self._newcomers
        comes_here = (lambda facts: False) if waits else self._comes_here
        self.facts[slot] = series = series_of(self.stream, key, kind, self.registry, now, comes_here)
        self._boundary[slot] = boundary = next_boundary(self.registry, key[0], now)
        after_ms, stays = report_after_ms(series), self._stays(slot)
        if waits:
            self._newcomers.wait(slot, after_ms)
        self._passing[slot] = not stays
        self.hearing.expect(slot, after_ms if stays else 0)
        self.groups.set(slot, series.group if self.stream == "sensor" else None)
        return boundary

    def _stays(self, slot: int) -> bool:
        """Registered entities are never forgotten, unless their records go to another partition: those that partitions were
        added to a topic have moved, and no silence of theirs is one here.
        """
        return self.facts[slot].registered and (self.facts[slot].awaited or slot in self._newcomers)

    def _comes_here(self, facts: Facts) -> bool:
        """Whether the records of a registered entity come to this partition."""
        return partition_of(partition_key(facts), self.settings.partitions) == self.partition

    def expect(self, now: int) -> None:
        """Slots for registered entities whose records come to this partition, so that one never heard is missed (D9); not
        before it is known that the log is of today's partitions (:mod:`topologies.newcomers`).
        """
        kind = ASSET_KIND.get(self.stream)
        if kind is None:
            return
        expected = [
            (facts.asset_id, facts.metric if self.stream == "sensor" else None)
            for facts in self.registry.assets(kind, now)
            if (facts.interval_s or facts.report_after_s)
            and (self.stream != "sensor" or facts.metric is not None)
            and self._comes_here(facts)
        ]
        entities, seconds = [entity for entity, _ in expected], [second for _, second in expected]
        _, fresh = self.index.slots(entities, seconds, np.full(len(expected), now, dtype=np.int64))
        wait = self._newcomers.begin(now, bool(fresh))
        for slot in fresh:
            if wait:
                self._newcomers.wait(slot)
            self._settle(slot, now)

    def switch(self, registry: Registry, now: int, started: bool) -> list[int]:
        """Another registry; returns the slots whose facts are other ones (new slots are :meth:`fresh`)."""
        self.registry = registry
        self._dates = registry.dates
        self.gate.switch(registry)
        self._sweep_due = FOREVER
        changed = [slot for slot in self.live() if self._resolve(slot, now)]
        if started:
            self.expect(now)
        self._due_again()
        return changed

    # --- forgetting --------------------

    def sweep_due(self) -> int | None:
        """Earliest time (ms) at which :meth:`sweep` could find something; may be too early."""
        due = min(self._sweep_due, self._newcomers.due)
        return None if due >= FOREVER else due

    def quiet_until(self, arrival: int) -> int:
        """Before this time no sweep can fall due, whatever series are new in rows that arrive at ``arrival`` or later."""
        place = bisect_right(self._dates, arrival)
        dated = self._dates[place] if place < len(self._dates) else FOREVER
        return min(self._sweep_due, self._newcomers.due, arrival + self._give_up_ms, dated)

    def sweep(self, now: int) -> tuple[list[int], list[int]]:
        """(slots to be forgotten, slots with new facts) at ``now``. Registered entities that belong here are kept for good."""
        gone: list[int] = []
        changed: list[int] = []
        for slot in self._candidates(now):
            if self._boundary[slot] <= now and self._resolve(slot, now):
                changed.append(slot)
            if not self._stays(slot) and self.index.last_arrival[slot] + self._give_up_ms <= now:
                gone.append(slot)
        for slot in self._newcomers.arrived(now, self._who_speaks()) if self._newcomers.due <= now else ():
            self.hearing.since(slot, now)
            if self._resolve(slot, now):
                changed.append(slot)
        leaving = set(gone)
        return gone, [slot for slot in changed if slot not in leaving]

    def _who_speaks(self) -> Heard:
        return Heard.of(self.facts, self.hearing.last, (slot for slot in self.live() if slot not in self._newcomers))

    def _candidates(self, now: int) -> list[int]:
        size = len(self.facts)
        silent = self._passing[:size] & (self.index.last_arrival[:size] + self._give_up_ms <= now)
        found: list[int] = np.flatnonzero(silent | (self._boundary[:size] <= now)).tolist()
        return found

    def forget(self, slots: Iterable[int]) -> None:
        """Let series go, after the rules have."""
        leaving = list(slots)
        self._newcomers.forget(leaving)
        for slot in leaving:
            self.facts[slot] = self._nobody
            self._kinds.pop(slot, None)
            self.groups.set(slot, None)
        self._boundary[leaving], self._passing[leaving] = FOREVER, False
        self.hearing.forget(leaving)
        if self.index is self.gate.series:
            self.gate.forget(leaving)
        else:
            self._forget_members(leaving)
        self._due_again()

    def _forget_members(self, leaving: list[int]) -> None:
        """On the group stream, sensors the gate remembers are forgotten when they are as old as a group that is."""
        if not leaving:
            return
        newest = max(int(self.index.last_arrival[slot]) for slot in leaving)
        self.index.forget(leaving)
        members = self.gate.series
        self.gate.forget(
            [slot for slot in range(len(members)) if members.key(slot) is not None and members.last_arrival[slot] <= newest]
        )

    def _due_again(self) -> None:
        size = len(self.facts)
        passing = self.index.last_arrival[:size][self._passing[:size]]
        ends = int(passing.min()) + self._give_up_ms if len(passing) else FOREVER
        self._sweep_due = min(ends, int(self._boundary[:size].min(initial=FOREVER)))

    # --- state --------------------

    def snapshot(self) -> dict[str, Any]:
        size, waiting = len(self.facts), self._newcomers.snapshot()
        return {
            "gate": self.gate.snapshot(),
            "index": self.index.snapshot() if self.index is not self.gate.series else None,
            "mark": self._mark.snapshot(),
            "heard": self.hearing.last[:size].copy(),
            "kind_slot": np.array(sorted(self._kinds), dtype=np.int32),
            "kind": [self._kinds[slot] for slot in sorted(self._kinds)],
            # When each slot's facts end: with the registry that is all there is to say of them.
            "resolved": self._boundary[:size].copy(),
            "sweep_due": self._sweep_due,
            "newest": self.hearing.newest,
            # Only while there are any; whoever does not know of them misses all of them at once.
            **({} if waiting is None else {"newcomers": waiting}),
        }

    def restore(self, saved: Mapping[str, Any], now: int) -> None:
        """State as it was, with the facts the registry gives at ``now``."""
        self.gate.restore(saved["gate"])
        if saved["index"] is not None:
            self.index.restore(saved["index"])
        self._mark.restore(saved["mark"])
        self._kinds = dict(zip((int(slot) for slot in saved["kind_slot"]), saved["kind"], strict=True))
        self._newcomers.restore(saved.get("newcomers"), begun=now > 0)
        size = len(saved["heard"])
        self.facts = [self._nobody] * size
        self.hearing.restore(saved["heard"], int(saved["newest"]))
        self._boundary = np.full(size, FOREVER, dtype=np.int64)
        self._passing = np.zeros(size, dtype=np.bool_)
        # Facts are followed at sweeps: what has changed since the last one is taken up at the next, as without a restart.
        times = np.minimum(now, np.asarray(saved["resolved"], dtype=np.int64) - 1).tolist()
        for slot in self.live():
            self._look_up(slot, times[slot])
        self._sweep_due = int(saved["sweep_due"])

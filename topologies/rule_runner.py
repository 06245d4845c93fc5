"""One rule on one shard: match series, give them dense slots, measure, judge, hold, and tell (:mod:`topologies.rule_voice`).

A rule sees its own series only, in slots of its own (0, 1, 2 …), so that a detector's arrays are as long as the rule has
series; ``local`` maps the shard's slots to them. Each rule is advanced over a batch by itself and the stage puts the signals
of all into the order of the log, so no batch is cut where only another rule has a timer.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.alarm import Alarm, Transition
from detectors.base import Detector, Measures
from detectors.ladder import Ladder
from detectors.rule import Rule
from detectors.rulebook import RuleBook
from detectors.series import Series
from streams.batch import Batch, Bool, Int32, Int64, rounds
from streams.series import grown
from topologies.rule_context import FRESH_MS, RECORD, TICK_MS, Context, Emit, OffsetAt, Order, grid_after, tick_order
from topologies.rule_voice import RuleVoice
from topologies.stretches import Stretches

_NO_ROWS = np.zeros(0, dtype=np.int64)
#: In slots that nobody has.
_NOBODY = Series("")


class RuleRunner:
    """States of one rule in one shard.

    ``place`` is the rule's position in the book, the last tie-break in the order of signals. ``fresh`` is told of signals.
    """

    #: True where the rule looks at the stream as one.
    whole = False

    def __init__(self, book: RuleBook, rule: Rule, place: int, context: Context, stream: str) -> None:
        self.rule = rule
        self.stream = stream
        self.place = place
        self.context = context
        self.version = book.version(rule)
        self.state_key = book.state_keys[rule.name]
        self.series: list[Series] = []
        self.detector: Detector[Any] = book.detector(rule)(book.params[rule.name], self.series)
        self.ladder = Ladder(rule.levels, rule.direction, self.series)
        self.alarm = Alarm.of(rule, self.ladder)
        #: Shard slot -> own slot, −1 where the rule does not watch the series.
        self.local: Int32 = np.full(0, -1, dtype=np.int32)
        #: Whether each series has the same slot here as in the shard, as where a rule watches all: then none is looked up.
        self._as_it_is = True
        #: The shard's slot of each own one, −1 where it is free.
        self.shard_slot = array("i")
        self._free: list[int] = []
        self._unheard: set[int] = set()
        self._last_tick = 0
        kind = type(self.detector)
        self.ticks = kind.due is not Detector.due
        self._foresees = kind.soonest is not Detector.soonest
        #: The batch in hand and the clock at its rows, for those who feel the pulse (see ``Detector.pulse``).
        self._hearing: tuple[Batch, Int64] | None = None
        self.takes_late = kind.takes_late
        self._repeats = kind.repeats
        #: Whether rows come in rounds (no series twice in one); the others take them in the order of the log.
        self.in_rounds = not (self.ticks or self._repeats)
        self.takes_unmeasured = kind.takes_unmeasured and not self.whole
        self._voice = RuleVoice(rule, self.version, self.stream, context)
        self._attach()

    def _attach(self) -> None:
        """Detectors that look at other assets (fences) are given those of the registry."""
        attach = getattr(self.detector, "attach", None)
        if attach is not None:
            attach(self.context.fences)

    # --- series --------------------

    def watch(self, slots: Sequence[int], facts: Sequence[Series], first_row: bool = False) -> bool:
        """Look at new or changed series that the rule matches, by the shard's ``facts``; True where it watches them.

        ``first_row``: they are new because of a row, so a detector with timers hears of them with that row and not before,
        wherever the batch was cut.
        """
        self.local = grown(self.local, max(slots) + 1, -1)
        mine, changed = [], []
        for slot in slots:
            own = int(self.local[slot])
            if own >= 0 or self._free:
                own = own if own >= 0 else self._free.pop()
                self.series[own], self.shard_slot[own] = facts[slot], slot
                changed.append(own)
            else:
                own = len(self.series)
                self.series.append(facts[slot])
                self.shard_slot.append(slot)
            self.local[slot] = own
            self._as_it_is = self._as_it_is and own == slot
            mine.append(own)
        self.detector.grow(len(self.series))
        self.alarm.grow(len(self.series))
        self.ladder.changed(changed)
        if first_row and self.ticks:
            self._unheard.update(mine)
        else:
            self._unheard.difference_update(mine)
            self.detector.changed(mine)
        return True

    def watched(self, slots: NDArray[np.int64]) -> Bool:
        """Which of these slots of the shard it watches."""
        known = slots < len(self.local)
        known[known] = self.local[slots[known]] >= 0
        return known

    def drop(self, slots: Sequence[int], now: int, offset: int, emit: Emit, why: str) -> None:
        """Stop watching series of the shard; alarms that are raised are told as cleared first.

        All at once: a minute's calls in a large city are thousands, and every alert waits for them.
        """
        which = self.local[slots].astype(np.int64)
        mine = which.tolist()
        raised = set(self.alarm.active().tolist())
        for own in mine:
            if own in raised:
                self._end(own, now, offset, emit, why)
        self.detector.forget(which)
        self.alarm.forget(which)
        self.local[slots] = -1
        for own in mine:
            self._unheard.discard(own)
            self.shard_slot[own], self.series[own] = -1, _NOBODY
        self._voice.forget(mine)
        self._free += mine

    def close(self, now: int, offset: int, emit: Emit, why: str) -> None:
        """The rule leaves the book: every raised alarm is told as cleared."""
        for own in self.alarm.active().tolist():
            self._end(own, now, offset, emit, why)

    def _end(self, own: int, now: int, offset: int, emit: Emit, why: str) -> None:
        level = self.alarm.level(own)
        if not level:
            return
        raised = self.alarm.raised_ts(own)
        gone = Transition(0, own, "cleared", level, level, raised, raised, max(now, raised), float("nan"))
        self._tell(gone, tick_order(offset, now, self.place), now, None, None, emit, text=why)

    # --- time and rows --------------------

    def advance(
        self,
        batch: Batch | None,
        pieces: Sequence[NDArray[Any]],
        clock: Int64 | None,
        since: int,
        until: int,
        at: OffsetAt,
        emit: Emit,
    ) -> None:
        """Show the rows of ``pieces`` (in one, in the order of the log, unless it is :attr:`in_rounds`) and every due tick with
        ``since`` < tick ≤ ``until``, in the order of arrival. ``clock`` is the running maximum of arrival per row."""
        if not self.ticks:
            if batch is not None and pieces:
                self._rounds(batch, pieces, emit)
            return
        self._hearing = (batch, clock) if batch is not None and clock is not None else None
        # A timer that is set late (a series that is new, a rule that is new) does not fire in the past.
        self._last_tick = max(self._last_tick, since // TICK_MS * TICK_MS)
        rows = pieces[0] if pieces else _NO_ROWS
        times = clock[rows] if clock is not None else _NO_ROWS
        asking = (lambda: self.detector.soonest(self._mine(batch, rows))) if batch is not None and self._foresees else None
        stretches, done = Stretches(times, asking), 0
        while True:
            tick = self._next_tick()
            stop = tick if tick is not None and tick <= until else None
            if done < len(rows) and (stop is None or times[done] < stop):
                assert batch is not None
                end = stretches.end(done, stop, partial(self._new_among, batch, rows) if self._unheard else None)
                self._stretch(batch, rows[done:end], emit)
                self._last_tick = max(self._last_tick, int(times[end - 1]) // TICK_MS * TICK_MS)
                done = end
            elif stop is None:
                self._last_tick = max(self._last_tick, until // TICK_MS * TICK_MS)
                return
            else:
                self._tick(stop, at, emit)

    def _new_among(self, batch: Batch, rows: NDArray[Any], first: int, end: int) -> Bool:
        return np.isin(self.local[batch.slot[rows[first:end]]], list(self._unheard))

    def _next_tick(self) -> int | None:
        due = self.detector.due()
        return None if due is None else max(grid_after(due), self._last_tick + TICK_MS)

    def _tick(self, now: int, at: OffsetAt, emit: Emit) -> None:
        self._last_tick = now
        if self.detector.feels_pulse:
            self.detector.pulse = self._pulse(now)
        said = self.detector.tick(now)
        if said is None or said.slot is None or not len(said.slot):
            return
        slot = said.slot.astype(np.int32)
        for change in self.alarm.step(slot, said.measure, np.full(len(slot), now, dtype=np.int64)):
            self._tell(change, tick_order(at(now), now, self.place), now, said, None, emit)

    def _pulse(self, now: int) -> int | None:
        """When something came last before ``now`` that was not long on its way."""
        if self._hearing is not None:
            batch, clock = self._hearing
            fresh = clock[batch.arrival - batch.ts <= FRESH_MS]
            seen = int(fresh.searchsorted(now))
            if seen:
                return int(fresh[seen - 1])
        return self.context.pulse

    def _stretch(self, batch: Batch, rows: NDArray[Any], emit: Emit) -> None:
        if len(rows) == 1 or self._repeats:
            self._rows(batch, rows, emit)
        else:
            self._rounds(batch, [rows[piece] for piece in rounds(batch.slot[rows])], emit)

    def _rounds(self, batch: Batch, pieces: Sequence[NDArray[Any]], emit: Emit) -> None:
        """Pieces of distinct series, one after the other. Taken once, so that a piece is no more than a slice."""
        if len(pieces) == 1:
            self._rows(batch, pieces[0], emit)
            return
        rows = np.concatenate(pieces)
        whole = batch.take(rows, self.local[batch.slot[rows]])
        done = 0
        for piece in pieces:
            self._said(whole.cut(done, done + len(piece)), emit)
            done += len(piece)

    def _rows(self, batch: Batch, rows: NDArray[Any], emit: Emit) -> None:
        """Rows in the order of the log; of distinct series, unless the detector takes repeated ones."""
        self._said(self._mine(batch, rows), emit)

    def _mine(self, batch: Batch, rows: NDArray[Any]) -> Batch:
        """Rows in the order of the log under the rule's own slots; of rows that stand side by side nothing is copied."""
        first, end = int(rows[0]), int(rows[-1]) + 1
        if end - first > len(rows):
            return batch.take(rows, None if self._as_it_is else self.local[batch.slot[rows]])
        part = batch if len(rows) == len(batch) else batch.cut(first, end)
        return part if self._as_it_is else part.under(self.local[part.slot])

    def _said(self, part: Batch, emit: Emit) -> None:
        if self._unheard:
            new = [own for own in part.slot.tolist() if own in self._unheard]
            if new:
                self._unheard.difference_update(new)
                self.detector.changed(new)
        measures = self.detector.measure(part)
        if self.ticks and part.stream == "vehicle":
            self._voice.places.remember(part)
        judge = self.alarm.run if self._repeats else self.alarm.step
        for change in judge(part.slot, measures.measure, part.ts):
            row = change.row
            order = (part.offset.item(row), RECORD, part.part.item(row), self.place, 0)
            self._tell(change, order, part.arrival.item(row), measures, part, emit)

    def _tell(
        self,
        change: Transition,
        order: Order,
        arrival: int,
        measures: Measures | None,
        part: Batch | None,
        emit: Emit,
        text: str | None = None,
    ) -> None:
        emit(order, self._voice.signal(change, self.series[change.slot], arrival, measures, part, text))

    # --- state --------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "shard_slot": np.array(self.shard_slot, dtype=np.int32),
            "free": np.array(self._free, dtype=np.int32),
            **self._voice.snapshot(),
            "last_tick": self._last_tick,
            "detector": self.detector.snapshot(),
            "alarm": self.alarm.snapshot(),
        }

    def restore(self, saved: Mapping[str, Any], facts: Sequence[Series]) -> None:
        """Take a snapshot back; ``facts`` are those of the shard's slots now."""
        shard_slots = np.asarray(saved["shard_slot"], dtype=np.int32)
        own = np.flatnonzero(shard_slots >= 0)
        self.series.extend(facts[slot] if slot >= 0 else _NOBODY for slot in shard_slots.tolist())
        self.shard_slot = array("i", shard_slots.tolist())
        self._free = [int(slot) for slot in saved["free"]]
        self.local = np.full(max(64, len(facts)), -1, dtype=np.int32)
        self.local[shard_slots[own]] = own
        self._as_it_is = bool((shard_slots[own] == own).all())
        self._voice.restore(saved)
        self._last_tick = int(saved["last_tick"])
        size = len(self.series)
        if type(self.detector).changed is not Detector.changed:
            # Facts first, so that what a detector derives from them is there, and then its state as it was.
            self.detector.grow(size)
            self.detector.changed(own.tolist())
        self.detector.restore(saved["detector"])
        self.detector.grow(size)
        self.alarm.restore(saved["alarm"])
        self.alarm.grow(size)

    def of_book(self, book: RuleBook, rule: Rule, place: int) -> None:
        """Go on under another book whose rule has the same state key: only what is said may have changed."""
        self.rule, self.place, self.version = rule, place, book.version(rule)
        self.state_key = book.state_keys[rule.name]
        self._voice.of_rule(rule, self.version)

    def registry_changed(self) -> None:
        self._attach()

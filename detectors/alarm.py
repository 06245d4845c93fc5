"""The alarm holds: from levels reached row by row to an alarm that is raised, updated and cleared.

Per (slot, rung): a rung is *met* when it was reached in ``for_count`` rows running and for ``for_s`` seconds (``any``: or); a
met rung is *held* until the measure was within ``clear`` for ``hold_count`` rows running and ``hold_s`` seconds. The alarm's
level is its most severe held rung; a signal is due when that level changes (ISA-18.2 calls the two delays on-delay and
off-delay, the gap between the bounds deadband).

Time is that of the rows (event time; for ticks the grid's time) and never moves backwards within an alarm. Rows that neither
reach a rung nor meet a waiting or held one cost one comparison, and a slot that never reached a rung is no more than two
numbers: most of a city never does, and its alarms would be a third of its checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from detectors.alarm_row import one_row
from detectors.base import Columns, Snapshot
from detectors.ladder import Ladder
from detectors.rule import Rule
from detectors.transition import Transition
from streams.batch import Float64, Int32, Int64, rounds
from streams.records import Phase

PHASES: tuple[Phase, Phase, Phase] = ("raised", "updated", "cleared")
RAISED, UPDATED, CLEARED = 0, 1, 2
_NEVER = np.iinfo(np.int64).min
#: Below so many rows one at a time is quicker than all at once; below the second, also to look whether there is anything to do.
_FEW = 12
_LEAST = 2

__all__ = ["Alarm", "Transition"]


@dataclass(slots=True, frozen=True)
class Delay:
    """On-delay and off-delay of one rung; ``either``: count or time suffices."""

    for_ms: int
    for_count: int
    either: bool
    hold_ms: int
    hold_count: int


def _no_slots() -> Columns:
    return Columns(busy=(np.bool_, False), row=(np.int32, -1))


class Alarm:
    """Alarm states of one rule in one shard, one row per slot. Pure: rows in, transitions out.

    ``momentary``: each row that meets a rung is a raise of its own and nothing is held. ``quiet_s``: that long after a raise
    the same slot raises no other, except at a more severe level than it had.
    """

    def __init__(self, ladder: Ladder, *, momentary: bool = False, quiet_s: float = 0.0) -> None:
        self.ladder = ladder
        self.momentary = momentary
        rungs = ladder.rungs
        self.quiet_ms = round(quiet_s * 1000)
        self.delays = tuple(
            Delay(round(rung.for_s * 1000), rung.for_count, rung.for_mode == "any", round(rung.hold_s * 1000), rung.hold_count)
            for rung in rungs
        )
        self._for_ms = np.array([round(rung.for_s * 1000) for rung in rungs], dtype=np.int64)
        self._for_count = np.array([rung.for_count for rung in rungs], dtype=np.int32)
        self._any = np.array([rung.for_mode == "any" for rung in rungs])
        self._hold_ms = np.array([round(rung.hold_s * 1000) for rung in rungs], dtype=np.int64)
        self._hold_count = np.array([rung.hold_count for rung in rungs], dtype=np.int32)
        width = (len(rungs),)
        #: Per slot: whether a rung waits or is held, and the row of :attr:`state` that has it; −1 where none ever was reached.
        self.slots = _no_slots()
        #: One row for each slot that ever reached a rung, in the order in which they did.
        self.state = Columns(
            level=(np.int8, 0),
            worst=(np.int8, 0),
            last=(np.int64, _NEVER),
            raised=(np.int64, _NEVER),
            held=(np.bool_, False, width),
            count=(np.int32, 0, width),
            since=(np.int64, _NEVER, width),
            within=(np.int32, 0, width),
            within_since=(np.int64, _NEVER, width),
        )
        #: Rows of slots that were forgotten, to be given out again.
        self._free: list[int] = []

    @classmethod
    def of(cls, rule: Rule, ladder: Ladder) -> Alarm:
        return cls(ladder, momentary=rule.momentary, quiet_s=rule.quiet_s)

    def grow(self, size: int) -> None:
        """Room for slots 0 … size-1, here and in the ladder."""
        self.ladder.grow(size)
        self.slots.grow(size)

    def row(self, slot: int) -> int:
        """The slot's row of :attr:`state`, from now on if it had none."""
        found = int(self.slots["row"][slot])
        return found if found >= 0 else int(self._rows(np.array([slot]))[0])

    def _rows(self, slot: NDArray[Any]) -> NDArray[np.int32]:
        """Rows of :attr:`state` of distinct slots, each from now on if it had none."""
        rows: NDArray[np.int32] = self.slots["row"][slot]
        new = np.flatnonzero(rows < 0)
        if len(new):
            again = [self._free.pop() for _ in range(min(len(new), len(self._free)))]
            first = self.state.size
            self.state.grow(first + len(new) - len(again))
            rows[new] = [*again, *range(first, self.state.size)]
            self.slots["row"][slot[new]] = rows[new]
        return rows

    def level(self, slot: int) -> int:
        """The level a slot's alarm has now; 0 where none is raised."""
        row = int(self.slots["row"][slot])
        return int(self.state["level"][row]) if row >= 0 else 0

    def raised_ts(self, slot: int) -> int:
        """When the slot's alarm was last raised (names its signal); meaningful while :meth:`level` is not 0."""
        return int(self.state["raised"][self.slots["row"][slot]])

    def active(self) -> NDArray[np.intp]:
        """Slots whose alarm is raised, in their order."""
        known: NDArray[np.intp] = np.flatnonzero(self.slots["row"][: self.slots.size] >= 0)
        raised: NDArray[np.intp] = known[self.state["level"][self.slots["row"][known]] > 0]
        return raised

    def step(self, slot: Int32, measure: Float64, ts: Int64) -> list[Transition]:
        """Rows (or what a tick says) of distinct slots, with the time of each; transitions in the order of the rows.

        A NaN measure says nothing: the state stays as it is.
        """
        if len(slot) <= _LEAST:
            return self._singly(range(len(slot)), slot, measure, ts)
        if not self.ladder.stirs(slot, measure, self.slots["busy"] if self.state.size else None):
            return []
        touched = self.ladder.touched(slot, measure) | self.slots["busy"][slot]
        rows = np.flatnonzero(touched & (measure == measure))
        if len(rows) <= _FEW:
            return self._singly(rows.tolist(), slot, measure, ts)
        return list(self._advance(rows, slot[rows], measure[rows], ts[rows]))

    def run(self, slot: Int32, measure: Float64, ts: Int64) -> list[Transition]:
        """As :meth:`step` for rows in the order of the log, in which a slot may occur any number of times."""
        if len(slot) <= _LEAST:
            return self._singly(range(len(slot)), slot, measure, ts)
        if not self.ladder.stirs(slot, measure, self.slots["busy"] if self.state.size else None):
            return []
        if len(slot) <= _FEW:
            return self._singly(range(len(slot)), slot, measure, ts)
        touched = self.ladder.touched(slot, measure) | self.slots["busy"][slot]
        # Only rows of slots that are touched can change anything: the first touched row of a slot may make it wait.
        concerned = np.zeros(len(self.slots["busy"]), dtype=np.bool_)
        concerned[slot[touched]] = True
        rows = np.flatnonzero(concerned[slot])
        pieces = rounds(slot[rows])
        if len(rows) <= _FEW * len(pieces):
            return self._singly(rows.tolist(), slot, measure, ts)
        found: list[Transition] = []
        for piece in pieces:
            some = rows[piece]
            found += (replace(one, row=int(some[one.row])) for one in self.step(slot[some], measure[some], ts[some]))
        return sorted(found, key=lambda one: one.row)

    def _singly(self, rows: Sequence[int], slot: Int32, measure: Float64, ts: Int64) -> list[Transition]:
        found = (one_row(self, row, int(slot[row]), float(measure[row]), int(ts[row])) for row in rows)
        return [one for one in found if one is not None]

    def _advance(self, rows: NDArray[np.intp], slot: Int32, measure: Float64, ts: Int64) -> Iterator[Transition]:
        state, own = self.state, self._rows(slot)
        now = np.maximum(ts, state["last"][own])
        state["last"][own] = now
        at = now[:, None]
        reached, left = self.ladder.judge(slot, measure)
        held = state["held"][own]

        before_count = state["count"][own]
        # A count may not wrap: it stops where every for_count is long met.
        count = np.where(reached, np.minimum(before_count, 2**30) + 1, 0)
        since = np.where(reached & (before_count == 0) & ~held, at, state["since"][own])
        counted = count >= self._for_count
        lasted = at - since >= self._for_ms
        met = reached & np.where(self._any, counted | lasted, counted & lasted)

        before = state["level"][own]
        raised = state["raised"][own]
        if self.quiet_ms:
            quiet = (raised != _NEVER) & (now - raised < self.quiet_ms) & ((before == 0) | self.momentary)
            met &= ~(quiet[:, None] & (self.ladder.levels >= state["worst"][own][:, None]))

        if self.momentary:
            yield from self._moments(rows, slot, own, now, met, since)
            busy = count.any(axis=1)
        else:
            before_within = state["within"][own]
            within = np.where(held & left, np.minimum(before_within, 2**30) + 1, 0)
            within_since = np.where(held & left & (before_within == 0), at, state["within_since"][own])
            ended = held & left & (within >= self._hold_count) & (at - within_since >= self._hold_ms)
            held = (held & ~ended) | met
            within[~held] = 0
            yield from self._changes(rows, slot, own, now, held, since, within_since)
            state["held"][own] = held
            state["within"][own] = within
            state["within_since"][own] = np.where(within > 0, within_since, _NEVER)
            busy = (held | (count > 0)).any(axis=1)
        state["count"][own] = count
        # A held rung keeps the time it was first reached, also while its measure is between clear and raise.
        state["since"][own] = np.where(held | (count > 0), since, _NEVER)
        self.slots["busy"][slot] = busy

    def _worst(self, which: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Most severe level of each row of a (rows, rungs) mask; 0 for none."""
        return np.where(which.any(axis=1), self.ladder.levels[which.argmax(axis=1)], 0).astype(np.int8)

    def _moments(
        self, rows: NDArray[np.intp], slot: Int32, own: Int32, now: Int64, met: NDArray[np.bool_], since: Int64
    ) -> Iterator[Transition]:
        hit = np.flatnonzero(met.any(axis=1))
        rung = met[hit].argmax(axis=1)
        who, at, level = slot[hit], now[hit], self.ladder.levels[rung]
        self.state["raised"][own[hit]], self.state["worst"][own[hit]] = at, level
        told = (rows[hit], who, level, at, since[hit, rung], self.ladder.raises(who, rung))
        for row, s, reached, t, first, bound in zip(*(column.tolist() for column in told), strict=True):
            yield Transition(row, s, "raised", reached, 0, t, first, t, bound)

    def _changes(
        self,
        rows: NDArray[np.intp],
        slot: Int32,
        own: Int32,
        now: Int64,
        held: NDArray[np.bool_],
        since: Int64,
        within_since: Int64,
    ) -> Iterator[Transition]:
        state = self.state
        before = state["level"][own]
        level = self._worst(held)
        for i in np.flatnonzero(level != before).tolist():
            s, o, t, was, new = int(slot[i]), int(own[i]), int(now[i]), int(before[i]), int(level[i])
            phase: Phase = "raised" if not was else "updated" if new else "cleared"
            if phase == "raised":
                state["raised"][o] = t
                state["worst"][o] = new
            state["worst"][o] = min(int(state["worst"][o]), new or was)
            named = new or was
            column = self.ladder.level_list.index(named)
            first = int((since if new else within_since)[i, column])
            bounds = self.ladder.bounds(s, named)
            state["level"][o] = new
            yield Transition(
                int(rows[i]), s, phase, named, was, int(state["raised"][o]), first, t, bounds[0] if new else bounds[1]
            )

    def forget(self, slots: NDArray[np.intp]) -> None:
        """Blank the slots' alarms without a word; whoever forgets a raised one tells it first (:meth:`level`)."""
        rows = self.slots["row"][slots]
        rows = rows[rows >= 0]
        self.state.forget(rows)
        self._free += rows.tolist()
        self.slots.forget(slots)

    def snapshot(self) -> Snapshot:
        """Of the slots that ever reached a rung, in their order: what was told in which order means nothing any more."""
        row = self.slots["row"][: self.slots.size]
        slot = np.flatnonzero(row >= 0).astype(np.int32)
        columns = {name: column[row[slot]] for name, column in self.state.snapshot().items()}
        return {"size": self.slots.size, "slot": slot, "busy": self.slots["busy"][slot], **columns}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back a snapshot written under the same rungs.

        Raises ValueError where the number of rungs is another one: the rule's fingerprint has changed, so its state is void.
        """
        held = np.asarray(saved.get("held"))
        if held.ndim != 2 or held.shape[1] != len(self.ladder.rungs):
            raise ValueError("snapshot of an alarm with other rungs")
        self.state.restore(saved)
        self._free = []
        self.slots = _no_slots()
        self.slots.grow(int(saved["size"]))
        slot = np.asarray(saved["slot"])
        self.slots["row"][slot] = np.arange(len(slot), dtype=np.int32)
        self.slots["busy"][slot] = saved["busy"]

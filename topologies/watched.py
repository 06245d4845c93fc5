"""Which rules watch which series of a shard: rows go only to rules that want them, and a rule without rows costs nothing.

Series with the same watchers share a *set*; a batch is planned by the sets that occur in it, so sixty rules whose metric is
absent are not even asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detectors.series import Series
from streams.batch import Bool, Int32
from topologies.rule_match import Matching
from topologies.rule_runner import RuleRunner

#: Combinations of sets that are remembered: batches of one shard hold the same few again and again.
_PLANS = 1_000
#: Per rule (its place in the book): all rows, or a mask of those it watches.
Plan = dict[int, Literal[True] | Bool]
#: Rules, each with the slots it watches no longer.
Leaving = list[tuple[RuleRunner, list[int]]]


class Watched:
    """Rules of one shard in the order of the book."""

    def __init__(self, runners: Iterable[RuleRunner] = ()) -> None:
        self.runners: list[RuleRunner] = []
        self.ticking: list[RuleRunner] = []
        self._by_place: dict[int, RuleRunner] = {}
        #: Rules that look at the stream as one: all rows are theirs.
        self._whole: list[int] = []
        #: Set number of each shard slot; 0 is "no rule".
        self._set_of: Int32 = np.zeros(64, dtype=np.int32)
        self._sets: list[tuple[int, ...]] = [()]
        self._number: dict[tuple[int, ...], int] = {(): 0}
        #: By the sets a batch holds, as bytes. A set never changes; a rule that joins makes them void.
        self._plans: dict[bytes, Plan] = {}
        self._matching = Matching()
        for runner in runners:
            self.add(runner)

    def add(self, runner: RuleRunner) -> None:
        self.runners.append(runner)
        self._plans.clear()
        self._matching.add(runner.place, runner.rule.match)
        self._by_place[runner.place] = runner
        if runner.whole:
            self._whole.append(runner.place)
        if runner.ticks:
            self.ticking.append(runner)

    def sync(self, slots: Iterable[int], facts: Sequence[Series], first_row: bool) -> Leaving:
        """Show new or changed series, by the shard's ``facts``, to the rules they concern; returns who watched which of them
        and does so no longer.
        """
        wanted = {slot: self._concerned_by(facts[slot]) for slot in slots}
        leaving: dict[int, list[int]] = {}
        for slot, places in wanted.items():
            for place in self._watching(slot):
                if place not in places:
                    leaving.setdefault(place, []).append(slot)
        watching = self._show(wanted, facts, first_row)
        for slot, places in wanted.items():
            self._set(slot, tuple(place for place in places if place in watching))
        return [(self._by_place[place], slots) for place, slots in leaving.items()]

    def _concerned_by(self, series: Series) -> tuple[int, ...]:
        """Places of the rules that are to watch a series; rules of silence only where something of it is to come."""
        places = self._matching(series)
        return places if series.awaited else tuple(place for place in places if not self._by_place[place].takes_unmeasured)

    def _show(self, wanted: Mapping[int, Iterable[int]], facts: Sequence[Series], first_row: bool) -> set[int]:
        """Show each rule (its place) all slots at once that are its; which rules watch what they were shown."""
        shown: dict[int, list[int]] = {}
        for slot, places in wanted.items():
            for place in places:
                shown.setdefault(place, []).append(slot)
        return {place for place, slots in shown.items() if self._by_place[place].watch(slots, facts, first_row)}

    def _watching(self, slot: int) -> tuple[int, ...]:
        """Places of the rules that watch the slot now."""
        return self._sets[self._set_of[slot]] if slot < len(self._set_of) else ()

    def note(self, facts: Sequence[Series], live: Iterable[int]) -> None:
        """After a restore: rules that know a slot keep it as it is, the others it concerns are shown it."""
        held: list[tuple[int, ...]] = [()] * len(facts)
        for runner in self.runners:
            with_it: dict[tuple[int, ...], tuple[int, ...]] = {}
            for slot in runner.shard_slot:
                if slot >= 0:
                    without = held[slot]
                    if without not in with_it:
                        with_it[without] = (*without, runner.place)
                    held[slot] = with_it[without]
        live = list(live)
        new = {
            slot: places
            for slot in live
            if (places := [place for place in self._concerned_by(facts[slot]) if place not in held[slot]])
        }
        watching = self._show(new, facts, first_row=False)
        for slot in live:
            joined = [place for place in new.get(slot, ()) if place in watching]
            self._set(slot, tuple(sorted((*held[slot], *joined))) if joined else held[slot])

    def leave(self, slots: Sequence[int]) -> Leaving:
        """The shard forgets the slots; the rules that watch any of them, each with those it watches, in their order."""
        which = np.array(slots, dtype=np.int64)
        self._set_of[which[which < len(self._set_of)]] = self._number[()]
        found = [(runner, which[runner.watched(which)].tolist()) for runner in self.runners]
        return [(runner, mine) for runner, mine in found if mine]

    def _set(self, slot: int, watching: tuple[int, ...]) -> None:
        if slot >= len(self._set_of):
            self._set_of = np.concatenate(
                [self._set_of, np.zeros(max(slot + 1 - len(self._set_of), len(self._set_of)), np.int32)]
            )
        number = self._number.get(watching)
        if number is None:
            number = self._number[watching] = len(self._sets)
            self._sets.append(watching)
        self._set_of[slot] = number

    def plan(self, slot: Int32) -> Plan:
        """Which rows each rule is to be shown."""
        which = self._set_of[slot]
        present: NDArray[np.intp] = np.bincount(which, minlength=len(self._sets)).nonzero()[0]
        wanted = self._wanted(present)
        return {place: True if sets is True else sets[which] for place, sets in wanted.items()}

    def concerned(self, plan: Plan) -> list[RuleRunner]:
        """The rules that have rows or may have ticks, in the order of the book."""
        return [runner for runner in self.runners if runner.ticks or runner.place in plan]

    def _wanted(self, present: NDArray[np.intp]) -> Plan:
        """Per rule: all sets that are ``present``, or a mask over the sets of those it watches."""
        key = present.tobytes()
        found = self._plans.get(key)
        if found is None:
            members: dict[int, list[int]] = {}
            for number in present.tolist():
                for place in self._sets[number]:
                    members.setdefault(place, []).append(number)
            found = dict.fromkeys(self._whole, True)
            for place, numbers in members.items():
                mask = np.zeros(int(present[-1]) + 1, dtype=np.bool_)
                mask[numbers] = True
                found[place] = True if len(numbers) == len(present) else mask
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = found
        return found

"""Base of detectors that know fences: which fences concern which vehicle, and which of them hold a position.

A rule names fences by kind, by id, or by an attribute of the vehicle (``allowed_fences``, ``route``), whose value in the
registry is one fence id, a list of them, or the geometry itself. A vehicle with that attribute is judged by its own fences
only.

The fences come from outside by :meth:`Fenced.attach`, at the start and whenever the registry's sites have changed; they are
reference data, not state, and stand in no snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from detectors.base import Detector, Params
from detectors.fence_grid import Index
from detectors.fences import FenceSet, inline_id
from detectors.series import Series
from streams.batch import Bool, Float64, Int32, Int64


class FencedParams(Params, frozen=True):
    """Fences of any of ``kinds`` or ``ids``, or those the vehicle's ``attribute`` names, if it has that attribute."""

    kinds: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    attribute: str | None = None


F = TypeVar("F", bound=FencedParams)


class Fenced(Detector[F]):
    """A detector with fences. Without :meth:`attach` it knows none."""

    def __init__(self, params: F, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self.fences = FenceSet()
        self._general: tuple[int, ...] = ()
        self._picked: Bool = np.zeros(1, dtype=np.bool_)
        #: Fences a slot's own attribute names; slots that are absent go by the general choice.
        self._own: dict[int, tuple[int, ...]] = {}
        self._own_pairs: Int64 = np.empty(0, dtype=np.int64)
        self._stale = False

    def attach(self, fences: FenceSet) -> None:
        """These are the fences from now on. Called before the first batch and at a switch of the registry."""
        self.fences = fences
        general = {*fences.of_kinds(self.params.kinds), *fences.named(self.params.ids)}
        self._general = tuple(sorted(general))
        self._picked = np.zeros(max(1, len(fences)), dtype=np.bool_)
        self._picked[list(self._general)] = True
        self._own.clear()
        self.changed(range(len(self.series)))

    def changed(self, slots: Sequence[int]) -> None:
        if self.params.attribute is None:
            return
        for slot in slots:
            named = self.series[slot].attributes.get(self.params.attribute)
            if named is None:
                self._own.pop(slot, None)
            else:
                if isinstance(named, str):
                    ids = [named]
                elif isinstance(named, Mapping):  # a geometry in place of an id
                    ids = [inline_id(self.series[slot].entity, self.params.attribute)]
                else:
                    ids = [str(each) for each in named] if isinstance(named, Iterable) else []
                self._own[slot] = tuple(self.fences.named(ids))
        self._stale = True

    def forget(self, slots: Int32) -> None:
        super().forget(slots)
        for slot in np.atleast_1d(slots).tolist():
            self._own.pop(slot, None)
        self._stale = True

    def fences_of(self, slot: int) -> tuple[int, ...]:
        """Numbers of the fences that concern the slot."""
        return self._own.get(slot, self._general)

    def by_choice(self, slot: Int32) -> list[tuple[tuple[int, ...], Index]]:
        """Rows gathered by the fences that concern them: (numbers of the fences, rows)."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for row, each in enumerate(slot.tolist()):
            groups.setdefault(self.fences_of(each), []).append(row)
        return [(numbers, np.array(rows)) for numbers, rows in groups.items()]

    def concerns(self, slot: Int32, fence: Index) -> Bool:
        """Whether each fence concerns each slot (arrays of one length)."""
        picked: Bool = self._picked[fence]
        if self._own:
            if self._stale:
                pairs = [owner * len(self.fences) + number for owner, numbers in self._own.items() for number in numbers]
                self._own_pairs = np.array(sorted(pairs), dtype=np.int64)
                self._stale = False
            has_own = np.isin(slot, np.fromiter(self._own, dtype=np.int64, count=len(self._own)))
            own = np.isin(slot.astype(np.int64) * len(self.fences) + fence, self._own_pairs)
            picked = np.where(has_own, own, picked)
        return picked

    def holding(self, slot: Int32, lon: Float64, lat: Float64, ts: Int64, margin_m: float = 0.0) -> tuple[Index, Index]:
        """(row, fence) for every fence that concerns the row's slot, holds at its time, and contains its position."""
        if not len(self.fences):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        every = range(len(self.fences))
        row, fence = self.fences.grid(every, margin_m).query(lon, lat)
        good = self.concerns(slot[row], fence)
        row, fence = row[good], fence[good]
        good = self.fences.times(every, fence, ts[row])
        return row[good], fence[good]

"""The ladder judges: which levels a measure reaches, and which it has left, by the bounds that hold for its series.

A bound is a number, or a limit of the asset (``limits[name] * times + plus``), so bounds are arrays with one row per slot and
one column per rung. A rung whose limit the asset does not have is not judged: never reached, and left if it was held (a
limit that was taken from the registry must not hold an alarm for ever).

``direction = "below"`` is judged by turning the sign of measures and bounds, so everything here reads as "above".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.rule import Bound, Limit, Rung
from detectors.series import Series
from streams import compiled
from streams.batch import Bool, Float64, Int32
from streams.series import grown

Reached = tuple[Bool, Bool]


def resolve(bound: Bound, series: Series) -> float:
    """The number a bound stands for in one series; NaN where the asset lacks the limit.

    >>> resolve(Limit("warning", plus=-0.3), Series("RIV-1", limits={"warning": 9.5}))
    9.2
    """
    if not isinstance(bound, Limit):
        return float(bound)
    value = series.limits.get(bound.limit)
    return float("nan") if value is None else float(value) * bound.times + bound.plus


class Ladder:
    """Bounds per (slot, rung). Rungs are kept with the most severe first: column 0 is the lowest level number.

    ``series`` is shared with the caller as for :class:`detectors.base.Detector`: call :meth:`grow` after appending, and
    :meth:`changed` when the facts of slots are other ones.
    """

    def __init__(self, rungs: Sequence[Rung], direction: str, series: Sequence[Series]) -> None:
        self.rungs: tuple[Rung, ...] = tuple(sorted(rungs, key=lambda rung: rung.level))
        self.level_list = [rung.level for rung in self.rungs]
        self.levels: NDArray[np.int8] = np.array([rung.level for rung in self.rungs], dtype=np.int8)
        self.series = series
        self._sign = -1.0 if direction == "below" else 1.0
        self._fixed = not any(isinstance(b, Limit) for rung in self.rungs for b in (rung.raise_, rung.clear))
        #: Bounds of a slot before its series is looked at; where no rung names a limit, of every slot.
        self._blank = self._row(Series(""))
        self._bound = _mildest(self._blank[0])
        self._raise = np.full((0, len(self.rungs)), np.nan)
        self._clear = np.full((0, len(self.rungs)), np.nan)
        #: The mildest bound per slot: below it no rung is reached, which is what nearly every row shows.
        self._mildest = np.full(0, np.nan)
        self._size = 0

    def _row(self, series: Series) -> tuple[list[float], list[float]]:
        raises, clears = [], []
        for rung in self.rungs:
            up = self._sign * resolve(rung.raise_, series)
            down = up if rung.clear is None else self._sign * resolve(rung.clear, series)
            whole = up == up and down == down
            raises.append(up if whole else float("nan"))
            clears.append(down if whole else float("nan"))
        return raises, clears

    def grow(self, size: int) -> None:
        """Bounds of the new slots up to ``size`` are taken from ``series``."""
        raises, clears = self._blank
        if self._fixed:
            self._alike(size)
            return
        self._raise, self._clear = grown(self._raise, size, raises), grown(self._clear, size, clears)
        self._mildest = grown(self._mildest, size, self._bound)
        if size > self._size:
            first, self._size = self._size, size
            self.changed(range(first, size))

    def _alike(self, size: int) -> None:
        """One row that all slots share: of a large city its repetitions would weigh more than what is learned."""
        if size > self._size:
            self._size = size + size // 8
            wide = self._size, len(self.rungs)
            raises, clears = self._blank
            self._raise, self._clear = np.broadcast_to(raises, wide), np.broadcast_to(clears, wide)
            self._mildest = np.broadcast_to(self._bound, wide[:1])

    def changed(self, slots: Sequence[int] | range) -> None:
        if self._fixed:
            return
        for slot in slots:
            raises, clears = self._row(self.series[slot])
            self._raise[slot] = raises
            self._clear[slot] = clears
            self._mildest[slot] = _mildest(raises)

    def touched(self, slot: Int32, measure: Float64) -> Bool:
        """Rows whose measure reaches at least one rung."""
        return (measure if self._sign > 0 else -measure) >= self._mildest[slot]

    def stirs(self, slot: Int32, measure: Float64, busy: Bool | None) -> bool:
        """Whether any row reaches a rung, or is of a slot that is ``busy`` (one per slot; None: none is); of nearly every
        batch none does."""
        if busy is None and self._fixed and compiled.AVAILABLE:
            # Bounds that are the same for all need not be looked up, which in a large city is a wait for each row.
            return first_beyond(self._sign, self._bound, measure) >= 0
        if busy is None:
            return bool(self.touched(slot, measure).any())
        if compiled.AVAILABLE:
            return first_stirring(self._sign, self._mildest, busy, slot, measure) >= 0
        return bool((self.touched(slot, measure) | busy[slot]).any())

    def touches(self, slot: int, measure: float) -> bool:
        """:meth:`touched` of one row."""
        return bool((measure if self._sign > 0 else -measure) >= self._mildest[slot])

    def judge_row(self, slot: int, measure: float) -> tuple[list[bool], list[bool]]:
        """:meth:`judge` of one row, per rung."""
        signed = measure if self._sign > 0 else -measure
        up, down = self._raise[slot].tolist(), self._clear[slot].tolist()
        reached = [signed >= bound for bound in up]
        left = [
            (signed <= clear and not reach) or bound != bound for bound, clear, reach in zip(up, down, reached, strict=True)
        ]
        return reached, left

    def judge(self, slot: Int32, measure: Float64) -> Reached:
        """``(reached, left)``, each of shape (rows, rungs).

        Reached: at or beyond ``raise``. Left: not reached, and at or within ``clear``; between the two neither holds.
        Rungs that are not judged count as left. Measures must not be NaN.
        """
        signed = (measure if self._sign > 0 else -measure)[:, None]
        up = self._raise[slot]
        reached = signed >= up
        left = (signed <= self._clear[slot]) & ~reached | np.isnan(up)
        return reached, left

    def bounds(self, slot: int, level: int) -> tuple[float, float]:
        """``(raise, clear)`` of one level in the measure's own sign; NaN where it is not judged."""
        column = self.level_list.index(level)
        return self._sign * float(self._raise[slot, column]), self._sign * float(self._clear[slot, column])

    def raises(self, slot: Int32, rung: NDArray[np.intp]) -> Float64:
        """``raise`` of each slot's rung (its place in :attr:`levels`), in the measure's own sign."""
        found: Float64 = self._sign * self._raise[slot, rung]
        return found


def _mildest(raises: Sequence[float]) -> float:
    judged = [bound for bound in raises if bound == bound]
    return min(judged) if judged else float("nan")


@compiled.compiled
def first_stirring(sign: float, mildest: Float64, busy: Bool, slot: Int32, measure: Float64) -> int:
    """The first row that reaches the mildest bound of its slot or is of a ``busy`` one; −1: none. See :meth:`Ladder.stirs`."""
    for i in range(len(slot)):
        if busy[slot[i]] or sign * measure[i] >= mildest[slot[i]]:
            return i
    return -1


@compiled.compiled
def first_beyond(sign: float, bound: float, measure: Float64) -> int:
    """The first row that reaches ``bound``; −1: none."""
    for i in range(len(measure)):
        if sign * measure[i] >= bound:
            return i
    return -1

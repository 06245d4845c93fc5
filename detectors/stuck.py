"""Stuck: for how long a value has not moved by more than ``eps``.

A frozen sensor looks like the quietest day of its life, which is why nobody notices. Use it on quantities that always
move a little (pressure, level, temperature). Where a resting value is the truth (rain at 0, a lamp that is off), name it in
``ignore_values``.

Coarse and quiet signals rest for hours and are healthy: how long is known only to themselves. ``unit = "times"`` measures
against the series' own longest rest so far (which fades by half in a hundred moves). A series that has moved less than
``min_moves`` times has no usual rest: one that was always constant may be so by right (a set point, a position of a valve), and
is not spoken of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from detectors import stuck_kernel as kernel
from detectors.base import Detector, Measures, Params, register
from detectors.series import Series
from detectors.slot_records import SlotRecords
from detectors.small import beside
from streams import compiled
from streams.batch import Batch, Float64, Int32, Int64, rounds

#: What the compiled loop takes for a history of rests where none is kept.
_NO_HISTORY = (np.zeros(0), np.zeros(0, dtype=np.int32))


class StuckParams(Params, frozen=True):
    """``eps``: a move larger than this, from where the value came to rest, is a move (so slow drift is one too).

    ``unit``: measure in seconds of event time, in rows, or in times the longest rest of the series so far, in rows.
    ``min_rows``: fewer equal rows than this measure 0.
    """

    eps: Annotated[float, Meta(ge=0)] = 0.0
    unit: Literal["seconds", "rows", "times"] = "seconds"
    min_rows: Annotated[int, Meta(ge=2)] = 5
    min_moves: Annotated[int, Meta(ge=1)] = 30
    ignore_values: tuple[float, ...] = ()


@register
class Stuck(Detector[StuckParams]):
    """Measure: how long it has been at rest; ``expected`` is NaN, for nobody knows where the value ought to be."""

    name: ClassVar[str] = "stuck"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = StuckParams
    repeats: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    state: SlotRecords

    def __init__(self, params: StuckParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        #: What :func:`detectors.stuck_kernel.rows` takes first, in its order and of its types.
        self._fixed = (
            float(params.eps),
            {"seconds": kernel.SECONDS, "rows": kernel.ROWS, "times": kernel.TIMES}[params.unit],
            int(params.min_rows),
            int(params.min_moves),
            np.array(params.ignore_values, dtype=np.float64),
        )

    def columns(self) -> SlotRecords:
        kinds: dict[str, tuple[object, object]] = {
            "rest": (np.float64, np.nan),
            "since": (np.int64, 0),
            "rows": (np.int32, 0),
        }
        if self.params.unit == "times":
            kinds |= {"longest": (np.float64, 0.0), "moves": (np.int32, 0)}
        return SlotRecords(**kinds)

    def measure(self, batch: Batch) -> Measures:
        value = batch.columns.get("value")
        n = len(batch)
        if value is None:
            return Measures(np.full(n, np.nan))
        told = np.empty((4, n))
        if compiled.AVAILABLE:
            state = self.state
            history = (state["longest"], state["moves"]) if self.params.unit == "times" else _NO_HISTORY
            kernel.rows(*self._fixed, batch.slot, batch.ts, value, told, state.near(batch.slot), *history)
        else:
            told.fill(np.nan)
            known = np.flatnonzero(np.isfinite(value))
            for piece in rounds(batch.slot[known]):
                some = known[piece]
                told[:, some] = self._round(batch.slot[some], batch.ts[some], value[some]).T
        return Measures(told[0], explain=Sentence(value, told))

    def _round(self, slot: Int32, ts: Int64, value: Float64) -> Float64:
        """What :func:`detectors.stuck_kernel.rows` tells of rows of distinct slots, finite ones: shape (rows, 4)."""
        state, params = self.state, self.params
        rest, since, before = state["rest"][slot], state["since"][slot], state["rows"][slot]
        with np.errstate(over="ignore"):
            same = np.abs(value - rest) <= params.eps
        rows = np.where(same, np.minimum(before, 2**30) + 1, 1)
        rest = np.where(same, rest, value)
        since = np.where(same, since, ts)
        if params.ignore_values:
            truth = reduce(np.logical_or, (value == one for one in params.ignore_values))
            rest = np.where(truth, np.nan, rest)
            rows = np.where(truth, 0, rows)
        for name, column in (("rest", rest), ("since", since), ("rows", rows)):
            state[name][slot] = column
        seconds, longest = (ts - since) / 1000.0, np.full(len(slot), np.nan)
        length = seconds if params.unit == "seconds" else rows.astype(np.float64)
        if params.unit == "times":
            longest = self._learn(slot, before, rows)
            length = rows / np.maximum(longest, 1.0)
        return beside(np.where(rows >= params.min_rows, length, 0.0), rows.astype(np.float64), seconds, longest)

    def _learn(self, slot: Int32, before: Int32, rows: Int32) -> Float64:
        """The longest rest before this one, in rows, NaN where the series moved too seldom; a rest that ended is learned."""
        state = self.state
        longest, moves = state["longest"][slot], state["moves"][slot]
        ended = (rows <= 1) & (before > 0)
        # A rest that was reported counts for twice the longest one and not for itself, so that the next is reported too.
        rest = np.where(moves >= self.params.min_moves, np.minimum(before, 2 * longest), before)
        state["longest"][slot] = np.where(ended, np.maximum(longest * kernel.FADES, rest), longest)
        state["moves"][slot] = np.where(ended, np.minimum(moves, 2**30) + 1, moves)
        return np.where(state["moves"][slot] >= self.params.min_moves, state["longest"][slot], np.nan)


class Sentence:
    """Says a row in words when asked."""

    def __init__(self, value: Float64, told: Float64) -> None:
        self._value, self._told = value, told

    def __call__(self, i: int) -> str:
        _, rows, seconds, longest = self._told[:, i].tolist()
        usual = "" if longest != longest else f", until now at most {longest:.0f}"
        return f"{self._value[i]:g} unchanged in {rows:.0f} readings{usual} over {seconds:.0f} s"

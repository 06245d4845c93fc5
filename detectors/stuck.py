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

from functools import reduce
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch, Bool, Float64, Int32

#: What remains of the longest rest after one move: a half after a hundred.
_FADES = 0.5 ** (1 / 100)


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

    def columns(self) -> Columns:
        kinds: dict[str, tuple[object, object]] = {
            "rest": (np.float64, np.nan),
            "since": (np.int64, 0),
            "rows": (np.int32, 0),
        }
        if self.params.unit == "times":
            kinds |= {"longest": (np.float64, 0.0), "moves": (np.int32, 0)}
        return Columns(**kinds)

    def measure(self, batch: Batch) -> Measures:
        value = batch.columns.get("value")
        n = len(batch)
        if value is None:
            return Measures(np.full(n, np.nan))
        slot, ts, state = batch.slot, batch.ts, self.state
        rest, since = state["rest"][slot], state["since"][slot]
        with np.errstate(over="ignore", invalid="ignore"):
            same = np.abs(value - rest) <= self.params.eps
        rows = np.where(same, np.minimum(state["rows"][slot], 2**30) + 1, 1).astype(np.int32)
        rest = np.where(same, rest, value)
        since = np.where(same, since, ts)
        if self.params.ignore_values:
            truth = reduce(np.logical_or, (value == one for one in self.params.ignore_values))
            rest = np.where(truth, np.nan, rest)
            rows = np.where(truth, 0, rows).astype(np.int32)
        known = np.isfinite(value)
        whole = bool(known.all())
        longest = self._learn(slot, rows, known) if self.params.unit == "times" else None
        told = slot if whole else slot[known]
        for name, column in (("rest", rest), ("since", since), ("rows", rows)):
            state[name][told] = column if whole else column[known]
        if longest is not None:
            length = rows / np.maximum(longest, 1.0)
        else:
            length = (ts - since) / 1000.0 if self.params.unit == "seconds" else rows.astype(np.float64)
        measure = np.where(rows >= self.params.min_rows, length, 0.0)

        def explain(i: int) -> str:
            usual = "" if longest is None else f", until now at most {longest[i]:.0f}"
            return f"{value[i]:g} unchanged in {rows[i]} readings{usual} over {(ts[i] - since[i]) / 1000.0:.0f} s"

        return Measures(measure if whole else np.where(known, measure, np.nan), explain=explain)

    def _learn(self, slot: Int32, rows: Int32, known: Bool) -> Float64:
        """The longest rest before this one, in rows, NaN where the series moved too seldom; a rest that ended is learned."""
        state = self.state
        before, longest, moves = state["rows"][slot], state["longest"][slot], state["moves"][slot]
        ended = known & (rows <= 1) & (before > 0)
        # A rest that was reported counts for twice the longest one and not for itself, so that the next is reported too.
        rest = np.where(moves >= self.params.min_moves, np.minimum(before, 2 * longest), before)
        state["longest"][slot] = np.where(ended, np.maximum(longest * _FADES, rest), longest)
        state["moves"][slot] = np.where(ended, np.minimum(moves, 2**30) + 1, moves)
        return np.where(state["moves"][slot] >= self.params.min_moves, state["longest"][slot], np.nan)

"""Stuck: for how long a value has not moved by more than ``eps``.

A frozen sensor looks like the quietest day of its life, which is why nobody notices. Use it on quantities that always
move a little (pressure, level, temperature). Where a resting value is the truth (rain at 0, a lamp that is off), name it in
``ignore_values``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch


class StuckParams(Params, frozen=True):
    """``eps``: a move larger than this, from where the value came to rest, is a move (so slow drift is one too).

    ``unit``: measure in seconds of event time, or in rows. ``min_rows``: fewer equal rows than this measure 0.
    """

    eps: Annotated[float, Meta(ge=0)] = 0.0
    unit: Literal["seconds", "rows"] = "seconds"
    min_rows: Annotated[int, Meta(ge=2)] = 5
    ignore_values: tuple[float, ...] = ()


@register
class Stuck(Detector[StuckParams]):
    """Measure: seconds (or rows) at rest; ``expected`` is NaN, for nobody knows where the value ought to be."""

    name: ClassVar[str] = "stuck"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = StuckParams

    def columns(self) -> Columns:
        return Columns(rest=(np.float64, np.nan), since=(np.int64, 0), rows=(np.int32, 0))

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
            truth = np.isin(value, np.asarray(self.params.ignore_values, dtype=np.float64))
            rest = np.where(truth, np.nan, rest)
            rows = np.where(truth, 0, rows).astype(np.int32)
        known = np.isfinite(value)
        state["rest"][slot] = np.where(known, rest, state["rest"][slot])
        state["since"][slot] = np.where(known, since, state["since"][slot])
        state["rows"][slot] = np.where(known, rows, state["rows"][slot])
        length = (ts - since) / 1000.0 if self.params.unit == "seconds" else rows.astype(np.float64)
        measure = np.where(rows >= self.params.min_rows, length, 0.0)

        def explain(i: int) -> str:
            return f"{value[i]:g} unchanged in {rows[i]} readings over {(ts[i] - since[i]) / 1000.0:.0f} s"

        return Measures(np.where(known, measure, np.nan), explain=explain)

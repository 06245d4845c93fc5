"""Rate of change: how far a value has risen or fallen within a window of event time, whatever the sampling.

Use it for what is dangerous by moving: a river rising 0.5 m in an hour, methane rising 5 %LEL in 30 minutes, a pressure
falling 0.05 MPa in 5 minutes. Do not use it on signals that swing by that much every day; :mod:`detectors.robust_z` knows them.

The window is kept as a ring of twelve buckets of equal width, each holding its extreme with that extreme's own time, so a
slot costs the same however fast it samples. A sensor that reports at most once a bucket is compared exactly; a faster one
with a window up to one bucket (an eleventh) shorter than the rule says, never longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors import rate_of_change_kernel as kernel
from detectors.base import Columns, Detector, Measures, Params, register
from detectors.series import Series
from streams import compiled
from streams.batch import Batch, Float64, Int32, Int64, rounds

BUCKETS = 12
_NEVER = np.iinfo(np.int64).min // 2


class RateOfChangeParams(Params, frozen=True):
    """``window_s``: how far back to look. ``motion``: rise, fall, or either, whichever is larger.

    ``per_s``: where given, the measure is the steepest change *per so many seconds* against any kept point at least
    ``min_span_s`` old, so that a rate can be judged across a window longer than it is stated for (sparse sensors).
    """

    window_s: Annotated[float, Meta(gt=0, le=31 * 86400)]
    motion: Literal["rise", "fall", "either"] = "rise"
    per_s: Annotated[float, Meta(gt=0)] | None = None
    min_span_s: Annotated[float, Meta(ge=0)] = 0.0
    column: Literal["value", "speed_kmh"] = "value"


@register
class RateOfChange(Detector[RateOfChangeParams]):
    """Measure: the change in the metric's unit (per ``per_s`` seconds where given), at least 0; NaN on a series' first row.

    ``expected`` is the value it moved away from. After a gap longer than the window nothing is known to have moved: 0.
    """

    name: ClassVar[str] = "rate_of_change"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "vehicle"})
    Params: ClassVar[type[Params]] = RateOfChangeParams
    repeats: ClassVar[bool] = True
    compiled: ClassVar[bool] = True

    def __init__(self, params: RateOfChangeParams, series: Sequence[Series]) -> None:
        # One sign per side that is watched: a fall is a rise of the value's negative.
        self._signs = {"rise": (1.0,), "fall": (-1.0,), "either": (1.0, -1.0)}[params.motion]
        self._window_ms = max(round(params.window_s * 1000), 1)
        self._bucket_ms = max(-(-self._window_ms // (BUCKETS - 1)), 1)
        self._least_ms = max(round(params.min_span_s * 1000), 0)
        per_ms = 0.0 if params.per_s is None else params.per_s * 1000.0
        #: What :func:`detectors.rate_of_change_kernel.rows` takes first, in its order and of its types.
        self._fixed = (np.array(self._signs), self._window_ms, self._bucket_ms, self._least_ms, per_ms)
        super().__init__(params, series)

    def columns(self) -> Columns:
        width = (len(self._signs), BUCKETS)
        return Columns(low=(np.float64, np.inf, width), at=(np.int64, _NEVER, width), seen=(np.bool_, False))

    def measure(self, batch: Batch) -> Measures:
        column = batch.columns.get(self.params.column)
        n = len(batch)
        if column is None:
            return Measures(np.full(n, np.nan))
        told = np.empty((3, n))
        if compiled.AVAILABLE:
            kernel.rows(*self._fixed, batch.slot, batch.ts, column, told, *self.state.all())
        else:
            told.fill(np.nan)
            known = np.flatnonzero(np.isfinite(column))
            for piece in rounds(batch.slot[known]):
                some = known[piece]
                slot, ts, value = batch.slot[some], batch.ts[some], column[some]
                with np.errstate(over="ignore", invalid="ignore"):
                    told[:, some] = self._change(slot, ts, value)
                self._learn(slot, ts, value)
        return Measures(told[0], told[1], explain=Sentence(column, told))

    def _change(self, slot: Int32, ts: Int64, value: Float64) -> tuple[Float64, Float64, Float64]:
        """``(measure, the value compared with, its age in seconds)`` of each row."""
        low, at = self.state["low"][slot], self.state["at"][slot]
        age = ts[:, None, None] - at
        signed = value[:, None] * np.array(self._signs)
        moved = signed[:, :, None] - low
        if self.params.per_s is not None:
            moved = moved * (self.params.per_s * 1000.0) / np.maximum(age, 1)
        inside = (age >= self._least_ms) & (age <= self._window_ms)
        flat = np.where(inside, moved, -np.inf).reshape(len(slot), -1)
        best = flat.argmax(axis=1)
        every = np.arange(len(slot))
        change = flat[every, best]
        known = change > 0
        sign = np.array(self._signs)[best // BUCKETS]
        origin = np.where(known, low.reshape(len(slot), -1)[every, best] * sign, value)
        span = np.where(known, age.reshape(len(slot), -1)[every, best] / 1000.0, 0.0)
        return np.where(self.state["seen"][slot], np.where(known, change, 0.0), np.nan), origin, span

    def _learn(self, slot: Int32, ts: Int64, value: Float64) -> None:
        bucket = ts // self._bucket_ms
        place = (bucket % BUCKETS).astype(np.intp)
        for side, sign in enumerate(self._signs):
            low, at = self.state["low"], self.state["at"]
            held_at = at[slot, side, place]
            signed = value * sign
            take = (held_at // self._bucket_ms != bucket) | (signed <= low[slot, side, place])
            rows: NDArray[np.intp] = np.flatnonzero(take)
            low[slot[rows], side, place[rows]] = signed[rows]
            at[slot[rows], side, place[rows]] = ts[rows]
        self.state["seen"][slot] = True


class Sentence:
    """Says a row in words when asked, so that only rows that become signals cost text."""

    def __init__(self, value: Float64, told: Float64) -> None:
        self._value, self._told = value, told

    def __call__(self, i: int) -> str:
        value, (_, origin, span) = self._value[i], self._told[:, i].tolist()
        word = "rose" if value >= origin else "fell"
        return f"{word} from {origin:g} to {value:g} in {span:.0f} s"

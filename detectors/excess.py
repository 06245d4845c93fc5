"""Excess: how far a value stands from the background it moves through, in per cent of that background or in its own unit.

Use it where the instrument travels or the air drifts and only the local background means anything: a methane survey car
measures 2 ppm everywhere and 2.3 ppm beside a leak. In its own unit and to both sides it tells a shift that stays (a
support that gave way) from what passes. Do not use it where the sensor's own long past says more (:mod:`detectors.robust_z`);
per cent need quantities above zero.

The background is the median of the means of short spans (a twelfth of ``window_s``) that lie within the window before the
row, so what lasts less than half of the window does not move it, and a slot costs the same however fast the instrument
samples. Rows beyond ``freeze`` are not learned. A row that finds fewer than ``warmup`` learned rows in its window says
nothing: after a gap, and where the excess has lasted a whole window and is the background now.

Von Fischer et al., *Rapid, Vehicle-Based Identification of Location and Magnitude of Urban Natural Gas Pipeline Leaks*,
Environ. Sci. Technol. 2017: an elevated reading is one above 110 % of a moving background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from detectors.base import Columns, Detector, Measures, Params, register
from detectors.series import Series
from streams.batch import Batch, Float64, Int32, Int64

SPANS = 12
_NEVER = np.iinfo(np.int64).min // 2


class ExcessParams(Params, frozen=True):
    """``window_s``: how far back the background reaches. ``warmup``: rows it needs. ``scale``: what the measure is in, and
    ``freeze`` with it. ``side``: above the background only counts, or both."""

    window_s: Annotated[float, Meta(ge=12, le=7 * 86400)] = 120.0
    warmup: Annotated[int, Meta(ge=3)] = 30
    freeze: Annotated[float, Meta(gt=0)] = 10.0
    scale: Literal["percent", "unit"] = "percent"
    side: Literal["above", "both"] = "above"


@register
class Excess(Detector[ExcessParams]):
    """Measure: value − background, or 100 times that over the background; NaN without one. ``score`` is 0.5 at the freeze."""

    name: ClassVar[str] = "excess"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = ExcessParams

    def __init__(self, params: ExcessParams, series: Sequence[Series]) -> None:
        self._span_ms = max(round(params.window_s * 1000) // SPANS, 1)
        super().__init__(params, series)

    def columns(self) -> Columns:
        width = (SPANS,)
        return Columns(span=(np.int64, _NEVER, width), mean=(np.float64, 0.0, width), rows=(np.int32, 0, width))

    def measure(self, batch: Batch) -> Measures:
        n = len(batch)
        value = batch.columns.get("value")
        measure, expected, score = (np.full(n, np.nan) for _ in range(3))
        if value is None:
            return Measures(measure)
        # Beyond 1e150 sums leave the range of numbers; no gas is there.
        known = np.flatnonzero(np.abs(value) < 1e150)
        if len(known):
            slot, span, x = batch.slot[known], batch.ts[known] // self._span_ms, value[known]
            background = self._background(slot, span)
            above = self._above(x, background)
            usable = above == above
            measure[known], expected[known] = above, np.where(usable, background, np.nan)
            score[known] = np.maximum(above, 0.0) / (np.maximum(above, 0.0) + self.params.freeze)
            learn = ~(above > self.params.freeze)
            self._learn(slot[learn], span[learn], x[learn])

        def explain(i: int) -> str:
            unit = self.series[int(batch.slot[i])].unit or ""
            change = f": {measure[i]:+.0f} %" if self.params.scale == "percent" else ""
            return f"{f'{value[i]:.4g} {unit}'.strip()} against a background of {expected[i]:.4g}{change}"

        return Measures(measure, expected, score, explain)

    def _above(self, x: Float64, background: Float64) -> Float64:
        away = x - background
        if self.params.scale == "percent":
            usable = background > 0
            with np.errstate(over="ignore"):
                away = np.divide(away * 100.0, background, out=np.full(len(x), np.nan), where=usable)
        if self.params.side == "both":
            away = np.abs(away)
        return np.minimum(away, 1e12)

    def _background(self, slot: Int32, span: Int64) -> Float64:
        """Median of the spans' means per row; NaN with fewer than ``warmup`` rows in the window."""
        spans, rows = self.state["span"][slot], self.state["rows"][slot]
        inside = (spans > span[:, None] - SPANS) & (spans <= span[:, None])
        held = inside.sum(axis=1)
        means = np.sort(np.where(inside, self.state["mean"][slot], np.inf), axis=1)
        at = np.arange(len(slot))
        low, high = np.maximum((held - 1) // 2, 0), np.minimum(held // 2, SPANS - 1)
        with np.errstate(invalid="ignore"):
            middle = (means[at, low] + means[at, high]) / 2
        return np.where(np.where(inside, rows, 0).sum(axis=1) >= self.params.warmup, middle, np.nan)

    def _learn(self, slot: Int32, span: Int64, x: Float64) -> None:
        place = (slot, span % SPANS)
        same = self.state["span"][place] == span
        rows = np.where(same, self.state["rows"][place], 0)
        mean = np.where(same, self.state["mean"][place], 0.0)
        self.state["span"][place] = span
        self.state["rows"][place] = np.minimum(rows, 2**30) + 1
        self.state["mean"][place] = mean + (x - mean) / (rows + 1.0)

"""Accumulation: the sum of a value over a window of event time, for quantities that are reported per interval.

Use it for rain ("mm per interval": 50 mm in 6 hours is a yellow signal) and for counts per report. Do not use it for levels or
rates, whose sum means nothing.

The window is kept as a ring of sums, 24 parts of it, so a slot costs the same however often it reports. A part leaves the
window as a whole: the sum covers at most the window and at least 23/24 of it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch

PARTS = 24
_NEVER = np.iinfo(np.int64).min // 2


class AccumulationParams(Params, frozen=True):
    """``window_s``: how far back to sum. Values below ``least`` do not count (a gauge's dew, a negative correction).

    ``dry_s``: while more than ``least`` came within so many seconds, a sum that falls says nothing (NaN): an alarm ends when
    the sum is low enough *and* it has been dry for so long (domain RAI-01).
    """

    window_s: Annotated[float, Meta(gt=0, le=31 * 86400)]
    least: Annotated[float, Meta(ge=0)] = 0.0
    dry_s: Annotated[float, Meta(ge=0)] = 0.0


@register
class Accumulation(Detector[AccumulationParams]):
    """Measure: the sum over the last ``window_s`` seconds, this row included; NaN where the value is no finite number.

    >>> from detectors.series import Series
    >>> detector = Accumulation(AccumulationParams(window_s=3600), [Series("R1", "rain")]); detector.grow(1)
    >>> def rain(ts, value):
    ...     zero, at = np.zeros(1, dtype=np.int32), np.array([ts])
    ...     return Batch("sensor", zero, at, at, at, zero, zero > 0, [None], {"value": np.array([value])})
    >>> [detector.measure(rain(minute * 60_000, 2.5)).measure[0].item() for minute in (0, 30, 59, 90)]
    [2.5, 5.0, 7.5, 5.0]
    """

    name: ClassVar[str] = "accumulation"
    #: 2: ``dry_s``, and the columns it needs.
    revision: ClassVar[int] = 2
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = AccumulationParams

    def columns(self) -> Columns:
        return Columns(
            sums=(np.float64, 0.0, (PARTS,)), part=(np.int64, _NEVER, (PARTS,)), wet=(np.int64, _NEVER), told=(np.float64, 0.0)
        )

    def measure(self, batch: Batch) -> Measures:
        value = batch.columns.get("value")
        measure = np.full(len(batch), np.nan)
        if value is None:
            return Measures(measure)
        # Beyond 1e100 sums leave the range of numbers; no quantity of a city is there.
        rows = np.flatnonzero(np.abs(value) < 1e100)
        slot, state = batch.slot[rows], self.state
        width = max(round(self.params.window_s * 1000) // PARTS, 1)
        part = batch.ts[rows] // width
        place = (part % PARTS).astype(np.intp)
        amount = np.where(value[rows] >= self.params.least, value[rows], 0.0)
        same = state["part"][slot, place] == part
        newer = state["part"][slot, place] < part
        state["sums"][slot, place] = np.where(
            same, state["sums"][slot, place] + amount, np.where(newer, amount, state["sums"][slot, place])
        )
        state["part"][slot, place] = np.maximum(state["part"][slot, place], part)
        held = state["part"][slot]
        inside = (held > (part - PARTS)[:, None]) & (held <= part[:, None])
        total = np.where(inside, state["sums"][slot], 0.0).sum(axis=1)
        ts = batch.ts[rows]
        wet = state["wet"][slot] = np.where(amount > self.params.least, np.maximum(state["wet"][slot], ts), state["wet"][slot])
        silent = (ts - wet < self.params.dry_s * 1000) & (total < state["told"][slot])
        state["told"][slot] = np.where(silent, state["told"][slot], total)
        measure[rows] = np.where(silent, np.nan, total)
        hours = self.params.window_s / 3600.0
        return Measures(
            measure, explain=lambda row: f"{measure[row]:.1f} in the last {hours:g} h, {value[row]:g} in this report"
        )

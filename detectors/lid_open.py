"""Lid open: seconds a loaded truck has been driving uncovered.

Needs all three to be said by the terminal: lid open, load half or full, speed above ``above_kmh`` (domain.md MUC-04: 10 km/h
for 60 s). Unknown lid or load says nothing and ends nothing; a closed lid, an empty truck or a stop ends it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from detectors import fixes
from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch


class LidOpenParams(Params, frozen=True):
    """``max_gap_s``: after a longer silence the seconds are counted anew."""

    above_kmh: float = 10.0
    max_gap_s: float = 180.0
    only_kinds: tuple[str, ...] = ("muck_truck",)

    def __post_init__(self) -> None:
        if not (self.above_kmh >= 0 and self.max_gap_s > 0):
            raise ValueError("`above_kmh` must be 0 or more, `max_gap_s` above 0")


@register
class LidOpen(Detector[LidOpenParams]):
    """State per truck: since when, and the last fix that said so.

    >>> from detectors.series import Series
    >>> detector = LidOpen(LidOpenParams(), [Series("T1", stream="vehicle", kind="muck_truck")]); detector.grow(1)
    >>> def fix(ts):
    ...     zero, at = np.zeros(1, dtype=np.int32), np.array([ts])
    ...     columns = {"speed_kmh": np.array([40.0]), "load": np.array([2.0]), "lid": np.array([1.0])}
    ...     return Batch("vehicle", zero, at, at, at, zero, zero > 0, [None], columns)
    >>> [detector.measure(fix(ts)).measure[0].item() for ts in (1_000, 31_000, 61_000)]
    [0.0, 30.0, 60.0]
    """

    name: ClassVar[str] = "lid_open"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    Params: ClassVar[type[Params]] = LidOpenParams

    def columns(self) -> Columns:
        return Columns(since=(np.float64, np.nan), last=(np.int64, 0))

    def measure(self, batch: Batch) -> Measures:
        state, slot, ts = self.state, batch.slot, batch.ts
        lid, load, speed = (fixes.column(batch, name) for name in ("lid", "load", "speed_kmh"))
        said = fixes.of_kinds(batch, self.series, self.params.only_kinds)
        said &= ~(np.isnan(lid) | np.isnan(load) | np.isnan(speed))
        open_now = said & (lid == 1.0) & (load >= fixes.LOAD_HALF) & (speed > self.params.above_kmh)
        since = state["since"][slot]
        goes_on = ~np.isnan(since) & (ts - state["last"][slot] <= self.params.max_gap_s * 1000)
        since = np.where(open_now, np.where(goes_on, since, ts.astype(np.float64)), np.nan)
        state["since"][slot[said]] = since[said]
        state["last"][slot[said]] = ts[said]
        measure = np.where(said, np.where(open_now, (ts - since) / 1000.0, 0.0), np.nan)
        return Measures(
            measure, explain=lambda row: f"loaded with an open lid for {measure[row]:.0f} s at {speed[row]:.0f} km/h"
        )

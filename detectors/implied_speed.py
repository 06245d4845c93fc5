"""Implied speed: km/h a vehicle would have needed between two fixes.

Finds spoofed or jumping positions as a matter of data quality. The quality gate has already quarantined what no vehicle can do
(``impossible_jump``, above its own limit), so this sees what lies below that: a truck at 130 km/h through the old town.
Compare with what the terminal reports (``against_reported``) to find a receiver that drifts or is fed false positions. Do not
take it for overspeed: two fixes a second apart with 15 m of error each imply 100 km/h of a parked car; hence ``min_gap_s`` and
``min_distance_m``.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from detectors import fixes
from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch
from streams.geography import haversine_m


class ImpliedSpeedParams(Params, frozen=True):
    """Fixes less than ``min_gap_s`` after the last one are passed over; beyond ``max_gap_s`` nothing is implied.

    A way shorter than ``min_distance_m`` is drift and counts as standing. ``against_reported``: the measure is how much the
    implied speed exceeds the higher of the two reported ones (needs reported speeds; NaN without).
    """

    min_gap_s: float = 2.0
    max_gap_s: float = 600.0
    min_distance_m: float = 100.0
    max_accuracy_m: float | None = None
    against_reported: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_gap_s < self.max_gap_s:
            raise ValueError("must be 0 < `min_gap_s` < `max_gap_s`")


@register
class ImpliedSpeed(Detector[ImpliedSpeedParams]):
    """State per vehicle: the last fix used.

    >>> from detectors.series import Series
    >>> detector = ImpliedSpeed(ImpliedSpeedParams(), [Series("T1", stream="vehicle")]); detector.grow(1)
    >>> def fix(ts, lat):
    ...     zero, at = np.zeros(1, dtype=np.int32), np.array([ts])
    ...     place = {"lat": np.array([lat]), "lon": np.array([117.0])}
    ...     return Batch("vehicle", zero, at, at, at, zero, zero > 0, [None], place)
    >>> detector.measure(fix(0, 31.0)).measure.tolist(), detector.measure(fix(30_000, 31.01)).measure.round().tolist()
    ([nan], [133.0])
    """

    name: ClassVar[str] = "implied_speed"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    Params: ClassVar[type[Params]] = ImpliedSpeedParams

    def columns(self) -> Columns:
        nothing = (np.float64, np.nan)
        return Columns(ts=(np.int64, 0), lat=nothing, lon=nothing, speed=nothing)

    def measure(self, batch: Batch) -> Measures:
        state, params = self.state, self.params
        measure, way = np.full(len(batch), np.nan), np.full(len(batch), np.nan)
        rows = np.flatnonzero(fixes.positioned(batch, params.max_accuracy_m))
        slot, ts = batch.slot[rows], batch.ts[rows]
        lat, lon = fixes.column(batch, "lat")[rows], fixes.column(batch, "lon")[rows]
        reported = fixes.column(batch, "speed_kmh")[rows]
        gap_s = (ts - state["ts"][slot]) / 1000.0
        known = ~np.isnan(state["lat"][slot])
        used = ~known | (gap_s >= params.min_gap_s)
        if len(rows):
            way[rows] = haversine_m(state["lat"][slot], state["lon"][slot], lat, lon)
        implied = np.where(way[rows] >= params.min_distance_m, way[rows], 0.0) * 3.6 / np.where(gap_s > 0, gap_s, 1.0)
        if params.against_reported:
            implied = np.maximum(0.0, implied - np.fmax(reported, state["speed"][slot]))
        measure[rows] = np.where(known & used & (gap_s <= params.max_gap_s), implied, np.nan)
        kept = slot[used]
        state["ts"][kept], state["lat"][kept], state["lon"][kept] = ts[used], lat[used], lon[used]
        state["speed"][kept] = reported[used]
        return Measures(measure, explain=lambda row: f"{way[row]:.0f} m since the last fix")

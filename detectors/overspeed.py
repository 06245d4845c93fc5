"""Overspeed: how far, in percent, a vehicle is over the limit that holds for it where it is.

The limit is the lowest of the vehicle's own (``limits["speed_kmh"]`` in the registry) and those of the fences it is in (a
school zone), else ``default_kmh``. Use ``for_s`` of the rule for "10 s over +10 %". Do not use it for vehicles that report less
often than a minute: an average over a minute hides the episode.

A speed that no vehicle can have, or that it cannot have reached since its last fix, is a fault of the terminal: it says
nothing, and is not remembered. Where a terminal reports no speed, the distance between its fixes speaks.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from detectors import fixes
from detectors.base import Columns, Measures, Params, register
from detectors.fence_grid import Index
from detectors.fenced import Fenced, FencedParams
from streams.batch import Batch, Bool, Float64, Int32
from streams.geography import haversine_m


class OverspeedParams(FencedParams, frozen=True):
    """``default_kmh``: limit where neither registry nor fence names one (60 km/h in a Chinese city, domain.md B5).

    ``kinds`` and so on choose the fences whose limits count; none chosen means every fence with a limit.
    ``plausible_kmh``: no vehicle is faster. ``plausible_ms2``: no speed changes faster (10 m/s² is an emergency stop).
    ``max_gap_s``: beyond it the last fix says nothing of this one. ``implied``: use the distance where no speed is reported.
    """

    default_kmh: float = 60.0
    plausible_kmh: float = 180.0
    plausible_ms2: float = 10.0
    max_gap_s: float = 120.0
    implied: bool = True

    def __post_init__(self) -> None:
        if not (self.default_kmh > 0 and self.plausible_kmh > 0 and self.plausible_ms2 > 0 and self.max_gap_s > 0):
            raise ValueError("`default_kmh`, `plausible_kmh`, `plausible_ms2` and `max_gap_s` must be above 0")


def over_percent(speed_kmh: Float64, limit_kmh: Float64) -> Float64:
    """Percent over the limit; negative below it.

    >>> over_percent(np.array([66.0, 45.0]), np.array([60.0, 60.0])).round().tolist()
    [10.0, -25.0]
    """
    return 100.0 * (speed_kmh / limit_kmh - 1.0)


def believable(speed: Float64, before: Float64, gap_s: Float64, params: OverspeedParams) -> Bool:
    """Whether a vehicle can have this speed (km/h), ``gap_s`` after it had the speed ``before`` (NaN: not known)."""
    near = gap_s <= params.max_gap_s
    # One second more than the gap: terminals stamp whole seconds.
    leap = np.abs(speed - before) / 3.6 > params.plausible_ms2 * (gap_s + 1.0)
    return (speed >= 0) & (speed <= params.plausible_kmh) & ~(near & leap)


@register
class Overspeed(Fenced[OverspeedParams]):
    """State per vehicle: the last believed fix.

    >>> from detectors.series import Series
    >>> detector = Overspeed(OverspeedParams(), [Series("T1", stream="vehicle", limits={"speed_kmh": 50.0})]); detector.grow(1)
    >>> one, zero = np.array([1000]), np.zeros(1, dtype=np.int32)
    >>> place = {"lat": np.array([31.8]), "lon": np.array([117.2]), "speed_kmh": np.array([60.0])}
    >>> detector.measure(Batch("vehicle", zero, one, one, one, zero, zero > 0, [None], place)).measure.round().tolist()
    [20.0]
    """

    name: ClassVar[str] = "overspeed"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    Params: ClassVar[type[Params]] = OverspeedParams

    def columns(self) -> Columns:
        nothing = (np.float64, np.nan)
        return Columns(ts=(np.int64, 0), speed=nothing, lat=nothing, lon=nothing)

    def measure(self, batch: Batch) -> Measures:
        state, slot, params = self.state, batch.slot, self.params
        lat, lon, speed = (fixes.column(batch, name) for name in ("lat", "lon", "speed_kmh"))
        placed = fixes.positioned(batch)
        gap_s = np.maximum(batch.ts - state["ts"][slot], 0) / 1000.0
        if params.implied:
            usable = placed & (gap_s > 0) & (gap_s <= params.max_gap_s)
            metres = np.full(len(batch), np.nan)
            metres[usable] = haversine_m(state["lat"][slot][usable], state["lon"][slot][usable], lat[usable], lon[usable])
            speed = np.where(np.isnan(speed), metres * 3.6 / np.where(gap_s > 0, gap_s, 1.0), speed)
        limit = self._limits(batch, placed, lon, lat)
        good = believable(speed, state["speed"][slot], gap_s, params)
        kept = slot[good]
        state["speed"][kept], state["ts"][kept] = speed[good], batch.ts[good]
        # A position is remembered even of a terminal whose speed cannot be said yet: the next distance starts there.
        here = placed & (good | np.isnan(speed))
        kept = slot[here]
        state["lat"][kept], state["lon"][kept], state["ts"][kept] = lat[here], lon[here], batch.ts[here]
        measure = np.full(len(batch), np.nan)
        measure[good] = over_percent(speed[good], limit[good])
        return Measures(measure, expected=limit, explain=lambda row: f"{speed[row]:.0f} km/h where {limit[row]:.0f} is allowed")

    def _limits(self, batch: Batch, placed: Bool, lon: Float64, lat: Float64) -> Float64:
        """The limit (km/h) for each row."""
        own = [self.series[slot].limits.get("speed_kmh", np.nan) for slot in batch.slot.tolist()]
        limit = np.array(own, dtype=np.float64)
        limit[~(limit > 0)] = np.nan
        rows = np.flatnonzero(placed)
        if len(rows) and any(fence.speed_kmh for fence in self.fences.fences):
            row, fence = self.holding(batch.slot[rows], lon[rows], lat[rows], batch.ts[rows])
            posted = np.array([each.speed_kmh or np.nan for each in self.fences.fences])[fence]
            np.fmin.at(limit, rows[row], np.where(posted > 0, posted, np.nan))
        return np.where(np.isnan(limit), self.params.default_kmh, limit)

    def concerns(self, slot: Int32, fence: Index) -> Bool:
        if not (self.params.kinds or self.params.ids or self.params.attribute):
            return np.ones(len(fence), dtype=np.bool_)
        return super().concerns(slot, fence)

"""Dumping: a muck truck that unloads, standing or crawling, where it is not allowed to.

Evidence is a raised hopper, or a load that was there at the last fix and is gone; it counts only outside the allowed fences
(``kinds = ["disposal_site"]``), below ``slow_kmh``, for as long as the truck stays so (domain.md MUC-03: hopper up or full →
empty, outside disposal polygons, speed < 5 km/h, 30 s). The measure is the seconds since the evidence began. Unknown load or
hopper is no evidence. Where no allowed fence is registered that concerns the truck, nothing says what is allowed: its fixes
measure NaN, for "outside" must not mean "everywhere".
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from detectors import fixes
from detectors.base import Columns, Measures, Params, register
from detectors.fenced import Fenced, FencedParams
from streams.batch import Batch, Float64


class DumpingParams(FencedParams, frozen=True):
    """``margin_m`` widens the allowed fences. ``max_gap_s``: two fixes further apart do not prove what happened between."""

    kinds: tuple[str, ...] = ("disposal_site",)
    slow_kmh: float = 5.0
    margin_m: float = 30.0
    max_gap_s: float = 300.0
    only_kinds: tuple[str, ...] = ("muck_truck",)
    max_accuracy_m: float | None = None

    def __post_init__(self) -> None:
        if not (self.slow_kmh > 0 and self.max_gap_s > 0 and 0 <= self.margin_m <= 1000):
            raise ValueError("`slow_kmh` and `max_gap_s` must be above 0, `margin_m` 0 to 1000")


@register
class Dumping(Fenced[DumpingParams]):
    """State per truck: its last fix (time, load, slow outside or not) and since when there is evidence.

    >>> from detectors.series import Series
    >>> from detectors.fences import FenceSet
    >>> detector = Dumping(DumpingParams(), [Series("T1", stream="vehicle", kind="muck_truck")]); detector.grow(1)
    >>> far = {"type": "Point", "coordinates": [117.9, 31.8]}
    >>> detector.attach(FenceSet.from_geojson(far, "D1", fence_kind="disposal_site", radius_m=200))
    >>> def fix(ts, hopper):
    ...     zero, at = np.zeros(1, dtype=np.int32), np.array([ts])
    ...     facts = {"lat": 31.8, "lon": 117.2, "speed_kmh": 0.0, "load": 2.0, "hopper": hopper}
    ...     columns = {name: np.array([value]) for name, value in facts.items()}
    ...     return Batch("vehicle", zero, at, at, at, zero, zero > 0, [None], columns)
    >>> [detector.measure(fix(ts, up)).measure[0].item() for ts, up in ((0, 0.0), (30_000, 1.0), (60_000, 1.0))]
    [0.0, 0.0, 30.0]
    """

    name: ClassVar[str] = "dumping"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    #: 2: without any allowed fence there is no evidence.
    revision: ClassVar[int] = 2
    Params: ClassVar[type[Params]] = DumpingParams

    def columns(self) -> Columns:
        return Columns(ts=(np.int64, 0), stays=(np.bool_, False), load=(np.float64, np.nan), evidence=(np.float64, np.nan))

    def measure(self, batch: Batch) -> Measures:
        state, params = self.state, self.params
        measure = np.full(len(batch), np.nan)
        seen = fixes.positioned(batch, params.max_accuracy_m) & fixes.of_kinds(batch, self.series, params.only_kinds)
        rows = np.flatnonzero(seen)
        if not len(rows):
            return Measures(measure)
        slot, ts = batch.slot[rows], batch.ts[rows]
        lat, lon, speed, load, hopper = (fixes.column(batch, c)[rows] for c in ("lat", "lon", "speed_kmh", "load", "hopper"))
        allowed = np.zeros(len(rows), dtype=np.bool_)
        allowed[self.holding(slot, lon, lat, ts, params.margin_m)[0]] = True
        stays = ~allowed & (speed < params.slow_kmh)
        stayed, before = state["stays"][slot], state["ts"][slot]
        near = (before > 0) & (ts - before <= params.max_gap_s * 1000)
        unloaded = (state["load"][slot] >= fixes.LOAD_HALF) & (load == fixes.LOAD_EMPTY) & near
        evidence = state["evidence"][slot]
        # Evidence that began earlier in this same stay goes on; a lowered hopper does not undo what lies on the road.
        goes_on = stays & stayed & near & ~np.isnan(evidence)
        begins: Float64 = np.where(
            unloaded & stayed,
            before.astype(np.float64),  # it was unloaded between the two fixes of one stay
            np.where(unloaded | (hopper == 1.0), ts.astype(np.float64), np.nan),
        )
        evidence = np.where(goes_on, evidence, np.where(stays, begins, np.nan))
        state["evidence"][slot], state["stays"][slot], state["ts"][slot] = evidence, stays, ts
        state["load"][slot] = np.where(np.isnan(load), state["load"][slot], load)
        judged = np.array([bool(self.fences_of(each)) for each in slot.tolist()], dtype=np.bool_)
        measure[rows] = np.where(judged, np.where(np.isnan(evidence), 0.0, (ts - evidence) / 1000.0), np.nan)
        return Measures(measure, explain=lambda row: f"unloading for {measure[row]:.0f} s outside every allowed site")

"""Geofence: enter, exit, inside, dwell, and metres outside, for areas, routes and time windows.

Use it for vehicles that must be somewhere (a route, a duty grid) or must not (a forbidden zone by day). A border is crossed
with two margins, so that a parked vehicle's drift does not enter and leave all night: entered ``enter_margin_m`` inside, left
``leave_margin_m`` outside (domain.md B6: 10 and 30 m), and only when ``points`` fixes in a row agree. Do not use it for a
single fix of unknown accuracy.

Fixes without position (status bit 1 = 0), off the globe or less accurate than ``max_accuracy_m`` are not seen at all.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from detectors import fixes
from detectors.base import Columns, Measures, Params, register
from detectors.daily import daily_window, in_daily
from detectors.fence_grid import Index
from detectors.fenced import Fenced, FencedParams
from streams.batch import Batch, Bool, Float64, Int64

#: ``place`` of a slot of which nothing is known yet, and of one outside all of its fences; else the fence's key.
UNKNOWN, OUTSIDE = -1, 0


class GeofenceParams(FencedParams, frozen=True):
    """``mode`` decides the measure:

    ``inside``: 1 inside, 0 outside. ``outside``: metres to the nearest of the fences (0 inside; NaN if none is known or holds
    at the time). ``enter``, ``exit``: 1 on the fix that decides the crossing, else 0; the first fixes of a vehicle are no
    crossing. ``dwell``: seconds without a break inside one fence, or ``dwell_in = "outside"`` of all.

    Conditions make the measure 0 where they are not met, and break a dwell: ``loaded_only`` (half or full; unknown says
    nothing), ``daily = ["22:00", "06:00"]`` local time, ``below_kmh``. ``only_kinds``: other vehicles are not judged.
    """

    mode: Literal["inside", "outside", "enter", "exit", "dwell"] = "inside"
    dwell_in: Literal["inside", "outside"] = "inside"
    enter_margin_m: float = 10.0
    leave_margin_m: float = 30.0
    points: int = 1
    loaded_only: bool = False
    only_kinds: tuple[str, ...] = ()
    daily: tuple[str, str] | None = None
    below_kmh: float | None = None
    max_accuracy_m: float | None = None

    def __post_init__(self) -> None:
        if not (self.kinds or self.ids or self.attribute):
            raise ValueError("names no fences: give `kinds`, `ids` or `attribute`")
        if not 1 <= self.points <= 100:
            raise ValueError("`points` must be 1 to 100")
        if not (0 <= self.enter_margin_m <= 1000 and 0 <= self.leave_margin_m <= 1000):
            raise ValueError("margins must be 0 to 1000 m")
        if self.daily is not None:
            daily_window(*self.daily)


@register
class Geofence(Fenced[GeofenceParams]):
    """State per vehicle: the fence it is in, since when, and the fixes that speak for another place.

    >>> from detectors.series import Series
    >>> from detectors.fences import FenceSet
    >>> detector = Geofence(GeofenceParams(kinds=["school"]), [Series("T1", stream="vehicle")]); detector.grow(1)
    >>> ring = [[117, 31], [117.01, 31], [117.01, 31.01], [117, 31.01], [117, 31]]
    >>> detector.attach(FenceSet.from_geojson({"type": "Polygon", "coordinates": [ring]}, fence_kind="school"))
    >>> def fix(lat, ts):
    ...     one = np.array([ts]); zero = np.zeros(1, dtype=np.int32)
    ...     place = {"lat": np.array([lat]), "lon": np.array([117.005])}
    ...     return Batch("vehicle", zero, one, one, one, zero, zero > 0, [None], place)
    >>> [float(detector.measure(fix(lat, ts)).measure[0]) for ts, lat in enumerate((30.99, 31.005, 30.9999, 30.999))]
    [0.0, 1.0, 1.0, 0.0]
    """

    name: ClassVar[str] = "geofence"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    Params: ClassVar[type[Params]] = GeofenceParams

    def columns(self) -> Columns:
        return Columns(
            place=(np.int64, UNKNOWN),
            since=(np.int64, 0),
            next_place=(np.int64, UNKNOWN),
            next_since=(np.int64, 0),
            next_count=(np.int32, 0),
        )

    def measure(self, batch: Batch) -> Measures:
        params = self.params
        measure = np.full(len(batch), np.nan)
        which = np.full(len(batch), -1, dtype=np.int64)
        seen = fixes.positioned(batch, params.max_accuracy_m) & fixes.of_kinds(batch, self.series, params.only_kinds)
        rows = np.flatnonzero(seen)
        if len(rows):
            active, unsaid = self._conditions(batch, rows)
            if params.mode == "outside":
                found, which[rows] = self._outside(batch, rows)
                found = np.where(active | np.isnan(found), found, 0.0)
            else:
                found, which[rows] = self._walk(batch, rows, active, unsaid)
            measure[rows] = np.where(unsaid, np.nan, found)
        return Measures(measure, explain=lambda row: self._explain(which.item(row), measure.item(row)))

    def _conditions(self, batch: Batch, rows: Index) -> tuple[Bool, Bool]:
        """Whether the conditions of the measure are met, and whether that cannot be said (load unknown)."""
        params = self.params
        active, unsaid = np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
        if params.loaded_only:
            load = fixes.column(batch, "load")[rows]
            active &= load >= fixes.LOAD_HALF
            unsaid |= np.isnan(load)
        if params.daily is not None:
            active &= in_daily(daily_window(*params.daily), batch.ts[rows])
        if params.below_kmh is not None:
            # An absent speed is no reason to think the vehicle moves.
            active &= ~(fixes.column(batch, "speed_kmh")[rows] >= params.below_kmh)
        if params.mode == "dwell" and params.dwell_in == "outside":
            # Out of duty hours no fence holds, and a vehicle without fences cannot be outside of them.
            for numbers, at in self.by_choice(batch.slot[rows]):
                active[at] &= self.fences.any_holds(numbers, batch.ts[rows][at])
                unsaid[at] |= not numbers
        return active, unsaid

    def _walk(self, batch: Batch, rows: Index, active: Bool, unsaid: Bool) -> tuple[Float64, Index]:
        """Take each vehicle one fix further; measure and the number of the fence it speaks of."""
        state, slot, ts = self.state, batch.slot[rows], batch.ts[rows]
        place = state["place"][slot]
        target, number = self._target(batch, rows, place)
        agrees = target == place
        again = ~agrees & (target == state["next_place"][slot])
        count = np.where(agrees, 0, np.where(again, state["next_count"][slot] + 1, 1))
        next_since = np.where(again, state["next_since"][slot], ts)
        crossed = count >= self.params.points
        now = np.where(crossed, target, place)
        since = np.where(crossed, next_since, state["since"][slot])
        held = now > OUTSIDE
        if self.params.mode == "dwell":
            in_state = held if self.params.dwell_in == "inside" else now == OUTSIDE
            since = np.where(active | unsaid, since, ts)
            measure = np.where(in_state & active, np.maximum(0, ts - since) / 1000.0, 0.0)
        elif self.params.mode == "enter":
            measure = (crossed & held & (place != UNKNOWN) & active).astype(np.float64)
        elif self.params.mode == "exit":
            measure = (crossed & (place > OUTSIDE) & active).astype(np.float64)
            number[crossed] = self.fences.numbers(place[crossed])
        else:
            measure = (held & active).astype(np.float64)
        state["place"][slot], state["since"][slot] = now, since
        state["next_place"][slot] = np.where(agrees | crossed, UNKNOWN, target)
        state["next_since"][slot], state["next_count"][slot] = next_since, np.where(crossed, 0, count)
        return measure, number

    def _target(self, batch: Batch, rows: Index, place: Int64) -> tuple[Int64, Index]:
        """Key (and number) of the fence each fix speaks for: the present one while it is not left, else the first entered."""
        slot, ts = batch.slot[rows], batch.ts[rows]
        lon, lat = fixes.column(batch, "lon")[rows], fixes.column(batch, "lat")[rows]
        target, number = np.full(len(rows), OUTSIDE, dtype=np.int64), np.full(len(rows), -1, dtype=np.int64)
        row, fence = self.holding(slot, lon, lat, ts, -self.params.enter_margin_m)
        # Backwards, so that the first of several fences is written last.
        target[row[::-1]], number[row[::-1]] = self.fences.keys[fence[::-1]], fence[::-1]
        inside = np.flatnonzero(place > OUTSIDE)
        if len(inside):
            row, fence = self.holding(slot[inside], lon[inside], lat[inside], ts[inside], self.params.leave_margin_m)
            row = inside[row]
            same = self.fences.keys[fence] == place[row]
            row, fence = row[same], fence[same]
            target[row], number[row] = place[row], fence
        return target, number

    def _outside(self, batch: Batch, rows: Index) -> tuple[Float64, Index]:
        """Metres from each fix to the nearest of its vehicle's fences, and which one that is."""
        slot, ts = batch.slot[rows], batch.ts[rows]
        lon, lat = fixes.column(batch, "lon")[rows], fixes.column(batch, "lat")[rows]
        metres, which = np.full(len(rows), np.nan), np.full(len(rows), -1, dtype=np.int64)
        for numbers, at in self.by_choice(slot):
            if numbers:
                metres[at], which[at] = self.fences.nearest(numbers, lon[at], lat[at], ts[at])
        return metres, which

    def _explain(self, number: int, measure: float) -> str:
        name = "its fences"
        if 0 <= number < len(self.fences):
            fence = self.fences[number]
            name = f"{fence.fence_id} ({fence.kind})"
        match self.params.mode:
            case "outside":
                return f"{measure:.0f} m outside {name}"
            case "dwell":
                return f"{measure:.0f} s {self.params.dwell_in} {name}"
            case "enter":
                return f"entered {name}"
            case "exit":
                return f"left {name}"
        return f"inside {name}"

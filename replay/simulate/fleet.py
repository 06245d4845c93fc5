"""Vehicles that drive: waypoints for most fleets, trips between work site and tip for muck trucks.

One numpy step moves the whole fleet. A muck truck loads at its site, drives to the tip of its sector with the lid closed,
unloads inside the fence with the hopper up, and returns; nothing of this is a violation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.simulate.layout import CENTRE, METRES_PER_DEGREE, RADIUS_M, Layout, Place

LOADING_S, UNLOADING_S = 600.0, 240.0
GPS_NOISE_M = 4.0
EAST = METRES_PER_DEGREE * math.cos(math.radians(CENTRE[0]))


@dataclass(slots=True)
class Fix:
    """One wire fix before the network had its way with it."""

    vehicle: int
    ts: int
    record: dict[str, Any]


class Fleet:
    """State of all vehicles; ``step`` advances it by ``fix_s`` seconds and returns one fix per vehicle."""

    def __init__(self, rng: np.random.Generator, layout: Layout, fix_s: float) -> None:
        self.rng, self.fix_s = rng, fix_s
        self.vehicles = layout.vehicles
        n = len(self.vehicles)
        self.kind = [v.facts["attributes"]["vehicle_kind"] for v in self.vehicles]
        self._truck = np.array([k == "muck_truck" for k in self.kind])
        sites: dict[str, list[Place]] = {}
        for site in layout.sites:
            sites.setdefault(site.facts["attributes"].get("fence_kind", ""), []).append(site)
        works, tips = sites["construction_site"], sites["disposal_site"]
        sector = np.arange(n) % len(works)
        self._work = np.array([self._metres(works[s].lat, works[s].lon) for s in sector])
        self._tip = np.array([self._metres(tips[s].lat, tips[s].lon) for s in sector])
        spread = rng.uniform(-60.0, 60.0, (n, 2))
        self._work += spread
        self._tip += spread
        self._at = np.array([self._metres(v.lat, v.lon) for v in self.vehicles])
        self._at[self._truck] = self._work[self._truck]
        self._goal = self._at.copy()
        self._wait = rng.uniform(0.0, LOADING_S, n)
        self._cruise = np.full(n, 36.0)
        self._loaded = np.zeros(n, dtype=bool)
        self._unloading = np.zeros(n, dtype=bool)
        self._speed = np.zeros(n)
        self._heading = np.zeros(n)

    @staticmethod
    def _metres(lat: float, lon: float) -> tuple[float, float]:
        return ((lon - CENTRE[1]) * EAST, (lat - CENTRE[0]) * METRES_PER_DEGREE)

    def position(self, vehicle: int) -> tuple[float, float]:
        """(lat, lon) of a vehicle now."""
        east, north = self._at[vehicle].tolist()
        return CENTRE[0] + north / METRES_PER_DEGREE, CENTRE[1] + east / EAST

    def _arrive(self, here: NDArray[np.bool_]) -> None:
        """Decide what those do who wait no longer: trucks load or unload and go, others take a new waypoint."""
        n = int(here.sum())
        if not n:
            return
        trucks = here & self._truck
        unloaded = trucks & self._unloading
        self._loaded[unloaded] = False
        self._unloading[unloaded] = False
        at_work = trucks & ~unloaded & ~self._loaded & (np.hypot(*(self._at - self._work).T) < 5.0)
        at_tip = trucks & self._loaded & (np.hypot(*(self._at - self._tip).T) < 5.0)
        self._loaded[at_work] = True
        self._goal[at_work] = self._tip[at_work]
        self._unloading[at_tip] = True
        self._wait[at_tip] = UNLOADING_S
        self._goal[unloaded] = self._work[unloaded]
        others = here & ~self._truck
        angle = self.rng.uniform(0, 2 * math.pi, len(here))
        radius = np.sqrt(self.rng.uniform(0.05, 0.8, len(here))) * RADIUS_M
        waypoint = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        self._goal[others] = waypoint[others]
        self._cruise[here] = self.rng.uniform(26.0, 46.0, len(here))[here]

    def step(self) -> None:
        """Advance every vehicle by ``fix_s``."""
        self._wait = np.maximum(0.0, self._wait - self.fix_s)
        way = self._goal - self._at
        left = np.hypot(way[:, 0], way[:, 1])
        there = left < 5.0
        self._arrive(there & (self._wait <= 0.0) & (self._speed == 0.0))
        way = self._goal - self._at
        left = np.hypot(way[:, 0], way[:, 1])
        moving = (left >= 5.0) & (self._wait <= 0.0)
        speed = np.where(moving, self._cruise + self.rng.normal(0.0, 2.0, len(moving)), 0.0)
        stride = np.minimum(left, speed / 3.6 * self.fix_s)
        unit = np.divide(way, left[:, None], out=np.zeros_like(way), where=left[:, None] > 0)
        self._at = self._at + unit * stride[:, None]
        self._heading = np.where(moving, np.degrees(np.arctan2(unit[:, 0], unit[:, 1])) % 360.0, self._heading)
        reached = moving & (left - stride < 5.0)
        self._wait[reached & self._truck & ~self._loaded] = LOADING_S
        self._wait[reached & self._truck & self._loaded] = 20.0
        self._wait[reached & ~self._truck] = self.rng.uniform(30.0, 400.0, len(moving))[reached & ~self._truck]
        self._speed = np.where(reached, 0.0, speed)

    def fix(self, vehicle: int) -> dict[str, Any]:
        """The wire fields of a vehicle's fix now, without ``ts``."""
        lat, lon = self.position(vehicle)
        jitter = self.rng.normal(0.0, GPS_NOISE_M, 2).tolist()
        record: dict[str, Any] = {
            "vehicle_id": self.vehicles[vehicle].id,
            "lat": round(lat + jitter[0] / METRES_PER_DEGREE, 6),
            "lon": round(lon + jitter[1] / EAST, 6),
            "speed_kmh": round(float(self._speed[vehicle]), 1),
            "heading_deg": round(float(self._heading[vehicle]), 0),
            "kind": self.kind[vehicle],
            "status_bits": 0b11,
            "alarm_bits": 0,
        }
        if self._truck[vehicle]:
            record["load_state"] = "full" if self._loaded[vehicle] else "empty"
            record["lid_state"] = "open" if self._unloading[vehicle] else "closed"
            record["hopper_state"] = "up" if self._unloading[vehicle] and self._wait[vehicle] < UNLOADING_S - 60 else "down"
        return record

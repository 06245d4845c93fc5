"""What a hazard does to the streams: it bends values, silences devices, loses reports, makes people call and cameras see."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: (seconds since the effect began, the sensor's normal value) -> value
Shape = Callable[[float, float], float]
#: (seconds since the effect began, the normal fix) -> fix
Drive = Callable[[float, dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class Bend:
    """One sensor reads ``shape`` from ``from_ts`` to ``to_ts``.

    ``interval_ms``: the device reports faster meanwhile; ``still``: without any noise.
    """

    sensor: int
    from_ts: int
    to_ts: int
    shape: Shape
    interval_ms: int | None = None
    still: bool = False


@dataclass(slots=True)
class Detour:
    """One vehicle drives ``drive`` from ``from_ts`` to ``to_ts``."""

    vehicle: int
    from_ts: int
    to_ts: int
    drive: Drive


@dataclass(slots=True)
class Hush:
    """Sensors and vehicles that say nothing from ``from_ts`` to ``to_ts``."""

    sensors: frozenset[int]
    from_ts: int
    to_ts: int
    vehicles: frozenset[int] = frozenset()


@dataclass(slots=True)
class Loss:
    """One sensor of whose readings only the share ``kept`` (above 0, up to 1) gets through from ``from_ts`` to ``to_ts``.

    What is lost is spread as evenly as can be: with a third or more kept, never more than two readings running are missing.
    """

    sensor: int
    from_ts: int
    to_ts: int
    kept: float

    def passes(self, ts: NDArray[np.int64], interval_ms: int) -> NDArray[np.bool_]:
        """Which readings of the sensor get through; ``ts`` in ms, on its grid of ``interval_ms``."""
        number = (ts - self.from_ts) // interval_ms
        lossy = (ts >= self.from_ts) & (ts < self.to_ts)
        passed: NDArray[np.bool_] = np.floor((number + 1) * self.kept) > np.floor(number * self.kept)
        return ~lossy | passed


@dataclass(slots=True)
class Setback:
    """One counting meter that has forgotten ``share`` (0 to 1) of its count at ``at_ts`` and counts on from there."""

    sensor: int
    at_ts: int
    share: float


@dataclass(slots=True)
class Hazard:
    """One happening with its truth (the columns of truth.jsonl) and its effects."""

    hazard_id: str
    category: str
    lat: float
    lon: float
    radius_m: float
    from_ts: int
    to_ts: int
    level: int
    entities: list[str]
    note: str
    stream: str = "sensor"
    bends: list[Bend] = field(default_factory=list)
    detours: list[Detour] = field(default_factory=list)
    hushes: list[Hush] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    setbacks: list[Setback] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    video: list[dict[str, Any]] = field(default_factory=list)

    def truth(self) -> dict[str, Any]:
        """The row of truth.jsonl."""
        return {
            "hazard_id": self.hazard_id,
            "category": self.category,
            "lat": round(self.lat, 6),
            "lon": round(self.lon, 6),
            "radius_m": self.radius_m,
            "from_ts": self.from_ts,
            "to_ts": self.to_ts,
            "level": self.level,
            "entities": self.entities,
            "note": self.note,
        }


def plateau(value: float, rise_s: float = 60.0) -> Shape:
    """Rises from normal to ``value`` within ``rise_s`` and stays."""
    return lambda seconds, normal: normal + (value - normal) * min(1.0, seconds / rise_s)


def step_by(change: float) -> Shape:
    """Jumps by ``change`` and stays there."""
    return lambda seconds, normal: normal + change


def creep(change: float, over_s: float) -> Shape:
    """Leaves the normal value by ``change``, evenly within ``over_s``, and stays there."""
    return lambda seconds, normal: normal + change * min(1.0, seconds / over_s)


def sway(rms: float, period_s: float) -> Shape:
    """Swings about 0 with this root mean square and period."""
    return lambda seconds, normal: rms * math.sqrt(2.0) * math.sin(2.0 * math.pi * seconds / period_s)

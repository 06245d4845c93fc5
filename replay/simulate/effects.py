"""What a hazard does to the streams: it bends values, silences devices, makes people call and cameras see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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

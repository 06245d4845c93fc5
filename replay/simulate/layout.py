"""Where things stand: sensors, cameras, vehicles, sites, gateways and groups of a simulated city, as registry assets.

Positions are drawn on a disc around the centre; sensors of one lifeline keep a distance from each other so that two hazards of
one kind are two happenings. Sensor kinds are data (``kinds.toml``).
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

#: Hefei, the seed programme's city; the division code is the incident stage's partition key.
CENTRE = (31.8206, 117.2272)
CITY = "340100"
RADIUS_M = 9_000.0
METRES_PER_DEGREE = 111_195.0
REGISTERED_FROM = 1_577_836_800_000  # 2020-01-01: before every recording anyone will simulate
SENSORS_PER_GATEWAY = 25
#: How many things of a kind carry sensors that belong together.
GROUPS = {"bridge": 8, "pump": 2, "circuit": 6}
#: Every so many cameras one looks at a footway.
FOOTWAY_CAMERAS = 10
#: Work sites, each with its tip and the route between them.
SECTORS = 8


@dataclass(slots=True, frozen=True)
class Kind:
    """One sensor kind; see ``kinds.toml`` for the meaning of the fields."""

    name: str
    metric: str
    unit: str
    share: float
    interval_s: float
    base: float
    spread: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    noise: float = 0.0
    memory: float = 0.0
    floor: float = -math.inf
    ceiling: float = math.inf
    step: float = 0.001
    limits: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    #: The sensor is a meter: its value is the running total of a rate per hour, which base, noise and bounds speak of.
    counts: bool = False


def kinds() -> list[Kind]:
    """The shipped sensor kinds in file order."""
    table = tomllib.loads((files("replay.simulate") / "kinds.toml").read_text(encoding="utf-8"))
    return [Kind(name=name, metric=row.pop("metric", name), **row) for name, row in table.items()]


@dataclass(slots=True)
class Place:
    """A thing of the city: its id, kind and position, and what the registry says of it."""

    id: str
    kind: str
    lat: float
    lon: float
    facts: dict[str, Any] = field(default_factory=dict)
    sensor_kind: Kind | None = None
    base: float = 0.0


def moved(lat: float, lon: float, east_m: float, north_m: float) -> tuple[float, float]:
    """The position ``east_m`` and ``north_m`` metres away (flat-earth, good for a city)."""
    north = north_m / METRES_PER_DEGREE
    east = east_m / (METRES_PER_DEGREE * math.cos(math.radians(lat)))
    return float(lat + north), float(lon + east)


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Flat-earth distance in metres between two (lat, lon)."""
    north = (a[0] - b[0]) * METRES_PER_DEGREE
    east = (a[1] - b[1]) * METRES_PER_DEGREE * math.cos(math.radians((a[0] + b[0]) / 2))
    return math.hypot(north, east)


def square(lat: float, lon: float, half_m: float) -> dict[str, Any]:
    """GeoJSON polygon of a square fence."""
    corners = [(-half_m, -half_m), (half_m, -half_m), (half_m, half_m), (-half_m, half_m), (-half_m, -half_m)]
    ring = [[round(x, 6) for x in reversed(moved(lat, lon, east, north))] for east, north in corners]
    return {"type": "Polygon", "coordinates": [ring]}


class Layout:
    """All places of the city; deterministic by the generator's seed.

    ``pace`` divides every sensor's interval: a live demo of a minute needs sensors that speak every few seconds.
    """

    def __init__(
        self, rng: np.random.Generator, sensors: int, vehicles: int, cameras: int, pace: float = 1.0, fix_s: float = 20.0
    ) -> None:
        self.rng = rng
        self.pace, self.fix_s = pace, fix_s
        self.sensors: list[Place] = []
        self.cameras: list[Place] = []
        self.vehicles: list[Place] = []
        self.sites: list[Place] = []
        self.gateways: list[Place] = []
        self.groups: list[Place] = []
        self._place_sites()
        self._place_sensors(sensors)
        self._place_cameras(cameras)
        self._place_vehicles(vehicles)

    def anywhere(self, least_m: float = 0.0) -> tuple[float, float]:
        """A random position on the city's disc, at least ``least_m`` from the centre."""
        radius = math.sqrt(self.rng.uniform((least_m / RADIUS_M) ** 2, 1.0)) * RADIUS_M
        angle = self.rng.uniform(0.0, 2 * math.pi)
        return moved(*CENTRE, radius * math.cos(angle), radius * math.sin(angle))

    def muck_sites(self) -> list[tuple[float, float]]:
        """Middles of the work sites and tips."""
        kinds = ("construction_site", "disposal_site")
        return [(site.lat, site.lon) for site in self.sites if site.facts["attributes"].get("fence_kind") in kinds]

    def _apart(self, taken: list[tuple[float, float]], least_m: float) -> tuple[float, float]:
        """A position away from those taken; the distance gives way where the city is full."""
        for attempt in range(60):
            spot = self.anywhere()
            if all(distance_m(spot, other) >= least_m * (0.95**attempt) for other in taken):
                break
        taken.append(spot)
        return spot

    def _place_sites(self) -> None:
        """Work sites and tips lie in a ring, pairwise in one sector, so that no legal trip crosses the closed centre."""
        for number in range(SECTORS):
            angle = 2 * math.pi * number / SECTORS
            for kind, radius in (("construction_site", 5_000.0), ("disposal_site", 7_500.0)):
                lat, lon = moved(*CENTRE, radius * math.cos(angle), radius * math.sin(angle))
                self.sites.append(
                    Place(
                        f"SITE-{kind.split('_')[0].upper()}-{number:02d}",
                        "site",
                        lat,
                        lon,
                        {"attributes": {"fence_kind": kind, "fence": square(lat, lon, 150.0)}},
                    )
                )
        self.sites.append(
            Place(
                "ZONE-CENTRE",
                "site",
                *CENTRE,
                {
                    "attributes": {
                        "fence_kind": "forbidden_zone",
                        "fence": square(*CENTRE, 1_000.0),
                        "applies_to": ["muck_truck"],
                    }
                },
            )
        )
        for number, (work, tip) in enumerate(
            zip(self.sites[0 : 2 * SECTORS : 2], self.sites[1 : 2 * SECTORS : 2], strict=True)
        ):
            line = {"type": "LineString", "coordinates": [[round(s.lon, 6), round(s.lat, 6)] for s in (work, tip)]}
            facts = {"attributes": {"fence_kind": "route", "fence": line, "radius_m": 200.0}}
            self.sites.append(Place(f"ROUTE-{number:02d}", "site", work.lat, work.lon, facts))
        duty = {"attributes": {"fence_kind": "duty_area", "fence": square(*CENTRE, 12_000.0)}}
        self.sites.append(Place("DUTY-CITY", "site", *CENTRE, duty))
        for number in range(12):
            lat, lon = self.anywhere(2_500.0)
            target = "hospital" if number % 3 == 0 else "school"
            self.sites.append(Place(f"{target.upper()}-{number:02d}", "site", lat, lon, {"attributes": {"target": target}}))

    def _place_sensors(self, count: int) -> None:
        table = kinds()
        whole = sum(kind.share for kind in table)
        taken: dict[str, list[tuple[float, float]]] = {}
        homes = {kind: [self.anywhere(1_000.0) for _ in range(count)] for kind, count in GROUPS.items()}
        for number, (lat, lon) in enumerate(homes["pump"]):
            self.groups.append(Place(f"PUMP-{number:02d}", "group", lat, lon, {"attributes": {"machine": True}}))
        for kind in table:
            for number in range(max(2, round(count * kind.share / whole))):
                facts: dict[str, Any] = {"metric": kind.metric, "unit": kind.unit, "attributes": dict(kind.attributes)}
                if kind.group:
                    home = number % GROUPS[kind.group]
                    lat, lon = moved(*homes[kind.group][home], *self.rng.uniform(-40.0, 40.0, 2))
                    facts["group"] = f"{kind.group.upper()}-{home:02d}"
                else:
                    lat, lon = self._apart(taken.setdefault(kind.metric, []), 700.0)
                base = kind.base + kind.spread * self.rng.uniform(-1.0, 1.0)
                interval = max(1.0, kind.interval_s / self.pace)
                facts["interval_s"] = interval
                # Battery loggers and mains devices alike: three missed intervals, but never less than 30 s of network trouble.
                facts["report_after_s"] = max(3.5 * interval, 30.0)
                facts["give_up_after_s"] = max(30 * interval, 86_400.0)
                facts["limits"] = {
                    name: (round(value[0] * base + value[1], 4) if isinstance(value, list) else value)
                    for name, value in kind.limits.items()
                }
                name = f"{kind.name.upper().replace('_', '-')}-{number:05d}"
                self.sensors.append(Place(name, "sensor", lat, lon, facts, kind, base))
        for number, sensor in enumerate(sorted(self.sensors, key=lambda s: (round(s.lat, 2), round(s.lon, 2)))):
            gateway = f"GW-{number // SENSORS_PER_GATEWAY:04d}"
            if number % SENSORS_PER_GATEWAY == 0:
                self.gateways.append(Place(gateway, "gateway", sensor.lat, sensor.lon))
            sensor.facts["gateway"] = gateway

    def _place_cameras(self, count: int) -> None:
        taken: list[tuple[float, float]] = []
        for number in range(count):
            lat, lon = self._apart(taken, 900.0)
            place = {"attributes": {"place": "footway"}} if number % FOOTWAY_CAMERAS == FOOTWAY_CAMERAS - 1 else {}
            self.cameras.append(Place(f"CAM-{number:04d}", "camera", lat, lon, place))

    def _place_vehicles(self, count: int) -> None:
        fleets = (("muck_truck", 0.4), ("sanitation", 0.27), ("patrol", 0.2), ("bus", 0.1), ("rescue", 0.03))
        for kind, share in fleets:
            for number in range(max(1, round(count * share))):
                lat, lon = self.anywhere(2_000.0)
                attributes: dict[str, Any] = {"vehicle_kind": kind}
                if kind == "muck_truck":
                    attributes["route"] = [f"ROUTE-{len(self.vehicles) % SECTORS:02d}"]
                elif kind in ("patrol", "sanitation"):
                    attributes["duty"] = ["DUTY-CITY"]
                facts: dict[str, Any] = {"attributes": attributes, "limits": {"speed_kmh": 60.0}, "interval_s": self.fix_s}
                # A truck that is switched off where it stands is no fault within half an hour.
                facts["report_after_s"] = max(1_800.0 if kind == "muck_truck" else 120.0, 10 * self.fix_s)
                self.vehicles.append(Place(f"{kind.upper().replace('_', '-')}-{number:04d}", "vehicle", lat, lon, facts))

    def assets(self) -> list[dict[str, Any]]:
        """Every place as a wire asset of ``city.registry``."""
        rows = []
        for place in (*self.sites, *self.gateways, *self.groups, *self.sensors, *self.cameras, *self.vehicles):
            period: dict[str, Any] = {"from": REGISTERED_FROM, "city": CITY, **place.facts}
            if place.kind != "vehicle":
                period["lat"], period["lon"] = round(place.lat, 6), round(place.lon, 6)
                period["grid_code"] = grid_code(place.lat, place.lon)
            rows.append({"schema_version": 1, "asset_id": place.id, "kind": place.kind, "periods": [period]})
        return rows


def grid_code(lat: float, lon: float) -> str:
    """A 15-digit unit grid code (division, street, community, sequence) from 1 km, 500 m and 100 m squares."""
    north = int((lat - CENTRE[0]) * METRES_PER_DEGREE + 50_000)
    east = int((lon - CENTRE[1]) * METRES_PER_DEGREE * math.cos(math.radians(CENTRE[0])) + 50_000)
    street = (north // 5_000) * 20 + east // 5_000
    community = (north % 5_000 // 1_000) * 5 + east % 5_000 // 1_000
    cell = (north % 1_000 // 100) * 10 + east % 1_000 // 100
    return f"340104{street:03d}{community:03d}{cell:03d}"

"""Where recipes of hazards find their assets, their randomness and their clock, and the five shapes most of them have.

A recipe picks assets nobody else uses, bends the streams, and states the truth: category, place, time and level. Recipes know
the city and the hazard table, never the rulebook: what they inject has to be found by whatever rules are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from replay.simulate.effects import Bend, Detour, Hazard, Shape, plateau
from replay.simulate.layout import Layout, Place, distance_m
from replay.simulate.people import QuietCameras, QuietPeople, nearby

#: Two hazards of one category keep this distance, so that each is a happening of its own.
APART_M = 1_500.0
#: A site is 300 m wide, and a truck beside its gate may still belong to it.
OFF_SITES_M = 400.0
#: Rain is one happening over kilometres.
APART_OF = {"weather": 6_000.0}


class Scene:
    """Where recipes find their assets, their randomness and their clock."""

    def __init__(self, rng: np.random.Generator, layout: Layout, people: QuietPeople, cameras: QuietCameras) -> None:
        self.rng, self.layout, self.people, self.cameras = rng, layout, people, cameras
        self._used: set[str] = set()
        self._spots: dict[str, list[tuple[float, float]]] = {}
        self._count = 0
        self._by_kind: dict[str, list[int]] = {}
        for index, sensor in enumerate(layout.sensors):
            if sensor.sensor_kind is not None:
                self._by_kind.setdefault(sensor.sensor_kind.name, []).append(index)

    def factor(self, low: float = 1.05, high: float = 2.0) -> float:
        return float(self.rng.uniform(low, high))

    def free(self, category: str, places: Sequence[Place]) -> int:
        """Index of an unused place, away from other hazards of the category where the city has room."""
        order = self.rng.permutation(len(places))
        taken = self._spots.setdefault(category, [])
        apart = APART_OF.get(category, APART_M)
        for least in (apart, apart / 2, 0.0):
            for i in order.tolist():
                place = places[i]
                free = place.id not in self._used
                if free and all(distance_m((place.lat, place.lon), spot) >= least for spot in taken):
                    self._used.add(place.id)
                    taken.append((place.lat, place.lon))
                    return int(i)
        raise ValueError(f"the city is too small for another {category} hazard; give it more sensors, cameras or vehicles")

    def sensor(self, category: str, kind: str) -> int:
        members = self._by_kind[kind]
        return members[self.free(category, [self.layout.sensors[i] for i in members])]

    def noise(self, index: int) -> float:
        """Standard deviation of a sensor's noise, in its unit."""
        kind = self.layout.sensors[index].sensor_kind
        return kind.noise if kind is not None else 0.0

    def camera(self, category: str, place: str | None = None) -> Place:
        """An unused camera whose registered ``place`` is this one (None: that has none)."""
        cameras = [camera for camera in self.layout.cameras if camera.facts.get("attributes", {}).get("place") == place]
        return cameras[self.free(category, cameras)]

    def vehicle(self, kind: str) -> int:
        fleet = [i for i, v in enumerate(self.layout.vehicles) if v.facts["attributes"]["vehicle_kind"] == kind]
        unused = [i for i in fleet if self.layout.vehicles[i].id not in self._used]
        if not unused:
            raise ValueError(f"no unused {kind} is left; give the city more vehicles")
        chosen = unused[int(self.rng.integers(len(unused)))]
        self._used.add(self.layout.vehicles[chosen].id)
        return chosen

    def spot(self, category: str, least_from_centre_m: float = 0.0, *, off_sites: bool = False) -> tuple[float, float]:
        """A position for a hazard without a sensor; ``off_sites``: not where muck may be loaded or tipped."""
        taken = self._spots.setdefault(category, [])
        sites = self.layout.muck_sites() if off_sites else []
        for _ in range(200):
            lat, lon = self.layout.anywhere(least_from_centre_m)
            if any(distance_m((lat, lon), site) < OFF_SITES_M for site in sites):
                continue
            if all(distance_m((lat, lon), other) >= APART_M for other in taken):
                break
        taken.append((lat, lon))
        return lat, lon

    def name(self, recipe: str) -> str:
        self._count += 1
        return f"H{self._count:03d}-{recipe}"

    def calls(
        self, ts: int, lat: float, lon: float, texts: Sequence[str], every_s: float, within_m: float
    ) -> list[dict[str, Any]]:
        """One call per text, from different callers around a place."""
        rows = []
        for number, text in enumerate(texts):
            where = nearby(self.rng, lat, lon, within_m)
            line = "12319" if number % 2 else "12345"
            rows.append(
                {
                    "call_id": self.people.number(line),
                    "ts": int(ts + 1000 * every_s * number),
                    "line": line,
                    "text": text,
                    "caller": self.people.caller(),
                    "lat": where[0],
                    "lon": where[1],
                }
            )
        return rows

    def video(self, ts: int, camera: Place, kind: str, confidence: float, count: int, every_s: float) -> list[dict[str, Any]]:
        return [
            self.cameras.event(
                int(ts + 1000 * every_s * i), camera.id, kind, min(0.99, confidence + self.rng.uniform(-0.02, 0.02))
            )
            for i in range(count)
        ]


Recipe = Callable[[Scene, int], Hazard]
RECIPES: dict[str, Recipe] = {}
#: Minutes from a hazard's beginning to its end, where they are more than two hours: a short city has no room for it.
LASTS_MIN: dict[str, float] = {}
#: Minutes of normal life a hazard needs in front of it: what is unusual can only be told from what is usual.
LEARNED_MIN: dict[str, float] = {}


def recipe(name: str, lasts_min: float = 120.0, learned_min: float = 0.0) -> Callable[[Recipe], Recipe]:
    """Decorator: the function is the recipe of hazard ``name``; see ``LASTS_MIN`` and ``LEARNED_MIN``."""

    def add(function: Recipe) -> Recipe:
        RECIPES[name] = function
        LASTS_MIN[name] = lasts_min
        LEARNED_MIN[name] = learned_min
        return function

    return add


def at_sensor(
    scene: Scene,
    name: str,
    category: str,
    kind: str,
    at: int,
    minutes: float,
    level: int,
    note: str,
    radius_m: float = 100.0,
) -> tuple[Hazard, int]:
    """A hazard at an unused sensor, without effects yet, and the sensor's index."""
    index = scene.sensor(category, kind)
    place = scene.layout.sensors[index]
    end = at + int(minutes * 60_000)
    return Hazard(scene.name(name), category, place.lat, place.lon, radius_m, at, end, level, [place.id], note), index


def bent(
    scene: Scene,
    name: str,
    category: str,
    kind: str,
    at: int,
    minutes: float,
    shape: Shape,
    level: int,
    note: str,
    interval_s: float | None = None,
    radius_m: float = 100.0,
) -> Hazard:
    """A hazard that is one bent sensor."""
    hazard, index = at_sensor(scene, name, category, kind, at, minutes, level, note, radius_m)
    hazard.bends.append(Bend(index, at, hazard.to_ts, shape, int(interval_s * 1000) if interval_s else None))
    return hazard


def limited(
    scene: Scene, name: str, category: str, kind: str, at: int, minutes: float, limit: str, times: float, level: int, note: str
) -> Hazard:
    """A hazard that is one sensor at ``times`` its own limit."""
    hazard, index = at_sensor(scene, name, category, kind, at, minutes, level, note)
    bound = scene.layout.sensors[index].facts["limits"][limit]
    hazard.bends.append(Bend(index, at, hazard.to_ts, plateau(bound * times)))
    return hazard


def seen(
    scene: Scene,
    name: str,
    category: str,
    kind: str,
    at: int,
    confidence: float,
    count: int,
    every_s: float,
    level: int,
    place: str | None = None,
) -> Hazard:
    """A hazard that one camera sees again and again; ``place`` is where the camera looks, by its registry entry."""
    camera = scene.camera(category, place)
    end = at + int(1000 * every_s * count)
    hazard = Hazard(
        scene.name(name), category, camera.lat, camera.lon, 100.0, at, end, level, [camera.id], f"video: {kind}", "video"
    )
    hazard.video = scene.video(at, camera, kind, confidence, count, every_s)
    return hazard


def called(
    scene: Scene, name: str, category: str, at: int, texts: Sequence[str], every_s: float, within_m: float, level: int
) -> Hazard:
    """A hazard that people call about."""
    lat, lon = scene.spot(category)
    hazard = Hazard(
        scene.name(name),
        category,
        lat,
        lon,
        max(50.0, within_m),
        at,
        at + int(1000 * every_s * len(texts)) + 60_000,
        level,
        [],
        f"calls: {texts[0]}",
        "hotline",
    )
    hazard.calls = scene.calls(at, lat, lon, texts, every_s, within_m)
    return hazard


def driven(
    scene: Scene,
    name: str,
    category: str,
    kind: str,
    at: int,
    minutes: float,
    level: int,
    note: str,
    drive: Any,
    where: Any = None,
    *,
    off_sites: bool = False,
) -> Hazard:
    """A hazard that one vehicle makes at a fixed place (its fixes are replaced by ``drive``)."""
    index = scene.vehicle(kind)
    lat, lon = where if where is not None else scene.spot(category, 2_500.0, off_sites=off_sites)
    end = at + int(minutes * 60_000)
    hazard = Hazard(
        scene.name(name), category, lat, lon, 400.0, at, end, level, [scene.layout.vehicles[index].id], note, "vehicle"
    )
    hazard.detours.append(Detour(index, at, end, drive(lat, lon)))
    return hazard

"""Fixes per second of the pure detect stage on one core: vehicles against fences, with enter, exit and dwell.

    python -m benchmarks.vehicle_speed [--vehicles 2000] [--fences 2000] [--rows 200000] [--batch 1000]

Registered vehicles drive straight on at 20 to 60 km/h over a city of 60 x 60 km and report every ten seconds; three rules judge
every fix against all fences of 30 vertices. Prints fixes a second of processor time; the target is 150,000.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter

import numpy as np
import orjson
import shapely

from benchmarks.detect_speed import START
from benchmarks.fence_speed import stars
from detectors.rule import Deadlines, Department, Match, Provenance, Rule, Rung
from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.records import Asset, Period, Signal
from streams.registry import Registry
from topologies.detect import DetectStage

TOPIC = "city.vehicle.positions"
EVERY_S = 10
_WEST, _EAST, _SOUTH, _NORTH = 117.0, 117.63, 31.6, 32.14


def registry(vehicles: int, fences: int) -> Registry:
    """Sites with a fence each, and the vehicles."""
    areas = stars(fences, 30, 0.4, np.random.default_rng(7))
    sites = [
        Asset(f"SITE-{i}", "site", [Period(0, city="340100", attributes={"fence_kind": "zone", "fence": _geojson(area)})])
        for i, area in enumerate(areas)
    ]
    cars = [Asset(_vehicle(i), "vehicle", [Period(0, city="340100", attributes={"kind": "patrol"})]) for i in range(vehicles)]
    return Registry.from_assets([*sites, *cars])


def _geojson(area: shapely.Geometry) -> dict[str, object]:
    tree: dict[str, object] = orjson.loads(shapely.to_geojson(area))
    return tree


def _vehicle(number: int) -> str:
    return f"V-{number:05d}"


def book() -> RuleBook:
    """Enter and exit say each crossing, dwell an hour inside."""
    kinds = {"use": "geofence", "kinds": ["zone"]}
    rules = [_rule("bench-enter", {**kinds, "mode": "enter"}, 1.0, momentary=True)]
    rules += [_rule("bench-exit", {**kinds, "mode": "exit"}, 1.0, momentary=True)]
    rules += [_rule("bench-dwell", {**kinds, "mode": "dwell"}, 300.0)]
    return RuleBook.of(rules, RuleBook.default().families)


def _rule(name: str, detector: dict[str, object], bound: float, *, momentary: bool = False) -> Rule:
    return Rule(
        name,
        "1",
        "MUC-02",
        "muck",
        name,
        name,
        Match("vehicle"),
        detector,
        [Rung(3, bound)],
        "muck",
        Department("x"),
        Deadlines(1, 1, "1uh"),
        [Provenance("a bound for a benchmark", "here", "P")],
        momentary=momentary,
    )


def batches(rows: int, vehicles: int, size: int) -> list[RawBatch]:
    """Fixes in the order of arrival, each vehicle once in ten seconds."""
    rng = np.random.default_rng(3)
    lat, lon = rng.uniform(_SOUTH, _NORTH, vehicles), rng.uniform(_WEST, _EAST, vehicles)
    heading, speed = rng.uniform(0, 2 * np.pi, vehicles), rng.uniform(20, 60, vehicles)
    north, east = np.cos(heading) * speed / 3.6 / 111_195.0, np.sin(heading) * speed / 3.6 / 94_500.0
    made: list[tuple[int, bytes, bytes]] = []
    for turn in range(-(-rows // vehicles)):
        seconds = turn * EVERY_S
        for i in range(min(vehicles, rows - turn * vehicles)):
            ts = START + seconds * 1000 + i * EVERY_S * 1000 // vehicles
            fix = {
                "vehicle_id": _vehicle(i),
                "ts": ts,
                "lat": round(float(_SOUTH + (lat[i] - _SOUTH + north[i] * seconds) % (_NORTH - _SOUTH)), 6),
                "lon": round(float(_WEST + (lon[i] - _WEST + east[i] * seconds) % (_EAST - _WEST)), 6),
                "speed_kmh": round(float(speed[i]), 1),
                "kind": "patrol",
            }
            made.append((ts + 20, orjson.dumps(fix), _vehicle(i).encode()))
    return [
        RawBatch(
            TOPIC,
            0,
            list(range(start, start + len(part))),
            [arrival for arrival, _, _ in part],
            [value for _, value, _ in part],
            [key for _, _, key in part],
        )
        for start in range(0, rows, size)
        if (part := made[start : start + size])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=2_000)
    parser.add_argument("--fences", type=int, default=2_000)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    found, told = rates(given.vehicles, given.fences, given.rows, given.batch, given.runs)
    print(f"{statistics.median(found):,.0f} fixes/s of processor time (median of {given.runs}); {dict(sorted(told.items()))}")


def rates(vehicles: int, fences: int, rows: int, batch: int, runs: int) -> tuple[list[float], Counter[str]]:
    """Fixes a second of processor time in each run, and what was told in the last."""
    assets, rules, work = registry(vehicles, fences), book(), batches(rows, vehicles, batch)
    found, told = [], Counter[str]()
    warm = min(len(work) // 2, 2 + 2 * vehicles // batch)
    for _ in range(runs):
        stage = DetectStage(TOPIC, 0, rules, assets)
        for raw in work[:warm]:  # the indexes of fences are built with the first batches that need them
            stage.process(raw)
        told.clear()
        began = time.process_time()
        for raw in work[warm:]:
            for one in stage.process(raw).signals:
                told[f"{one.rule} {one.phase}" if isinstance(one, Signal) else one.control] += 1
        found.append((rows - warm * batch) / (time.process_time() - began))
    return found, told


if __name__ == "__main__":
    main()

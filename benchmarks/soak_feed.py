"""Weeks of a simulated city as a bag: its hazards and imperfections, and every day strangers nobody registered.

Strangers are what a state that never forgets grows by: sensors that report for two hours under a new name and are never heard
of again, and so do vehicles. Callers are new every time as it is.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

import msgspec
import orjson

from replay.bag import BagWriter
from replay.simulate.city import POSITIONS, READINGS, City, Wire
from replay.simulate.hazards import RECIPES
from streams.batch import RawBatch
from streams.records import Asset

START = 1_772_380_800_000  # 2026-03-02 00:00 in Beijing
DAY_MS, MINUTE_MS = 86_400_000, 60_000
_BATCH = 5_000
_STAYS_MIN = 120
#: What is asked is what is kept after weeks, not how much comes in a second: sensors report a third as often, vehicles too.
_PACE, _FIX_S = 0.3, 120.0


@dataclass(frozen=True)
class Soak:
    """``hazards``: how often each recipe comes to pass; ``strangers``: new unregistered sensors a day, and a tenth as many
    vehicles."""

    days: float
    sensors: int
    vehicles: int
    cameras: int
    hazards: int
    strangers: int

    @property
    def origin(self) -> str:
        """As its bag names it."""
        return f"benchmarks.soak {json.dumps(asdict(self))}"

    def city(self) -> City:
        return City(
            20_261_129, START, 24.0 * self.days, sensors=self.sensors, vehicles=self.vehicles, cameras=self.cameras,
            recipes=list(RECIPES) * self.hazards, pace=_PACE, fix_s=_FIX_S,
        )  # fmt: skip


def strangers(soak: Soak) -> Iterator[Wire]:
    """In the order of arrival; each day's come in turn through the day."""
    per_day = soak.strangers + soak.strangers // 10
    for minute in range(int(soak.days * 1440)):
        day, of_day = divmod(minute, 1440)
        for number in range(per_day):
            begin = number * (1440 - _STAYS_MIN) // max(1, per_day)
            if begin <= of_day < begin + _STAYS_MIN:
                yield _stranger(f"X{day:03}-{number:04}", number < soak.strangers, START + minute * MINUTE_MS + number)


def _stranger(name: str, sensor: bool, ts: int) -> Wire:
    place = {"lat": 31.8 + ts % 997 * 1e-5, "lon": 117.2}
    if sensor:
        body = {"sensor_id": name, "metric": "level", "unit": "m", "ts": ts, "value": 1.0 + ts % 101 / 1000, **place}
        return Wire(ts + 500, READINGS, name.encode(), orjson.dumps(body))
    body = {"vehicle_id": name, "ts": ts, "speed_kmh": 20.0 + ts % 11, "heading_deg": 90.0, **place}
    return Wire(ts + 500, POSITIONS, name.encode(), orjson.dumps(body))


def write(path: Path, soak: Soak, progress: Callable[[float], None]) -> int:
    """Write the bag, one partition a topic; the number of records. ``progress`` is told of every day."""
    city, total, day = soak.city(), 0, 0
    held: dict[str, list[Wire]] = {}
    offsets: dict[str, int] = {}
    with BagWriter(path, origin=soak.origin) as writer:
        writer.registry(msgspec.convert(city.registry, list[Asset]))

        def flush(topic: str) -> None:
            some = held.pop(topic, [])
            first = offsets.get(topic, 0)
            offsets[topic] = first + len(some)
            values, keys = [wire.value for wire in some], [wire.key for wire in some]
            places = list(range(first, offsets[topic]))
            writer.write(RawBatch(f"city.{topic}", 0, places, [wire.arrival_ts for wire in some], values, keys))

        for wire in heapq.merge(city.stream(), strangers(soak), key=attrgetter("arrival_ts")):
            held.setdefault(wire.topic, []).append(wire)
            if len(held[wire.topic]) >= _BATCH:
                flush(wire.topic)
            total += 1
            if wire.arrival_ts - START >= (day + 1) * DAY_MS:
                day += 1
                progress(day)
        for topic in list(held):
            flush(topic)
    return total

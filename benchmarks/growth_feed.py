"""A city of any size for the growth benchmark: registered methane sensors that each speak every ten seconds, calmly.

A reading is put together from three pieces of bytes, so that a million of them take a fraction of a second to make.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from streams.batch import RawBatch
from streams.codec import encode
from streams.partitioner import partition_of
from streams.records import Asset, Period
from streams.registry import Registry

TOPIC = "city.sensor.readings"
START = 1_751_241_600_000
EVERY_MS = 10_000
TRANSIT_MS = 20


def sensor(number: int) -> str:
    return f"GAS-W-{number:06d}"


def assets(sensors: int) -> Iterator[Asset]:
    """All of them, each at its place, with the interval that lets silence be watched."""
    facts: dict[str, Any] = {
        "city": "340100",
        "metric": "ch4",
        "unit": "%LEL",
        "interval_s": EVERY_MS / 1000,
    }
    places = ((31.6 + number // 400 * 1e-3, 117.0 + number % 400 * 1e-3) for number in range(sensors))
    return (
        Asset(sensor(number), "sensor", [Period(0, lat=round(lat, 6), lon=round(lon, 6), **facts)])
        for number, (lat, lon) in enumerate(places)
    )


def registry(sensors: int) -> Registry:
    """Read from JSON, as a worker does: what is alike in two assets is not one object by itself."""
    return Registry.from_jsonl(encode(asset) for asset in assets(sensors))


class City:
    """Readings of all sensors, laid out over partitions as the Java partitioner does."""

    def __init__(self, sensors: int, partitions: int) -> None:
        self.sensors = sensors
        keys: list[list[bytes]] = [[] for _ in range(partitions)]
        for number in range(sensors):
            keys[partition_of(sensor(number), partitions)].append(sensor(number).encode())
        rng = np.random.default_rng(5)
        self._keys = [[part[i] for i in rng.permutation(len(part))] for part in keys]
        self._heads = [[b'{"sensor_id":"%s","ts":' % key for key in part] for part in self._keys]
        values = rng.normal(1.0, 0.1, 997).round(3)
        self._tails = [b',"metric":"ch4","value":%s,"unit":"%%LEL"}' % str(value).encode() for value in values]

    def batch(self, partition: int, first: int, size: int) -> RawBatch:
        """Readings ``first`` to ``first + size`` of a partition's log, in which each sensor speaks once in ten seconds."""
        keys, heads, tails = self._keys[partition], self._heads[partition], self._tails
        count, place = len(keys), range(first, first + size)
        ts = [START + at * EVERY_MS // count for at in place]
        values: list[bytes | None] = [
            heads[at % count] + str(when).encode() + tails[at * 7919 % 997] for at, when in zip(place, ts, strict=True)
        ]
        arrivals = [when + TRANSIT_MS for when in ts]
        return RawBatch(TOPIC, partition, list(place), arrivals, values, [keys[at % count] for at in place])

    def batches(self, readings: int, size: int) -> Iterator[RawBatch]:
        """The first readings of the first partition."""
        return (self.batch(0, first, min(size, readings - first)) for first in range(0, readings, size))

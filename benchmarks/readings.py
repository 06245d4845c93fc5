"""The readings every contender gets: 62 to 118 bytes of JSON of 1,000 methane sensors, one a second of each.

A third of the sensors write the four fields that must be, a third a unit too, a third unit, quality and sequence number.
Now and then a sensor stands at 25 %LEL for five readings, so both rules have something to tell. Everything follows from the
number of the reading: the same bytes in every run, and arrival times that do not depend on when it was fed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.job import mark
from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.records import Asset, Control, Period, Signal
from streams.registry import Registry

START = 1_751_241_600_000
SENSORS = 1_000
TOPIC = "city.sensor.readings"
#: Milliseconds from a reading to its arrival in the log.
TRANSIT = 20
#: One excursion in so many readings of a sensor begins.
EXCURSION_EVERY = 2_000
EXCURSION_LASTS = 5
EXCURSION = 25.0


def sensor(number: int) -> str:
    """Id of a sensor; a third of them have short ones."""
    return f"W{number}" if number % 3 == 0 else f"GAS-W-{number:05d}"


def registry() -> Registry:
    """All sensors, registered: the gate checks every reading against what is known of it."""
    return Registry.from_assets(
        Asset(sensor(i), "sensor", [Period(0, city="340100", lat=31.6, lon=117.0, metric="ch4", unit="%LEL")])
        for i in range(SENSORS)
    )


def readings(count: int, sensors: int = SENSORS) -> Iterator[tuple[bytes, bytes, int]]:
    """(key, value, arrival in epoch ms), in the order of arrival; of the first ``sensors`` sensors."""
    rng = np.random.default_rng(7)
    left = np.zeros(sensors, dtype=np.int64)
    for second in range(-(-count // sensors)):
        noise = 1.0 + rng.normal(0.0, 0.1, sensors)
        begins = (rng.random(sensors) < 1 / EXCURSION_EVERY) & (second > 5)
        left = np.where(left > 0, left - 1, np.where(begins, EXCURSION_LASTS, 0))
        values = np.where(left > 0, EXCURSION + noise, noise).round(3).tolist()
        for i in range(min(sensors, count - second * sensors)):
            ts = START + second * 1_000 + i
            record: dict[str, object] = {"sensor_id": sensor(i), "ts": ts, "metric": "ch4", "value": values[i]}
            if i % 3:
                record["unit"] = "%LEL"
            if i % 3 == 2:
                record["quality"], record["seq"] = "good", second
            yield sensor(i).encode(), orjson.dumps(record), ts + TRANSIT


def batches(count: int, sensors: int = SENSORS, size: int = 1_000) -> Iterator[RawBatch]:
    """The same readings as the transport would hand them over, for the pure stage."""
    rows = list(readings(count, sensors))
    for start in range(0, count, size):
        part = rows[start : start + size]
        yield RawBatch(
            TOPIC,
            0,
            list(range(start, start + len(part))),
            [arrival for _, _, arrival in part],
            [value for _, value, _ in part],
            [key for key, _, _ in part],
        )


def count_signals(signals: Iterable[Signal | Control], found: Counter[str]) -> None:
    """Enter what a stage said into ``found``: how often each rule which phase, and a sum of marks that names every alarm."""
    for one in signals:
        if not isinstance(one, Signal):
            found[one.control] += 1
            continue
        found[f"{one.rule} {one.phase}"] += 1
        if one.phase == "raised":
            found["alerts"] += mark(one.rule, one.entity, one.ts)


def two_rules() -> RuleBook:
    """One threshold rule and one robust z rule, both on every reading."""
    return RuleBook.from_dir(Path(__file__).parent / "rules")

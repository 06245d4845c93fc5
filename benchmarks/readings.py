"""The readings every contender gets: 64 to 117 bytes of JSON of 10,000 methane sensors, one in ten seconds of each.

A third of the sensors write the four fields that must be, a third a unit too, a third unit, quality and sequence number.
Now and then a sensor stands at 25 %LEL for five readings, is silent for a minute or rests at one value for three, so each rule
has something to tell. Everything follows from the number of the reading: the same bytes in every run, and arrival times that
do not depend on when it was fed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.job import SENSORS, mark
from streams.batch import RawBatch
from streams.records import Asset, Control, Period, Signal
from streams.registry import Registry

START = 1_751_241_600_000
#: Seconds between two readings of a sensor.
EVERY_S = 10
TOPIC = "city.sensor.readings"
#: Milliseconds from a reading to its arrival in the log.
TRANSIT = 20
#: One excursion in so many readings of a sensor begins.
EXCURSION_EVERY = 2_000
EXCURSION_LASTS = 5
EXCURSION = 25.0
#: Readings that a sensor leaves out, and at which it rests; one in so many begins either.
TROUBLE_EVERY = 5_000
SILENCE_LASTS = 6
REST_LASTS = 20
#: Nothing begins in the first readings.
CALM = 5


def sensor(number: int) -> str:
    """Id of a sensor; a third of them have short ones."""
    return f"W{number}" if number % 3 == 0 else f"GAS-W-{number:05d}"


def registry(sensors: int = SENSORS) -> Registry:
    """All sensors, registered: the gate checks every reading against what is known of it."""
    return Registry.from_assets(
        Asset(
            sensor(i),
            "sensor",
            [Period(0, city="340100", lat=31.6, lon=117.0, metric="ch4", unit="%LEL", interval_s=float(EVERY_S))],
        )
        for i in range(sensors)
    )


def readings(count: int, sensors: int = SENSORS) -> Iterator[tuple[bytes, bytes, int]]:
    """(key, value, arrival in epoch ms), in the order of arrival; of the first ``sensors`` sensors."""
    rng = np.random.default_rng(7)
    high, silent, rests = (np.zeros(sensors, dtype=np.int64) for _ in range(3))
    values = np.zeros(sensors)
    written, turn = 0, 0

    def goes_on(left: NDArray[np.int64], every: int, lasts: int) -> NDArray[np.int64]:
        """How many readings each sensor's trouble lasts from now on; one sensor in ``every`` begins one."""
        begins = (rng.random(sensors) < 1 / every) & (turn > CALM)
        return np.where(left > 0, left - 1, np.where(begins, lasts, 0))

    while written < count:
        noise = (1.0 + rng.normal(0.0, 0.1, sensors)).round(3)
        high = goes_on(high, EXCURSION_EVERY, EXCURSION_LASTS)
        silent = goes_on(silent, TROUBLE_EVERY, SILENCE_LASTS)
        rests = goes_on(rests, TROUBLE_EVERY, REST_LASTS)
        values = np.where(rests > 0, values, np.where(high > 0, (EXCURSION + noise).round(3), noise))
        for i in np.flatnonzero(silent == 0).tolist()[: count - written]:
            ts = START + turn * EVERY_S * 1_000 + i * EVERY_S * 1_000 // sensors
            record: dict[str, object] = {"sensor_id": sensor(i), "ts": ts, "metric": "ch4", "value": float(values[i])}
            if i % 3:
                record["unit"] = "%LEL"
            if i % 3 == 2:
                record["quality"], record["seq"] = "good", turn
            yield sensor(i).encode(), orjson.dumps(record), ts + TRANSIT
            written += 1
        turn += 1


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

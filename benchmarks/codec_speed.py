"""Microseconds per reading of the decode step and of the quality gate, in one process on one core.

    python -m benchmarks.codec_speed [--rounds N]

Readings of 80 to 117 bytes of 1,000 sensors in batches of 1,000, all of them registered. Printed is the median over the
rounds; run it pinned to a core (``taskset -c 0``) beside nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from streams.batch import RawBatch
from streams.codec import decode
from streams.gate import Gate
from streams.records import Asset, Period
from streams.registry import Registry

T0 = 1_700_000_000_000
SENSORS = 1_000
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "with unit": {"unit": "%LEL"},
    "with unit and version": {"unit": "%LEL", "schema_version": 1},
    "unit converted": {"unit": "%VOL"},
    "with an unknown field": {"site": 7},
}


def batch(number: int, extra: dict[str, Any]) -> RawBatch:
    at = T0 + number * 1000
    values: list[bytes | None] = [
        json.dumps({"sensor_id": f"GAS-W-{i:05d}", "ts": at, "metric": "ch4", "value": i * 0.05} | extra).encode()
        for i in range(SENSORS)
    ]
    return RawBatch("city.sensor.readings", 0, list(range(SENSORS)), [at] * SENSORS, values, [None] * SENSORS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    registry = Registry.from_assets(
        Asset(f"GAS-W-{i:05d}", "sensor", [Period(0, metric="ch4", unit="%LEL")]) for i in range(SENSORS)
    )
    print(f"{'shape':24}{'bytes':>6}{'decode µs':>11}{'gate µs':>9}")
    for shape, extra in SHAPES.items():
        gate, decoding, judging = Gate("sensor", registry), [], []
        for number in range(rounds):
            raw = batch(number, extra)
            start = time.perf_counter()
            decoded = decode("sensor", raw)
            between = time.perf_counter()
            gate.admit(decoded, raw)
            decoding.append((between - start) / SENSORS * 1e6)
            judging.append((time.perf_counter() - between) / SENSORS * 1e6)
        size = len(batch(0, extra).values[-1] or b"")
        print(f"{shape:24}{size:6}{statistics.median(decoding):11.3f}{statistics.median(judging):9.3f}")


if __name__ == "__main__":
    main()

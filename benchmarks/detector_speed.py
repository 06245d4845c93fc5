"""How long threshold and robust z take per row, each with ladder and alarm, on batches of 1,000 rows of 1,000 slots.

Run: ``python -m benchmarks.detector_speed``. Prints microseconds per row (median of the batches) with and without alarms
going on; the target of the design is 0.6 a row for each detector with its ladder and alarm.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

import detectors  # noqa: F401  (registers the house's detectors)
from detectors.alarm import Alarm
from detectors.base import Series, registered
from detectors.ladder import Ladder
from detectors.rule import Limit, Rung
from streams.batch import Batch, rounds

SLOTS = 1000
BATCHES = 400
WARMUP = 100

RULES: dict[str, tuple[dict[str, Any], list[Rung]]] = {
    "threshold": ({}, [Rung(3, 4.0, clear=3.0, for_count=2), Rung(2, 6.0, clear=5.0)]),
    "threshold, limits": ({}, [Rung(3, Limit("high"), clear=Limit("high", 0.8)), Rung(2, Limit("high", 1.2))]),
    "robust_z": ({}, [Rung(4, 6.0, clear=3.0, for_count=3), Rung(3, 12.0)]),
    "robust_z, day": ({"season": "day"}, [Rung(4, 6.0, clear=3.0, for_count=3)]),
    "rate_of_change": ({"window_s": 600}, [Rung(3, 5.0, clear=3.0)]),
    "stuck": ({}, [Rung(4, 3600.0)]),
    "silence": ({}, [Rung(4, 1.0)]),
}


def batches(outliers: float) -> list[Batch]:
    rng = np.random.default_rng(1)
    made = []
    for n in range(BATCHES):
        value = rng.normal(0.0, 1.0, SLOTS).round(3)
        value[rng.random(SLOTS) < outliers] += 8.0
        ts = np.full(SLOTS, 1_700_000_000_000 + n * 10_000, dtype=np.int64)
        slot = rng.permutation(SLOTS).astype(np.int32)
        records: list[Any] = [None] * SLOTS
        zero = np.zeros(SLOTS, dtype=np.int32)
        made.append(Batch("sensor", slot, ts, ts, ts, zero, zero > 0, records, {"value": value}))
    return made


def measure(name: str, params: dict[str, Any], rungs: list[Rung], shown: list[Batch]) -> tuple[float, int]:
    series = [Series(f"s{i}", "ch4", interval_s=10.0, limits={"high": 5.0}) for i in range(SLOTS)]
    detector_class = registered()[name.split(",")[0]]
    detector = detector_class(detector_class.Params(**params), series)
    alarm = Alarm(Ladder(rungs, "above", series))
    detector.grow(SLOTS)
    detector.changed(range(SLOTS))
    alarm.grow(SLOTS)
    took, transitions = [], 0
    for batch in shown:
        begun = time.perf_counter()
        for piece in rounds(batch.slot):
            # As the runner does: a batch without repeated slots is not copied.
            part = batch if len(piece) == len(batch) else batch.take(piece)
            told = detector.measure(part)
            transitions += len(alarm.step(part.slot, told.measure, part.ts))
        took.append((time.perf_counter() - begun) * 1e6 / len(batch))
    return statistics.median(took[WARMUP:]), transitions


def main() -> None:
    print(f"{'detector + ladder + alarm':28} {'quiet us/row':>12} {'1 % beyond us/row':>18} {'transitions':>12}")
    quiet, busy = batches(0.0), batches(0.01)
    for name, (params, rungs) in RULES.items():
        calm, _ = measure(name, params, rungs, quiet)
        wild, transitions = measure(name, params, rungs, busy)
        print(f"{name:28} {calm:12.3f} {wild:18.3f} {transitions:12d}")


if __name__ == "__main__":
    main()

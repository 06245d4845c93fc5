"""Rows per second of the pure detect stage on one core: readings through codec, gate and rules, without any broker.

    python -m benchmarks.detect_speed [--rules two|four|five|all] [--sensors 1000] [--rows 400000] [--batch 1000]

``two``: one threshold and one robust z per reading; ``four``: silence and stuck too; ``five``: the default anomaly detector on
top; ``all``: the default rulebook.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import orjson

from detectors.rule import Deadlines, Department, Match, Provenance, Rule, Rung
from detectors.rulebook import RuleBook
from detectors.scoring import DEFAULT_DETECTOR
from streams.batch import RawBatch
from streams.registry import Registry
from topologies.detect import DetectStage
from topologies.settings_stages import DetectSettings

START = 1_751_241_600_000


def rule(name: str, detector: dict[str, object], bound: float, family: str) -> Rule:
    return Rule(
        name,
        "1",
        "GAS-01",
        "gas",
        name,
        name,
        Match("sensor", metrics=["ch4"]),
        detector,
        [Rung(3, bound)],
        family,
        Department("x"),
        Deadlines(1, 1, "1uh"),
        [Provenance("a bound for a benchmark", "here", "P")],
    )


def book(which: str) -> RuleBook:
    whole = RuleBook.default()
    if which == "all":
        return whole
    found = [rule("bench-threshold", {"use": "threshold"}, 20.0, "gas"), rule("bench-z", {"use": "robust_z"}, 12.0, "gas")]
    if which in ("four", "five"):
        found += [rule("bench-silence", {"use": "silence"}, 1.0, "gas"), rule("bench-stuck", {"use": "stuck"}, 120.0, "gas")]
    if which == "five":
        found += [rule("bench-unusual", {"use": DEFAULT_DETECTOR}, 1.0, "gas")]
    return RuleBook.of(found, whole.families)


def batches(rows: int, sensors: int, size: int) -> list[RawBatch]:
    """Readings of 85 to 95 bytes, each sensor once a second of arrival per ``sensors`` rows."""
    found = []
    for start in range(0, rows, size):
        values: list[bytes | None] = []
        arrivals = []
        for i in range(start, start + size):
            at = START + i * 1000 // sensors
            arrivals.append(at + 20)
            reading = {
                "sensor_id": f"GAS-W-{i % sensors:05d}",
                "ts": at,
                "metric": "ch4",
                "value": round(1.0 + (i * 7919 % 97) / 300, 3),
            }
            values.append(orjson.dumps(reading))
        found.append(RawBatch("city.sensor.readings", 0, list(range(start, start + size)), arrivals, values, [None] * size))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", choices=["two", "four", "five", "all"], default="two")
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--sensors", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    work, rules = batches(options.rows, options.sensors, options.batch), book(options.rules)
    rates = []
    for _ in range(options.runs):
        stage = DetectStage("city.sensor.readings", 0, rules, Registry(), DetectSettings())
        began = time.process_time()
        for raw in work:
            stage.process(raw)
        rates.append(options.rows / (time.process_time() - began))
    sys.stdout.write(
        f"{options.rules} rules: {statistics.median(rates):,.0f} rows/s of processor time (median of {options.runs})\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

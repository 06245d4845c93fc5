"""Whether cost and weight grow with the city: sensors, partitions, batch size, memory, checkpoint, restore, start-up.

    python -m benchmarks.growth [--quick] [--only cost|weight|start] [--json FILE] [--write docs/performance.md]

Every size is measured in a process of its own (:mod:`benchmarks.growth_shard`) on one core: the detect stage over JSON readings
of registered sensors, with threshold, robust z, silence and stuck for every sensor ("four"), or with the default anomaly
detector on top ("five"). A line with every figure is told on standard error as it comes. Some minutes;
``--quick`` is a smoke run whose figures say nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks import performance_plots as plots
from benchmarks.latency import worker
from benchmarks.servers import Broker
from benchmarks.tables import Table, answer, deliver, output_options
from streams.embedded.redis import EmbeddedRedis
from streams.topics import partition_counts

ROOT = Path(__file__).parents[1]
COMMAND = "python -m benchmarks.growth"
WHAT = ("cost", "weight", "start")
SENSORS, PARTITIONS, BATCHES = (1_000, 10_000, 100_000), (1, 4, 16), (10, 100, 1_000, 10_000)
CITY, BATCH = 10_000, 1_000
#: The warm-up of the default detector is a hundred readings, of robust z sixty.
WARM = {"four": 70, "five": 110}
#: So often is each size measured, in turns with the others: a busy minute of the machine is to hit all of them.
TURNS = 3
MOST_BY_SENSORS, MOST_BY_PARTITIONS = 1.3, 1.2
MOST_BYTES = {"four": 1_024, "five": 3_072}
MOST_STATE, MOST_CHECKPOINT_MS, MOST_RESTORE_MS, MOST_START_S = 512, 200.0, 2_000.0, 3.0

Told = dict[str, Any]


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def shard(core: list[int], given: argparse.Namespace, rules: str, sensors: int, partitions: int, batch: int) -> Told:
    """Run :mod:`benchmarks.growth_shard` once more for a size; what it told before is kept, and costs come to those it has. The
    largest city saves and restores itself, too."""
    size = (rules, sensors, partitions, batch)
    known: Told | None = given.done.get(size)
    more = ["--checkpoint"] if sensors == _sizes(given)[0][-1] and known is None else []
    command = [sys.executable, "-m", "benchmarks.growth_shard", "--rules", rules, "--rounds", str(given.rounds)]
    command += ["--sensors", str(sensors), "--partitions", str(partitions), "--batch", str(batch)]
    command += ["--warm", str(1 if given.quick else WARM[rules]), *more, *(["--core", str(core[0])] if core else [])]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3_600)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {run.returncode}: {run.stderr[-2000:]}")
    told: Told = json.loads(run.stdout)
    tell(
        f"{rules} detectors, {sensors:,} sensors, {partitions} partitions, batches of {batch:,}: "
        f"{statistics.median(told['us']):.2f} us, {told['stage_bytes']:,.0f} + {told['registry_bytes']:,.0f} bytes a sensor"
    )
    given.done[size] = told if known is None else {**known, "us": known["us"] + told["us"]}
    found: Told = given.done[size]
    return found


def _sizes(given: argparse.Namespace) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return ((100, 200), (1, 2), (10, 100)) if given.quick else (SENSORS, PARTITIONS, BATCHES)


def cost(core: list[int], given: argparse.Namespace) -> Table:
    """Microseconds a reading along the three axes; each point with the others at their usual size."""
    sensors, partitions, batches = _sizes(given)
    city, usual = (100, 100) if given.quick else (CITY, BATCH)
    axes = {
        "sensors": {size: (size, 1, usual) for size in sensors},
        "partitions": {count: (city, count, usual) for count in partitions},
        "batch": {size: (city, 1, size) for size in batches},
    }
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    turns = 1 if given.quick else TURNS
    for _ in range(turns):
        for rules in ("four", "five"):
            for point in dict.fromkeys(point for points in axes.values() for point in points.values()):
                shard(core, given, rules, *point)
    for rules in ("four", "five"):
        for axis, points in axes.items():
            costs: dict[int, list[float]] = {value: given.done[rules, *point]["us"] for value, point in points.items()}
            figures[f"{rules} {axis}"] = {str(value): found for value, found in costs.items()}
            first = statistics.median(next(iter(costs.values())))
            rows += [
                [
                    f"{rules} detectors, {value:,} {'a batch' if axis == 'batch' else axis}",
                    *(f"{number:.2f}" for number in (statistics.median(found), min(found), max(found))),
                    f"{statistics.median(found) / first:.2f}",
                ]
                for value, found in costs.items()
            ]  # fmt: skip
    notes = [
        f"Unless the row says otherwise {city:,} sensors, one partition, batches of {usual:,} a partition; every sensor speaks "
        f"every ten seconds; {given.rounds} samples each, {turns} times in turns with the other sizes, behind "
        f"{1 if given.quick else WARM['four']} (four) or {1 if given.quick else WARM['five']} (five) readings of every sensor.",
        *goal(figures, "sensors", MOST_BY_SENSORS),
        *goal(figures, "partitions", MOST_BY_PARTITIONS),
    ]
    pictures = {"performance-growth": partial(plots.growth, figures)}
    columns = ["detect stage", "µs/reading, median", "min", "max", "× the first"]
    return Table("Growth: processor time of a reading", columns, rows, notes, figures, pictures)


def goal(figures: dict[str, Any], axis: str, most: float) -> list[str]:
    """The last point of an axis against its first, for both sets of detectors."""
    told = []
    for rules in ("four", "five"):
        costs = {int(value): statistics.median(found) for value, found in figures[f"{rules} {axis}"].items()}
        times = costs[max(costs)] / costs[min(costs)]
        verdict = "met" if times <= most else "MISSED"
        told.append(
            f"Goal, {rules} detectors: ≤ {most} × from {min(costs):,} to {max(costs):,} {axis}: {times:.2f}: {verdict}."
        )
    return told


def weight(core: list[int], given: argparse.Namespace) -> Table:
    """What the largest city weighs, and what saving and restoring it takes."""
    sensors, batch = _sizes(given)[0][-1], 100 if given.quick else BATCH
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}

    def row(what: str, value: float, unit: str, most: float | None = None) -> None:
        verdict = "–" if most is None else "met" if value <= most else "MISSED"
        rows.append([what, f"{value:,.0f} {unit}", "–" if most is None else f"≤ {most:,.0f} {unit}", verdict])

    for rules in ("four", "five"):
        told = figures[rules] = given.done.get((rules, sensors, 1, batch)) or shard(core, given, rules, sensors, 1, batch)
        saved = {name: statistics.median(one[name] for one in told["checkpoint"]) for name in told["checkpoint"][0]}
        head = f"{rules} detectors: "
        row(head + "resident, all in, a sensor", told["stage_bytes"] + told["registry_bytes"], "bytes", MOST_BYTES[rules])
        row(head + "of it its entry in the registry", told["registry_bytes"], "bytes")
        row(head + "checkpoint, a sensor", told["state_bytes"], "bytes", MOST_STATE if rules == "four" else None)
        row(head + "checkpoint: capture, on the event loop", saved["capture_ms"], "ms", MOST_CHECKPOINT_MS)
        row(head + "checkpoint: encoding, in a thread", saved["encode_ms"], "ms")
        row(head + "checkpoint: longest wait of the loop meanwhile", saved["pause_ms"], "ms")
        row(head + "checkpoint: written to Redis, in a thread", saved["write_ms"], "ms")
        row(head + "checkpoint: the whole", saved["whole_ms"], "ms", MOST_CHECKPOINT_MS)
        row(head + "restore from Redis", saved["restore_ms"], "ms", MOST_RESTORE_MS)
    notes = [
        f"{sensors:,} registered sensors in one partition; medians of {given.rounds}. Resident: what the process grew by, "
        "with numpy's columns, Python's objects and what the allocator keeps. State is what a checkpoint holds."
    ]
    return Table(
        f"Growth: weight and checkpoint of {sensors:,} sensors", ["what", "measured", "goal", "verdict"], rows, notes, figures
    )


def start(core: list[int], others: list[int], given: argparse.Namespace) -> Table:
    """Seconds from the start of the process to its first 200 on /readyz."""
    machine.pin(others)
    took = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-bench-")))
        for number in range(given.rounds + 1):
            # Another broker is another cluster, whose checkpoints the worker would rightly refuse.
            with Broker("embedded", partition_counts()) as broker, EmbeddedRedis(folder / f"redis-{number}") as redis:
                began = time.perf_counter()
                with worker(broker, redis.url, core, folder):
                    took.append(time.perf_counter() - began)
                tell(f"start {number}: {took[-1]:.2f} s")
    # The first start reads programs from the disk.
    first, rest = took[0], took[1:]
    median = statistics.median(rest)
    verdict = "met" if median < MOST_START_S else "MISSED"
    return Table(
        "Start-up of a worker: from the start of its process to the first 200 on /readyz",
        ["broker", "seconds, median", "min", "max", "the first", "goal", "verdict"],
        [["embedded", *(f"{one:.2f}" for one in (median, min(rest), max(rest), first)), f"< {MOST_START_S:g}", verdict]],
        [f"{len(rest)} starts, the first of all apart: it reads the programs from the disk. Nothing to restore."],
        {"seconds": took},
    )


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few hundred sensors")
    parser.add_argument("--only", choices=WHAT, action="append", help="measure only this (may be given several times)")
    parser.add_argument("--rounds", type=int, default=5, help="samples, of which the median counts (%(default)s)")
    output_options(parser)
    given = parser.parse_args(words)
    # What was measured already, by size.
    given.done = {}
    if given.quick:
        given.rounds = 1
    return given


def main(words: list[str] | None = None) -> int:
    given = parse(words)
    available, facts = machine.cores(), machine.facts()
    core, others = machine.split(available)
    wanted = given.only or WHAT
    tables = []

    def work() -> None:
        if "cost" in wanted:
            tables.append(cost(core, given))
        if "weight" in wanted:
            tables.append(weight(core, given))
        if "start" in wanted:
            tables.append(start(core, others, given))
        facts["load after (1, 5, 15 min)"] = machine.load()
        deliver(given, facts, tables, COMMAND)

    return answer("growth", work)


if __name__ == "__main__":
    sys.exit(main())

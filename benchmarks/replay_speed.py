"""How fast ``citywatch replay run`` goes through a bag, beside what its file costs to be scanned and decoded.

    python -m benchmarks.replay_speed [--readings 4000000] [--rounds 5] [--peers [PYTHON]] [--write docs/performance.md]

A bag of dense readings: 10,000 registered methane sensors in one partition, each once in ten seconds, in Parquet as a recording
is. The command's own figure counts (it starts when the bag is opened); scans are those of :mod:`benchmarks.replay_scan`,
DuckDB's where the peers' Python is given. All on one core, taking turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import machine, peers
from benchmarks.growth_feed import TOPIC, City, assets
from benchmarks.job import Reading
from benchmarks.tables import Table, answer, deliver, output_options, spread
from replay.bag import BagWriter

decode = msgspec.json.Decoder(list[Reading]).decode
ROOT = Path(__file__).parents[1]
COMMAND = "python -m benchmarks.replay_speed"
SENSORS, BATCH = 10_000, 10_000
GOAL_RATE = 800_000
LABELS = {
    "two": "citywatch replay run, two rules (threshold, robust z)",
    "all": "citywatch replay run, the rulebook that ships",
    "pyarrow": "pyarrow scan, msgspec decode (ceiling)",
    "duckdb": "DuckDB scan, from_json (ceiling)",
}


def write_bag(path: Path, readings: int, sensors: int = SENSORS) -> int:
    """Write the bag; the sum of its values in thousandths."""
    city, total = City(sensors, 1), 0
    with BagWriter(path) as writer:
        writer.registry(assets(sensors))
        for raw in city.batches(readings, BATCH):
            parsed = decode(b"[" + b",".join(value for value in raw.values if value is not None) + b"]")
            total += sum(round(reading.value * 1000) for reading in parsed)
            writer.write(raw, [reading.ts for reading in parsed])
    return total


def replay(bag: Path, rules: str, out: Path, core: list[int]) -> dict[str, Any]:
    """Run the command; what it says of itself, with ``readings`` that passed every check and ``seconds``."""
    command = [sys.executable, "-m", "citywatch", "replay", "run", str(bag), "--out", str(out), "--json"]
    command += ["--rules", str(Path(__file__).parent / "rules")] if rules == "two" else []
    told = _json(command, core)
    return {"readings": told["outcomes"][TOPIC]["processed"], "seconds": told["seconds"]}


def scan(name: str, bag: Path, core: list[int], python: str = sys.executable) -> dict[str, Any]:
    return _json([python, "-m", "benchmarks.replay_scan", name, str(bag)], core)


def _json(command: list[str], core: list[int]) -> dict[str, Any]:
    def before() -> None:
        machine.die_with_parent()
        machine.pin(core)

    environment = {name: value for name, value in os.environ.items() if not name.startswith("CITYWATCH_")}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3_600, preexec_fn=before)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {run.returncode}: {run.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def measure(core: list[int], *, readings: int, rounds: int, python: str | None, sensors: int = SENSORS) -> Table:
    """The table; fails where somebody read other values or not all of them."""
    names = [name for name in LABELS if python or name != "duckdb"]
    rates: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="citywatch-bench-") as folder:
        bag = Path(folder) / "dense"
        total = write_bag(bag, readings, sensors)
        size = sum(file.stat().st_size for file in (bag / "segments").iterdir())
        for number in range(rounds):
            for name in names:
                if name in ("two", "all"):
                    told = replay(bag, name, Path(folder) / f"{name}-{number}", core)
                else:
                    told = scan(name, bag, core, python if name == "duckdb" and python else sys.executable)
                    if told["sum"] != total:
                        raise RuntimeError(f"{name} read values with the sum {told['sum']}, the bag has {total}")
                if told["readings"] != readings:
                    raise RuntimeError(f"{name} took {told['readings']} of {readings} readings")
                rates[name].append(readings / told["seconds"])
                print(f"round {number + 1}/{rounds} {name:8} {rates[name][-1]:12,.0f} readings/s", file=sys.stderr, flush=True)
    ours = statistics.median(rates["two"])
    rows = [[LABELS[name], *spread(found), f"{statistics.median(found) / ours:.2f}"] for name, found in rates.items()]
    return Table(
        f"Replay: {readings:,} readings of {sensors:,} sensors from a bag ({size / readings:.0f} bytes of Parquet each)",
        ["what", "readings/s, median", "min", "max", "÷ two rules"],
        rows,
        [
            f"{rounds} rounds, everybody once in each, on one core. Every reading passed the gate; scans found their sum.",
            *([] if python else ["DuckDB: not measured: it is among the peers (--peers)."]),
            f"Goal: ≥ {GOAL_RATE:,} readings/s with two rules: {'met' if ours >= GOAL_RATE else 'MISSED'}.",
        ],
        {"rates": rates, "readings": readings},
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=4_000_000, help=f"a multiple of {BATCH} (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    peers.option(parser)
    output_options(parser)
    given = parser.parse_args(words)
    if given.readings % BATCH:
        parser.error(f"--readings must be a multiple of {BATCH}")
    facts = machine.facts()
    core, _ = machine.split(machine.cores())
    if given.peers:
        facts["duckdb"] = peers.versions(given.peers)["duckdb"]

    def work() -> None:
        table = measure(core, readings=given.readings, rounds=given.rounds, python=given.peers)
        facts["load after (1, 5, 15 min)"] = machine.load()
        deliver(given, facts, [table], COMMAND)

    return answer("replay_speed", work)


if __name__ == "__main__":
    sys.exit(main())

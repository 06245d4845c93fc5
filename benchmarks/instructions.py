"""Instructions a reading takes, counted by valgrind's callgrind: the figure that does not depend on the machine's mood.

    python -m benchmarks.instructions [--readings 20000] [--only hand_loop|two|four|five] [--write docs/performance.md]

Each work (:mod:`benchmarks.instruction_work`) runs twice, with N and with 2N readings behind the same warm-up; the difference,
divided by N, is what a reading takes. Needs valgrind (Debian's package of that name). Valgrind knows no AVX-512, so compiled
loops are compiled for the plain processor of the architecture (``NUMBA_CPU_NAME=generic``), and numpy takes its older paths.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import machine
from benchmarks.instruction_work import BATCH, SENSORS
from benchmarks.tables import Table, answer, deliver, output_options
from streams.errors import Mend

ROOT = Path(__file__).parents[1]
COMMAND = "python -m benchmarks.instructions"
LABELS = {
    "hand_loop": "the job by hand: msgspec, threshold, robust z, silence and stuck in numpy",
    "two": "detect stage: threshold, robust z",
    "four": "detect stage: threshold, robust z, silence, stuck",
    "five": "detect stage: the four and the default detector",
}
#: The same code for whoever counts: what is compiled does not depend on the processor, nor on the order of a set.
ENVIRONMENT = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "PYTHONHASHSEED": "0"}


def missing() -> str | None:
    """What is missing for counting; None where nothing is."""
    return next(
        (f"{tool} is not on the PATH" for tool in ("valgrind", "callgrind_control") if shutil.which(tool) is None), None
    )


def count(name: str, readings: int) -> int:
    """Instructions of one run behind its warm-up. Raises RuntimeError where it fails or did not process every reading."""
    work = [sys.executable, "-m", "benchmarks.instruction_work", name, str(readings), "--counted"]
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null", *work]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=3_600)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or collected is None or run.stdout.strip() != str(readings):
        raise RuntimeError(f"{name} printed {run.stdout!r} and ended with {run.returncode}: {run.stderr[-2000:]}")
    return int(collected[1])


def a_reading(name: str, readings: int) -> float:
    """Instructions of one reading."""
    # Compiled and cached before: the compiler under valgrind would take minutes.
    plain = [sys.executable, "-m", "benchmarks.instruction_work", name, str(BATCH)]
    subprocess.run(plain, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, check=True, timeout=600)
    return (count(name, 2 * readings) - count(name, readings)) / readings


def measure(names: list[str], readings: int) -> Table:
    found: dict[str, float] = {}
    for name in names:
        found[name] = a_reading(name, readings)
        print(f"{name}: {found[name]:,.0f} instructions a reading", file=sys.stderr, flush=True)
    by_hand = found.get("hand_loop")
    rows = [
        [LABELS[name], f"{number:,.0f}", "–" if by_hand is None else f"{number / by_hand:.2f}"]
        for name, number in found.items()
    ]
    return Table(
        "Instructions of a reading",
        ["inside of", "instructions", "× by hand"],
        rows,
        [
            f"Difference of two runs with {readings:,} and {2 * readings:,} readings in memory, batches of {BATCH:,}, "
            f"{SENSORS:,} sensors; valgrind's callgrind, without AVX-512. No broker: what a client library takes comes on top "
            "for both."
        ],
        {"instructions": found, "readings": readings},
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=20_000, help="N, a multiple of a thousand (%(default)s)")
    parser.add_argument("--only", choices=LABELS, action="append", help="count only this (may be given several times)")
    output_options(parser)
    given = parser.parse_args(words)
    if given.readings < BATCH or given.readings % BATCH:
        parser.error(f"--readings must be a multiple of {BATCH}")

    def work() -> None:
        lacking = missing()
        if lacking:
            raise Mend(lacking, where="valgrind", mend="install the package valgrind (apt-get install valgrind)")
        table, facts = measure(given.only or list(LABELS), given.readings), machine.facts()
        deliver(given, facts, [table], COMMAND)

    return answer("instructions", work)


if __name__ == "__main__":
    sys.exit(main())

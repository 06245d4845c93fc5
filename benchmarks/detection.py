"""Detectors on public scoreboards: the Numenta Anomaly Benchmark and SKAB, beside river's models and an EWMA z-score.

    python -m benchmarks.detection [--nab DIR] [--skab DIR] [--out DIR] [--only nab|skab]

Reads each benchmark from its directory (default ../shared/data/nab and ../shared/data/skab beside the repository), writes
result files in its layout and prints its table. The data is not part of the project; what is missing is left out, and it
says so.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
BENCHMARKS = ("nab", "skab")


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in BENCHMARKS:
        parser.add_argument(f"--{name}", type=Path, default=_DATA / name, metavar="DIR", help=f"directory of {name.upper()}")
    parser.add_argument("--out", type=Path, default=Path("detection-results"), metavar="DIR", help="result files (%(default)s)")
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="only this one (may be given twice)")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    given = parse(words)
    ran = 0
    for name in given.only or BENCHMARKS:
        data, module = getattr(given, name), f"benchmarks.detection_{name}"
        if not data.is_dir():
            print(f"{name}: no directory {data}; give it by --{name} DIR", file=sys.stderr)
        else:
            importlib.import_module(module).run(data, given.out / name)
            print(flush=True)
            ran += 1
    return 0 if ran else 2


if __name__ == "__main__":
    sys.exit(main())

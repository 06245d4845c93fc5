"""``citywatch score``: a table of readings in, the same table with its scores out. The only edge of this room."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import sys
import tomllib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from streams.errors import Mend

_EXAMPLE = """examples:
  citywatch score pressure.csv > scored.csv
  citywatch score pump.csv --value flow --value pressure --value current --train-rows 400
  tail -f meter.csv | citywatch score - --time at --value litres"""

#: Rows of a file that are scored together.
_AT_ONCE = 1_000


def add_parser(subparsers: Any) -> None:
    """Adds ``score FILE.csv``."""
    parser = subparsers.add_parser(
        "score",
        help="score a table of readings row by row as it would arrive",
        description="One pass over one series, row by row as it would arrive: no row's score depends on a later row. Adds "
        "anomaly_score (0 to 1) and flag (0 or 1) to every row; CSV on standard output, "
        "what could not be read on standard error.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE.csv", help="a table with a time and a number (, or ;); - reads standard input")
    parser.add_argument("--detector", metavar="D", help="a registered detector that gives a score (default: that of the house)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the detector, as in a rule (TOML value)",
    )
    parser.add_argument(
        "--time", action="append", default=[], metavar="COL", help="time column by name or place; twice: date and time of day"
    )
    parser.add_argument(
        "--value", action="append", default=[], metavar="COL", help="value column by name or place; several are one group"
    )
    parser.add_argument("--train-rows", type=int, default=0, metavar="N", help="the first N rows are known to be good")
    parser.add_argument("--month-first", action="store_true", help="read 05/13/2024 (dates with / are day first otherwise)")
    parser.set_defaults(run=score)


def score(options: argparse.Namespace) -> int:
    from detectors.group_scoring import scorer_of
    from detectors.score_table import ScoredTable, TableOptions
    from detectors.scoring import Scorer

    if options.train_rows < 0:
        raise Mend(f"{options.train_rows} is no number of rows", "--train-rows", "give 0 or more")
    settings = _settings(options.set)

    def make(columns: Sequence[str]) -> Scorer:
        return scorer_of(columns, options.detector, settings)

    live = options.file == "-"
    table = ScoredTable(
        TableOptions(
            "standard input" if live else options.file,
            options.time,
            options.value,
            options.train_rows,
            options.month_first,
            # A pipe that has a name is live too.
            at_once=_AT_ONCE if Path(options.file).is_file() else 1,
        ),
        make,
    )
    out = sys.stdout
    if hasattr(out, "reconfigure"):
        # Bytes that are no UTF-8 leave as they came.
        out.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    with contextlib.closing(_lines(options.file)) as lines:
        try:
            for line in table.lines(lines):
                out.write(line)
                if live:
                    out.flush()
        finally:
            out.flush()
            _say(table.report)
    return 0


def _lines(name: str) -> Generator[str]:
    """Lines as they come: none waits for the next, so that ``tail -f`` can be scored."""
    with _opened(name) as source:
        first = True
        while line := source.readline():
            yield line.decode("utf-8-sig" if first else "utf-8", errors="surrogateescape")
            first = False


@contextlib.contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    path = Path(name)
    try:
        with path.open("rb") as source:
            if path.suffix == ".gz":
                with gzip.open(source) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield source
    except FileNotFoundError:
        raise Mend("is not there", name, "name a CSV file, or - for standard input") from None
    except (OSError, EOFError) as error:
        raise Mend(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", name, "name a CSV file, or - for standard input"
        ) from None


def _settings(words: Sequence[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for word in words:
        name, mark, text = word.partition("=")
        if not mark or not name.strip().isidentifier():
            raise Mend(f"{word!r} sets nothing", "--set", "write NAME=VALUE, for example --set warmup=200")
        try:
            settings[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            # A word without quotes is meant as text: the shell has eaten them.
            settings[name.strip()] = text
    return settings


def _say(report: Any) -> None:
    for note in report.notes:
        print(f"citywatch score: {note}", file=sys.stderr)
    if report.unread:
        reasons = "; ".join(
            f"{count:,} with {reason} (first: line {report.first[reason]:,})" for reason, count in report.unread.most_common()
        )
        unread = sum(report.unread.values())
        print(f"citywatch score: {unread:,} of {report.rows:,} rows could not be read: {reasons}", file=sys.stderr)

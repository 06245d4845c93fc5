"""Tables for a terminal that are Markdown too, and how they get into a page between two markers."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from streams.errors import Mend

COMMAND = "python -m benchmarks"


def markers(command: str = COMMAND) -> tuple[str, str]:
    """The lines between which a command writes into a page; each command has a place of its own."""
    return f"<!-- begin: written by `{command} --write` -->", f"<!-- end: written by `{command} --write` -->"


@dataclass
class Table:
    """``rows`` hold text as it is printed, ``figures`` the numbers behind it; ``notes`` stand below.

    ``pictures``: name of a file → what draws it as PNG, for pages.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Callable[[], bytes]] = field(default_factory=dict)

    def markdown(self) -> str:
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]

        def line(cells: Sequence[str]) -> str:
            shown = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            return f"| {' | '.join(shown)} |"

        rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
        text = [f"### {self.title}", "", line(self.columns), line(rule), *map(line, self.rows)]
        return "\n".join([*text, *(["", *(f"- {note}" for note in self.notes)] if self.notes else [])]) + "\n"

    def as_json(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "pictures"}


def spread(values: Sequence[float]) -> list[str]:
    """Median, minimum and maximum as cells."""
    return [f"{value:,.0f}" for value in (statistics.median(values), min(values), max(values))]


def page(facts: dict[str, str], tables: Sequence[Table], shown: str | None = None) -> str:
    """Everything a run has to say, as Markdown; with the pictures of each table where a folder has them."""
    parts = ["\n".join(f"- {label}: {value}" for label, value in facts.items()), ""]
    for table in tables:
        parts.append(table.markdown())
        parts += [f"![{table.title}]({shown}/{name}.png)\n" for name in table.pictures if shown]
    return "\n".join(parts)


def write_between(path: Path, text: str, command: str = COMMAND) -> None:
    """Replace what stands between the command's markers in the page. Raises Mend where it has none."""
    start, stop = markers(command)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    head, begin, rest = old.partition(start)
    _, end, tail = rest.partition(stop)
    if not begin or not end:
        raise Mend("has no place for the tables", where=str(path), mend=f"put the lines {start} and {stop} into it")
    path.write_text(f"{head}{start}\n\n{text.strip()}\n\n{stop}{tail}", encoding="utf-8")


def tell(line: str) -> None:
    """How far a command is, beside what it prints at its end."""
    print(line, file=sys.stderr, flush=True)


def output_options(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--write``, the same for every command that ends with :func:`deliver`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure, as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables between the markers of this page")


def answer(name: str, work: Callable[[], None]) -> int:
    """The exit code of a command: 2, and one line that says what to mend, where its work cannot be done."""
    try:
        work()
    except Mend as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return 2
    return 0


def deliver(given: argparse.Namespace, facts: dict[str, str], tables: Sequence[Table], command: str = COMMAND) -> None:
    """Print what was measured, and put it where the options say; pictures go into plots/ beside the page.

    Raises Mend where the page has no place for it.
    """
    print(page(facts, tables), flush=True)
    if given.json:
        told = {"facts": facts, "tables": [table.as_json() for table in tables]}
        given.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if given.write:
        write_between(given.write, page(facts, tables, "plots"), command)
        for table in tables:
            for name, draw in table.pictures.items():
                picture = given.write.parent / "plots" / f"{name}.png"
                picture.parent.mkdir(exist_ok=True)
                picture.write_bytes(draw())

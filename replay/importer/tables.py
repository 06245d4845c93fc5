"""Tables as rows: csv, blank-separated columns, lines by pattern, JSON lines, xlsx.

A row is a dict of column name to text (numbers stay numbers in xlsx and JSON), or a :class:`Bad` with the reason why the line
is none. Columns are stripped of blanks; the header's empty names at the end (a trailing delimiter) do not count.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from replay.importer import gpx
from replay.importer.mapping import SourceSpec
from replay.importer.members import Member, seekable
from streams.errors import Mend

Row = dict[str, Any]
#: A column no file can have: the row is counted as skipped for this reason unless a ``[[skip]]`` names a better one.
REASON = "\0reason"


@dataclass(slots=True, frozen=True)
class Bad:
    """A line that is no row: short_row, long_row, unreadable, no_match, not_json."""

    reason: str


def rows(member: Member, spec: SourceSpec) -> Iterator[Row | Bad]:
    """The rows of one file in its order."""
    if spec.format == "gpx":
        yield from gpx.rows(member)
    elif spec.format == "xlsx":
        yield from _sheet(member, spec)
    elif spec.format == "jsonl":
        yield from _json(member)
    else:
        text = io.TextIOWrapper(member.stream, encoding=spec.encoding, errors="replace", newline="")
        try:
            lines = islice(text, spec.skip_lines, None)
            if spec.format == "text":
                yield from _matched(lines, re.compile(spec.pattern or ""))
            elif spec.format == "columns":
                yield from _named((line.split() for line in lines), spec, member.name)
            else:
                yield from _named(_csv(lines, spec.delimiter), spec, member.name)
        finally:
            text.detach()


def _csv(lines: Iterable[str], delimiter: str) -> Iterator[list[str] | Bad]:
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Bad("unreadable")


def _named(cells: Iterator[list[str]] | Iterator[list[str] | Bad], spec: SourceSpec, where: str) -> Iterator[Row | Bad]:
    header = [name.strip() for name in spec.columns]
    if not header:
        first = next(cells, None)
        if first is None:
            return
        if isinstance(first, Bad):
            raise Mend("has a header that cannot be read", where, "check source.delimiter and source.skip_lines")
        header = [name.strip() for name in first]
    while header and not header[-1]:
        header.pop()
    width = len(header)
    for row in cells:
        if isinstance(row, Bad):
            yield row
        elif not row:
            continue
        elif len(row) < width:
            yield Bad("short_row")
        elif len(row) > width and any(cell.strip() for cell in row[width:]):
            yield Bad("long_row")
        else:
            yield dict(zip(header, map(str.strip, row), strict=False))


def _matched(lines: Iterable[str], pattern: re.Pattern[str]) -> Iterator[Row | Bad]:
    """Lines by pattern; the whole line stands in the column ``line``, also of lines that do not match (for ``[[skip]]``)."""
    for line in lines:
        text = line.rstrip("\r\n")
        if text.strip():
            match = pattern.search(text)
            yield {"line": text, **(match.groupdict() if match else {REASON: "no_match"})}


def _json(member: Member) -> Iterator[Row | Bad]:
    decoder = msgspec.json.Decoder()
    for line in member.stream:
        if not line.strip():
            continue
        try:
            tree = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            yield Bad("not_json")
            continue
        yield _flat(tree) if isinstance(tree, dict) else Bad("not_json")


def _flat(tree: dict[str, Any], prefix: str = "") -> Row:
    """Nested objects by dotted names: ``{"geo": {"lat": 1}}`` has the column ``geo.lat``."""
    row: Row = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            row.update(_flat(value, f"{prefix}{name}."))
        else:
            row[prefix + name] = value
    return row


def _sheet(member: Member, spec: SourceSpec) -> Iterator[Row | Bad]:
    import openpyxl

    with seekable(member.stream) as file:
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
            raise Mend(f"is not an xlsx workbook ({error})", member.name, "export it again") from error
        if spec.sheet is not None and spec.sheet not in book.sheetnames:
            raise Mend(f"has no sheet {spec.sheet!r}", member.name, f"use one of: {', '.join(book.sheetnames)}")
        sheet = book[spec.sheet] if spec.sheet is not None else book.worksheets[0]
        cells = islice(sheet.iter_rows(values_only=True), spec.skip_lines, None)
        header = spec.columns or [str(name if name is not None else "").strip() for name in next(cells, ())]
        while header and not header[-1]:
            header.pop()
        for row in cells:
            if any(cell is not None for cell in row):
                yield dict(zip(header, ("" if cell is None else cell for cell in row), strict=False))
        book.close()

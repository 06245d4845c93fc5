"""A table of readings with its scores: lines in, lines out, one for one, as soon as each can be said.

Every row keeps its cells and gets ``anomaly_score`` (0 to 1) and ``flag`` (0 or 1); several value columns are one group and get
``carriers`` (which columns deviate, the strongest first, joined by ``|``) and ``changepoint``. A row that cannot be read keeps
its place with these left empty, and is counted with the reason. Nothing here opens a file or waits: lines are an iterator.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from detectors import score_columns
from detectors.scoring import Scorer
from streams.errors import Mend
from streams.time_text import TimeText

#: Rows looked at for the columns nobody named; what has not shown a number by then is no table of readings.
_LOOK = 200
_SINGLE, _GROUP = ("anomaly_score", "flag"), ("anomaly_score", "flag", "carriers", "changepoint")

#: Cells as they leave, and time and values where they could be read.
_Row = tuple[list[str], tuple[int, list[float]] | None]


@dataclass(slots=True, frozen=True)
class TableOptions:
    """``time`` and ``value``: columns by name or place, found where empty. ``train_rows``: first rows known to be good.

    ``at_once``: rows scored together, which is quicker and gives the same; 1 where each is to be said as it comes.
    """

    where: str
    time: Sequence[str] = ()
    value: Sequence[str] = ()
    train_rows: int = 0
    month_first: bool = False
    at_once: int = 1


@dataclass(slots=True)
class Report:
    """What a person is told when the table is done."""

    rows: int = 0
    scored: int = 0
    flagged: int = 0
    #: Rows that could not be read by reason, and the line of the first of each.
    unread: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def refuse(self, reason: str, line: int) -> None:
        self.unread[reason] += 1
        self.first.setdefault(reason, line)


class ScoredTable:
    """One pass over one table. ``scorer`` makes the scorer of the named value columns, once they are known."""

    def __init__(self, options: TableOptions, scorer: Callable[[Sequence[str]], Scorer]) -> None:
        self._options, self._make = options, scorer
        self.report = Report()
        self._times = TimeText(options.month_first)
        self._names: list[str] = []
        self._delimiter = ","
        self._line = 0

    def lines(self, source: Iterable[str]) -> Iterator[str]:
        """The table with its scores, line by line. Raises :class:`Mend` where there is no table to score."""
        rows = self._rows(source)
        columns, waiting = self._find(rows)
        scorer = self._make([self._names[i] for i in columns.values])
        added = _GROUP if len(columns.values) > 1 else _SINGLE
        yield self._written([*self._names, *self._free(added)])
        for some in self._together(columns, chain(waiting, rows)):
            yield from self._scored(scorer, some, len(added))
        if scorer.disordered:
            self.report.notes.append(
                f"{scorer.disordered:,} rows were older than one before them and were judged at the newest time seen"
            )
        if not self.report.scored:
            reasons = ", ".join(f"{reason} (line {self.report.first[reason]})" for reason in self.report.unread)
            raise Mend(f"no row could be read: {reasons}", self._options.where, "check --time and --value")

    # --- reading ------------------------------------------------------------------------------------------------------------

    def _rows(self, source: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Rows with their line numbers after the header, which is taken to :attr:`_names`; blank lines are none."""
        lines = iter(source)
        first = next((text for text in self._numbered(lines) if text), None)
        if first is None:
            raise Mend("is empty", self._options.where, "give a table with a time and a number")
        if "\0" in first:
            raise Mend("is no UTF-8 text", f"{self._options.where}: line {self._line}", "save it as CSV in UTF-8")
        self._delimiter = score_columns.delimiter_of(first)
        head = score_columns.cells(first, self._delimiter)
        if score_columns.is_header(head, self._decimal_comma):
            self._names = head
        else:
            self._names = [f"column{i + 1}" for i in range(len(head))]
            yield self._line, head
        for text in self._numbered(lines):
            if text:
                yield self._line, score_columns.cells(text, self._delimiter)

    def _numbered(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._line += 1
            # A carriage return inside a line would break the row for whoever reads the answer.
            text = line.rstrip("\r\n").replace("\r", " ")
            yield text if text.strip() else ""

    @property
    def _decimal_comma(self) -> bool:
        return self._delimiter != ","

    def _find(self, rows: Iterator[tuple[int, list[str]]]) -> tuple[score_columns.Columns, list[tuple[int, list[str]]]]:
        """The columns, and the rows that had to be looked at first: one, unless the first ones hold nothing."""
        options, waiting = self._options, []
        time = values = None
        for line, row in rows:
            waiting.append((line, row))
            if len(waiting) == 1:
                header = f"{options.where}: line 1"
                time = score_columns.named(self._names, options.time, "--time", header) or None
                values = score_columns.named(self._names, options.value, "--value", header) or None
                if values and len(set(values)) < len(values):
                    raise Mend("the same column twice", "--value", "name each column of the group once")
            if time and values:
                return score_columns.Columns(time, values), waiting
            columns = score_columns.found(self._names, row, time, values, self._decimal_comma)
            if columns is not None:
                if columns.candidates > 1:
                    self.report.notes.append(
                        f"values are those of {self._names[columns.values[0]]!r}; {columns.candidates} columns hold numbers, "
                        "--value names another, or several as one group"
                    )
                return columns, waiting
            if len(waiting) >= _LOOK:
                break
        if not waiting:
            raise Mend("has no rows", options.where, "give a table with a time and a number")
        named = ", ".join(self._names[:8]) + (" …" if len(self._names) > 8 else "")
        if time is None and not any(score_columns.shows_time(self._names, row) for _, row in waiting):
            raise Mend(
                f"no column of {named} holds a time",
                options.where,
                "name it with --time; read are epoch s and ms, ISO 8601 (2024-05-01 08:00), 01/05/2024 08:00 (day first)",
            )
        raise Mend(f"no column of {named} holds a number beside the time", options.where, "name it with --value")

    # --- scoring ------------------------------------------------------------------------------------------------------------

    def _together(self, columns: score_columns.Columns, rows: Iterable[tuple[int, list[str]]]) -> Iterator[list[_Row]]:
        """Rows as they are scored together: all of them known to be good, or none."""
        some: list[_Row] = []
        try:
            for line, row in rows:
                some.append(self._taken(columns, line, row))
                if len(some) >= self._options.at_once or self.report.rows == self._options.train_rows:
                    yield some
                    some = []
        except Mend:
            # What stands before the mistake is told all the same.
            yield some
            raise
        yield some

    def _taken(self, columns: score_columns.Columns, line: int, row: list[str]) -> _Row:
        width = len(self._names)
        self.report.rows += 1
        read = self._read(columns, line, row)
        kept = [*row[:width], *[""] * (width - len(row))]
        if isinstance(read, str):
            self.report.refuse(read, line)
            return kept, None
        return kept, read

    def _scored(self, scorer: Scorer, some: list[_Row], added: int) -> Iterator[str]:
        report = self.report
        readings = [read for _, read in some if read is not None]
        verdicts = iter(scorer.run(readings, known_good=report.rows <= self._options.train_rows))
        for kept, read in some:
            if read is None:
                yield self._written([*kept, *[""] * added])
                continue
            verdict = next(verdicts)
            report.scored += 1
            report.flagged += verdict.flag
            told = [f"{verdict.score:.6g}", str(int(verdict.flag))]
            if added > len(_SINGLE):
                told += ["|".join(verdict.carriers), str(int(verdict.change))]
            yield self._written([*kept, *told])

    def _read(self, columns: score_columns.Columns, line: int, row: list[str]) -> tuple[int, list[float]] | str:
        """Time and values of a row, or the reason why it has none."""
        if any(cell.strip() for cell in row[len(self._names) :]):
            return f"more than {len(self._names)} cells"
        if max(*columns.time, *columns.values) >= len(row):
            return "too few cells"
        text = columns.time_text(row)
        if not text:
            return "no time"
        try:
            ts = self._times.read(text)
        except Mend as error:
            raise Mend(error.what, f"{self._options.where}: line {line}", error.mend) from None
        if ts is None or not -(2**62) < ts < 2**62:
            return "time that cannot be read"
        numbers = [score_columns.number(row[i].strip(), self._decimal_comma) for i in columns.values]
        if all(value is None for value in numbers):
            return "value that is no number" if any(row[i].strip() for i in columns.values) else "no value"
        return ts, [float("nan") if value is None else value for value in numbers]

    # --- writing ------------------------------------------------------------------------------------------------------------

    def _free(self, added: Sequence[str]) -> list[str]:
        """Names of the new columns; a table that has one of the name already keeps it, and the new one is called ``_2``."""
        names = []
        for name in added:
            free = name
            while free in self._names:
                stem, _, count = free.rpartition("_")
                free = f"{stem}_{int(count) + 1}" if count.isdecimal() else f"{free}_2"
            names.append(free)
            if free != name:
                self.report.notes.append(f"the table has a column {name!r} already; the new one is {free!r}")
        return names

    def _written(self, row: Sequence[str]) -> str:
        out = io.StringIO()
        csv.writer(out, delimiter=self._delimiter, lineterminator="\n").writerow(row)
        return out.getvalue()

"""Which columns of a table hold the time and the values: named by whoever asks, or found by what they hold.

The delimiter is the one of ``;``, tab and ``,`` that cuts the header into most cells. A first line whose cells hold a time
and a number is no header; its columns are then called column1, column2, … A column may be named by its place (1 is the first).

Time: a column called like one (time, timestamp, datetime, date, ts …) that reads as one, else the first that reads as a date,
else the first that holds a plausible epoch; or columns called year, month, day, hour … .
A column of dates followed by one of times of day is read with it.
Value: a column called like one (value, reading, y …), else the first after the time that holds a number and is not called
like a label, a place or a row number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from detectors.toml_form import nearest
from streams.errors import Mend
from streams.time_text import TimeText

TIME_NAMES = ("timestamp", "datetime", "time", "date", "date_time", "ts", "ds", "t", "zeit", "datum", "epoch", "utc")
VALUE_NAMES = ("value", "values", "reading", "measurement", "y", "v", "val")
#: Called like these, a number is no measured quantity.
_ASIDE = re.compile(
    r"(^|[_ ])(id|idx|index|row|no|nr|seq|anomaly|is_anomaly|label|labels|class|outlier|change_?points?|flag|score|lat|lon|"
    r"latitude|longitude|year|month|day|hour|minute|second|weekday)$|^$|^unnamed"
)
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}(\.\d+)?)?")
#: 2000 to 2100: a plain number in a column not called like a time is an epoch only within these.
_PLAUSIBLE_MS = (946_684_800_000, 4_102_444_800_000)


@dataclass(slots=True, frozen=True)
class Columns:
    """Places in a row: ``time`` (joined by a blank where several) and ``values``."""

    time: tuple[int, ...]
    values: tuple[int, ...]
    #: The time stands in columns of its own for year, month, day …
    parts: bool = False
    #: How many columns could have been the value, where none was named.
    candidates: int = 1

    def time_text(self, row: Sequence[str]) -> str:
        """The time as one text.

        >>> Columns((0, 1, 2, 3), (4,), parts=True).time_text(["2013", "3", "1", "7", "12.5"])
        '2013-03-01 07:00:00'
        """
        parts = [row[i].strip() for i in self.time]
        if not self.parts or not all(parts):
            return " ".join(parts).strip()
        date, clock = [part.zfill(2) for part in parts[:3]], [part.zfill(2) for part in parts[3:]]
        return "-".join(date) + " " + ":".join([*clock, "00", "00", "00"][:3])


def delimiter_of(header: str) -> str:
    """
    >>> delimiter_of("a;b;c"), delimiter_of("time,value"), delimiter_of("alone")
    (';', ',', ',')
    """
    counts = {mark: len(cells(header, mark)) for mark in (",", ";", "\t")}
    return max(counts, key=lambda mark: counts[mark])


def cells(line: str, delimiter: str) -> list[str]:
    """A line is a row: a quoted cell does not go on in the next line, so one stray quote costs one row and not the rest."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return [line]


def number(text: str, decimal_comma: bool) -> float | None:
    """The finite number a cell holds, else None.

    >>> number("2,5", True), number("2,5", False), number("1e3", False), number("nan", False)
    (2.5, None, 1000.0, None)
    """
    if decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= 1.7976931348623157e308 and "_" not in text else None


def is_header(first: Sequence[str], decimal_comma: bool) -> bool:
    """Whether the first line names columns instead of filling them."""
    times = any(_reads_as_time(cell) for cell in first)
    return not (times and any(number(cell, decimal_comma) is not None for cell in first))


def named(names: Sequence[str], wanted: Sequence[str], option: str, where: str) -> tuple[int, ...]:
    """The places of the columns that were asked for. Raises :class:`Mend` where there is none of the name."""
    places = []
    for name in wanted:
        if name in names:
            places.append(list(names).index(name))
        elif name.strip() in [known.strip() for known in names]:
            places.append([known.strip() for known in names].index(name.strip()))
        elif name.isdecimal() and 1 <= int(name) <= len(names):
            places.append(int(name) - 1)
        else:
            raise Mend(f"no column {name!r}", where, f"{option}: {nearest(name, names, 'its columns are')}")
    return tuple(places)


def found(
    names: Sequence[str], row: Sequence[str], time: tuple[int, ...] | None, values: tuple[int, ...] | None, decimal_comma: bool
) -> Columns | None:
    """The columns by what one row holds, those already named kept; None where this row does not show them."""
    plain = [name.strip().lower() for name in names]
    parts = time is None and (split := _parts(plain, row)) is not None
    if time is None:
        time = split if parts else _time(plain, row)
        if time is None:
            return None
    if values is not None:
        return Columns(time, values, parts)
    numbers = [
        i for i in range(len(row)) if i not in time and i < len(plain) and number(row[i].strip(), decimal_comma) is not None
    ]
    # By its name even where this row's cell is empty: another column must not be taken for it.
    called = [i for i in range(len(plain)) if i not in time and plain[i] in VALUE_NAMES]
    quantities = [i for i in numbers if not _ASIDE.search(plain[i])]
    after = [i for i in quantities if i > max(time)]
    best = called or after or quantities
    return Columns(time, (best[0],), parts, 1 if called else len(quantities)) if best else None


def shows_time(names: Sequence[str], row: Sequence[str]) -> bool:
    plain = [name.strip().lower() for name in names]
    return _parts(plain, row) is not None or _time(plain, row) is not None


def _parts(plain: Sequence[str], row: Sequence[str]) -> tuple[int, ...] | None:
    """Columns called year, month and day, and hour, minute and second as far as there are."""
    if not {"year", "month", "day"} <= set(plain):
        return None
    places = [plain.index(name) for name in ("year", "month", "day")]
    for name in ("hour", "minute", "second"):
        if name not in plain:
            break
        places.append(plain.index(name))
    whole = all(i < len(row) and row[i].strip().isdecimal() for i in places)
    return tuple(places) if whole else None


def _time(plain: Sequence[str], row: Sequence[str]) -> tuple[int, ...] | None:
    width = min(len(plain), len(row))
    reads = [i for i in range(width) if _reads_as_time(row[i])]
    by_name = sorted((i for i in reads if plain[i] in TIME_NAMES), key=lambda i: TIME_NAMES.index(plain[i]))
    dates = [i for i in reads if not _plain_number(row[i])]
    epochs = [i for i in reads if _plain_number(row[i]) and _plausible(row[i])]
    best = [*(i for i in by_name if i in dates or i in epochs), *dates, *epochs, *by_name]
    if not best:
        return None
    at = best[0]
    # "10/03/2004";"18.00.00": the date without the time of day would be one instant for a whole day.
    if at in dates and at + 1 < width and ":" not in row[at] and _CLOCK.fullmatch(row[at + 1].strip()):
        name = plain[at + 1]
        if ":" in row[at + 1] or "time" in name or "hour" in name:
            return at, at + 1
    return (at,)


def _reads_as_time(cell: str) -> bool:
    try:
        return TimeText().read(cell) is not None
    except Mend:
        # Month first: a time all the same.
        return True


def _plain_number(cell: str) -> bool:
    return number(cell.strip(), False) is not None


def _plausible(cell: str) -> bool:
    ms = TimeText().read(cell)
    return ms is not None and _PLAUSIBLE_MS[0] <= ms < _PLAUSIBLE_MS[1]

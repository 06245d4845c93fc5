"""Times as they stand in other people's tables, read by one clear rule: epoch numbers, ISO 8601, and dates in figures.

* A number is an epoch in seconds, milliseconds, microseconds or nanoseconds; its size tells which (the bounds lie where one
  unit would be before 1973 and the next beyond the year 5000). Fourteen figures that make a date are ``YYYYMMDDhhmmss``.
* ``2024-05-01T08:00:00.25+08:00``, ``2024-05-01 08:00`` and ``2024/5/1 8:00`` have the year first and no doubt.
* ``01/05/2024`` has the day first, as most of the world writes it, unless the reader is told ``month_first``. A date that can
  only be month first (``05/13/2024``) before any that can only be day first ends the reading with the mend, because all rows
  before it may have been read wrongly; after one it is a mistake of that row alone.
* A time without an offset is UTC: what counts is the order and the rhythm of a series, not the zone of its writer.

Two-digit years and names of months are not read: nobody could say what they mean everywhere.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from streams.errors import Mend

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
#: Upper bounds of epochs in s, ms, us, and what to divide by to have milliseconds.
_UNITS = ((1e11, 1e-3), (1e14, 1.0), (1e17, 1e3), (1e20, 1e6))
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_COMPACT = re.compile(r"(?:19|20)\d{12}")
_FIGURES = re.compile(
    r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})"
    r"(?:[T ,]\s*(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp][Mm])?)?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)


class TimeText:
    """Reads the times of one column, in their order.

    >>> clock = TimeText()
    >>> [clock.read(text) for text in ("1700000000", "1700000000000", "2023-11-14 22:13:20", "14/11/2023 22:13:20")]
    [1700000000000, 1700000000000, 1700000000000, 1700000000000]
    >>> clock.read("yesterday") is None
    True
    """

    def __init__(self, month_first: bool = False) -> None:
        self._month_first = month_first
        #: A date was read that can only be day first.
        self._settled = False

    def read(self, text: str) -> int | None:
        """Epoch milliseconds, None where the text is no time. Raises :class:`Mend` where dates prove to be month first."""
        text = text.strip()
        if not text:
            return None
        try:
            # Nearly all files; a date without a sign between its figures would be taken for a number of seconds.
            if (text[4:5] == "-" and text[0].isdigit()) or text[8:9] == "T":
                return _ms(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            pass  # another format may fit; where none does the text is no time, and the caller says so
        try:
            if _COMPACT.fullmatch(text):
                return _ms(datetime.strptime(text, "%Y%m%d%H%M%S"))
        except ValueError:
            pass  # as many figures, but no date: it may be a number since 1970
        if _NUMBER.fullmatch(text):
            return _epoch(text)
        return self._figures(text)

    def _figures(self, text: str) -> int | None:
        found = _FIGURES.fullmatch(text)
        if found is None:
            return None
        first, sign, second, third, hour, minute, seconds, fraction, half, offset = found.groups()
        if len(first) == 4 and len(third) <= 2:
            year, month, day = int(first), int(second), int(third)
        elif len(first) <= 2 and len(third) == 4:
            year, month, day = int(third), int(second), int(first)
            if sign == "/":
                month, day = self._order(int(first), int(second), text)
        else:
            return None
        hours = int(hour or 0)
        if half:
            if not 1 <= hours <= 12:
                return None
            hours = hours % 12 + (12 if half.lower() == "pm" else 0)
        micros = int((fraction or "0").ljust(6, "0")[:6])
        try:
            moment = datetime(year, month, day, hours, int(minute or 0), int(seconds or 0), micros, _zone(offset))
            return _ms(moment)
        except (ValueError, OverflowError):
            return None

    def _order(self, first: int, second: int, text: str) -> tuple[int, int]:
        """``(month, day)`` of a date with strokes."""
        if self._month_first:
            return first, second
        if first <= 12 < second and not self._settled:
            raise Mend(
                f"{text!r} has no month {second}, dates here are read day first",
                mend="name the other order with --month-first, or write years first (2024-05-13)",
            )
        self._settled = self._settled or first > 12 >= second
        return second, first


def _zone(offset: str | None) -> timezone:
    if offset is None or offset == "Z":
        return UTC
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:])))


def _ms(moment: datetime) -> int:
    # Integer arithmetic: a float of seconds loses the last millisecond of some times.
    return ((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS


def _epoch(text: str) -> int | None:
    # Whole numbers stay whole: nanoseconds have more figures than a float.
    number: float | int = int(text) if text.lstrip("+-").isdigit() else float(text)
    for bound, per_ms in _UNITS:
        if abs(number) < bound:
            if isinstance(number, int):
                return number * 1000 if per_ms < 1 else number // int(per_ms)
            return round(number / per_ms)
    return None

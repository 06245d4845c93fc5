"""Deadlines of a dispatch proposal, from the words of a rule and the working calendar of the city.

``2uh`` is two urgent hours (natural time runs through nights and holidays), ``1ud`` an urgent day, ``4wh`` four working hours
and ``5wd`` five working days of eight working hours each (domain B1.4: 紧急工作时, 工作时, 工作日). The calendar is data:
slots, zone, holidays, and weekend days that are worked in exchange.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

from msgspec import Struct

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_WORDS = re.compile(r"^\s*(\d{1,4}(?:\.\d{1,3})?)\s*(um|uh|ud|wh|wd|min|h|d)\s*$")
_NATURAL = {"um": MINUTE_MS, "min": MINUTE_MS, "uh": HOUR_MS, "h": HOUR_MS, "ud": DAY_MS, "d": DAY_MS}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Beyond this the calendar of Python ends (year 9999); such an arrival is garbage, and gets no deadline.
_LAST_MS = 250_000_000_000_000


class Calendar(Struct, frozen=True, forbid_unknown_fields=True):
    """When is worked: minutes of the local day, Monday to Friday (0 to 4), and the exceptions as ``YYYY-MM-DD``."""

    utc_offset_min: int = 480
    slots: tuple[tuple[int, int], ...] = ((8 * 60, 12 * 60), (14 * 60, 18 * 60))
    weekdays: frozenset[int] = frozenset({0, 1, 2, 3, 4})
    holidays: frozenset[str] = frozenset()
    worked: frozenset[str] = frozenset()

    def works(self, day: date) -> bool:
        name = day.isoformat()
        return name in self.worked or (day.weekday() in self.weekdays and name not in self.holidays)

    @property
    def minutes_a_day(self) -> int:
        return sum(stop - start for start, stop in self.slots)


def day_name(ts: int, offset_min: int = 480) -> str:
    """``YYYYMMDD`` of an instant at the given offset; ``00000000`` where the calendar has no such day.

    >>> day_name(1_700_000_000_000)
    '20231115'
    """
    if not 0 <= ts < _LAST_MS:
        return "00000000"
    return _name_of((ts + offset_min * MINUTE_MS) // DAY_MS)


@lru_cache(maxsize=64)
def _name_of(day: int) -> str:
    """Of the n-th day since the epoch: the signals of a batch fall on one day or two, and to write a date takes longest."""
    return (_EPOCH + timedelta(days=day)).strftime("%Y%m%d")


def handle_by(words: str, start: int, calendar: Calendar) -> int:
    """Epoch ms at which the handling is due that began at ``start``; 0 where the rule names no time (``plan``, ``-``).

    >>> monday_11 = 1_699_844_400_000  # 2023-11-13 11:00 +08:00
    >>> (handle_by("2uh", monday_11, Calendar()) - monday_11) // HOUR_MS
    2
    >>> (handle_by("2wh", monday_11, Calendar()) - monday_11) // HOUR_MS   # one hour before the noon break, one after
    4
    """
    said = _read(words)
    if said is None or not 0 <= start < _LAST_MS:
        return 0
    amount, unit = said
    if unit in _NATURAL:
        return start + round(amount * _NATURAL[unit])
    minutes = amount * (60 if unit == "wh" else calendar.minutes_a_day)
    return _working(start, round(minutes * MINUTE_MS), calendar)


@lru_cache(maxsize=256)
def _read(words: str) -> tuple[float, str] | None:
    """Amount and unit; a rule book has a dozen such words."""
    found = _WORDS.match(words)
    return (float(found[1]), found[2]) if found is not None else None


def _working(start: int, left: int, calendar: Calendar) -> int:
    """``start`` plus ``left`` ms of working time, walking slot by slot."""
    zone = timezone(timedelta(minutes=calendar.utc_offset_min))
    day = (_EPOCH + timedelta(milliseconds=start)).astimezone(zone).date()
    slots = sorted(calendar.slots)
    if not calendar.minutes_a_day or not (calendar.weekdays or calendar.worked):
        return 0
    first = True
    for _ in range(3 * 366):  # a calendar without work for three years is no calendar
        if calendar.works(day):
            midnight = (datetime(day.year, day.month, day.day, tzinfo=zone) - _EPOCH) // timedelta(milliseconds=1)
            skip = max(0, bisect_right([midnight + stop * MINUTE_MS for _, stop in slots], start)) if first else 0
            for begin, stop in slots[skip:]:
                opens = max(start, midnight + begin * MINUTE_MS)
                room = midnight + stop * MINUTE_MS - opens
                if left <= room:
                    return opens + left
                left -= max(room, 0)
        first = False
        day += timedelta(days=1)
    return 0

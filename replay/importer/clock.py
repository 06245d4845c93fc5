"""Times of other people's tables: many formats, local zones, hours that exist twice and hours that do not exist.

A clock is bound to one file, because "the second 02:30 of the night" is known only from the rows before it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from replay.importer.mapping import TimeSpec
from streams.errors import Mend

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The zone of an IANA name or a fixed offset.

    >>> zone("+08:00").utcoffset(None)
    datetime.timedelta(seconds=28800)
    """
    fixed = _OFFSET.fullmatch(name)
    if fixed is not None:
        sign = -1 if fixed[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(fixed[2]), minutes=int(fixed[3])))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Mend(
            f"unknown time zone {name!r}", "time.zone", "use an IANA name (Europe/Rome) or an offset (+08:00)"
        ) from error


#: A column no file can have: the row's time before ``time.plus``, from which the end of an event is counted as well.
BASE = "\0base"


class Unreadable(Exception):
    """The named reason why a row has no time."""


class Clock:
    """Reads the time of each row of one file, in the file's order."""

    def __init__(self, spec: TimeSpec, name: str) -> None:
        self._spec = spec
        self._zone = zone(spec.zone)
        self._fixed = isinstance(self._zone, timezone)
        self._before: int | None = None
        self._date = None
        if spec.agrees is not None:
            found = re.search(spec.agrees.pattern, Path(name).name)
            if found is not None:
                text = found[1] if found.re.groups else found[0]
                try:
                    self._date = datetime.strptime(text, spec.agrees.format).date()
                except ValueError as error:
                    raise Mend(f"{text!r} is no date like {spec.agrees.format!r}", name, "mend time.agrees") from error

    def at(self, row: dict[str, Any]) -> int:
        """Epoch milliseconds of the row. Raises :class:`Unreadable`: time_missing, time_unreadable, time_disagrees,
        nonexistent_time."""
        spec = self._spec
        try:
            cells = [row[column] for column in spec.columns]
        except KeyError:
            raise Unreadable("time_missing") from None
        if len(cells) == 1 and isinstance(cells[0], datetime):
            ms = self._utc(cells[0])
        else:
            text = " ".join(str(cell) for cell in cells)
            if not text.strip():
                raise Unreadable("time_missing")
            ms = self._read(text)
        if spec.plus is not None:
            row[BASE] = ms
            ms = self.after(ms, row, spec.plus.column, spec.plus.per_second)
        self._before = ms
        return ms

    @staticmethod
    def after(ms: int, row: dict[str, Any], column: str, per_second: float) -> int:
        """``ms`` and as many seconds more as the row's column counts."""
        try:
            return ms + round(float(row[column]) / per_second * 1000)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise Unreadable("time_unreadable") from None

    def _read(self, text: str) -> int:
        reason = "time_unreadable"
        for form in self._spec.formats:
            try:
                if form == "epoch_s":
                    return round(float(text) * 1000)
                if form == "epoch_ms":
                    return int(float(text))
                moment = datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)
            except (ValueError, OverflowError):
                continue
            if self._date is not None and moment.date() != self._date:
                reason = "time_disagrees"
                continue
            return self._utc(moment)
        raise Unreadable(reason)

    def _utc(self, moment: datetime) -> int:
        if moment.tzinfo is not None:
            return _ms(moment)
        first = moment.replace(tzinfo=self._zone)
        if self._fixed:
            return _ms(first)
        second = first.replace(fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        if before == after or before is None or after is None:
            return _ms(first)
        if after > before:
            # The clock was set forward over this time.
            if self._spec.gap == "skip":
                raise Unreadable("nonexistent_time")
            return _ms(first)
        if self._spec.fold == "second":
            return _ms(second)
        ms = _ms(first)
        if self._spec.fold == "order" and self._before is not None and ms <= self._before:
            return _ms(second)
        return ms


def _ms(moment: datetime) -> int:
    # Integer arithmetic: a float of seconds loses the last millisecond of some times.
    try:
        return (moment - _EPOCH) // _MS
    except OverflowError:
        raise Unreadable("time_unreadable") from None

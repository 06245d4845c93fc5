"""Times of day at which something holds: local "HH:MM" texts, perhaps across midnight (22:00–06:00)."""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.batch import Bool, Int64

#: China keeps one civil time, +08:00, without summer time.
LOCAL_OFFSET_MS = 8 * 3_600_000
DAY_MS = 86_400_000


def daily_window(start: Any, end: Any) -> tuple[int, int] | None:
    """Milliseconds of the local day of "HH:MM" texts; start = end is the whole day. Raises ValueError."""
    if start is None and end is None:
        return None

    def moment(text: Any) -> int:
        hours, _, minutes = str(text).partition(":")
        if not (0 <= int(hours) <= 24 and 0 <= int(minutes or 0) < 60):
            raise ValueError(f"{text!r} is not a time of day")
        return (int(hours) * 60 + int(minutes or 0)) * 60_000

    return moment("00:00" if start is None else start), moment("24:00" if end is None else end)


def in_daily(window: tuple[int, int] | None, ts: Int64) -> Bool:
    """Whether each epoch millisecond lies in the local window, which may cross midnight (22:00–06:00)."""
    if window is None or window[0] % DAY_MS == window[1] % DAY_MS:
        return np.ones(len(ts), dtype=np.bool_)
    day = (ts + LOCAL_OFFSET_MS) % DAY_MS
    start, end = window
    return (day >= start) & (day < end) if start < end else (day >= start) | (day < end)

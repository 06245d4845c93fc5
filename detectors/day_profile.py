"""Day profile: what a series usually is at this time of day, at ten minutes and at an hour, learned online.

A day has 144 bins of ten minutes; the hour's expectation is the mean of its bins that were ever seen, so two resolutions cost
one table. A bin follows the mean of its rows at first and later about the last ``days`` days of them. A bin never seen falls
back to its hour, an hour never seen to the running level of the series: a series without a rhythm, or one that is slower than
a day, is judged against its level. Times count modulo 24 hours of UTC, so a shift by whole days changes nothing.

Values are kept as distances from the first value of the series, in 32 bits: a level of a million does not cost the digits
of its movements. 8 bytes a bin and slot; a handful of gathers a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.base import Columns
from detectors.plain import Held, single
from streams.batch import Bool, Float64, Int32, Int64

BINS = 144
_BIN_MS = 600_000
_PER_HOUR = 6
#: The running level follows about the last thirty readings: on its first day a series is judged by where it just was.
_LEVEL_ROWS = 30.0
_OF_HOUR = np.arange(_PER_HOUR, dtype=np.int64)
#: The count of a bin stops here; no memory of it is longer.
_MOST = 60_000

COLUMNS = {
    "usual": (np.float32, 0.0, (BINS,)),
    "usual_rows": (np.uint16, 0, (BINS,)),
    "level": (np.float32, 0.0),
    "level_rows": (np.int32, 0),
}


def bins(ts: Int64) -> NDArray[np.int64]:
    """Bin of the day of each epoch millisecond."""
    return (ts // _BIN_MS) % BINS


def expected(state: Columns, slot: Int32, at: NDArray[np.int64]) -> tuple[Float64, Float64]:
    """What is usual at bin ``at``, by the hour and by the ten minutes, as distances from the anchor."""
    of_hour = (at // _PER_HOUR * _PER_HOUR)[:, None] + _OF_HOUR
    usual = state["usual"][slot[:, None], of_hour]
    seen = state["usual_rows"][slot[:, None], of_hour] > 0
    count = seen.sum(axis=1)
    total = np.where(seen, usual, 0.0).sum(axis=1)
    level = state["level"][slot].astype(np.float64)
    hour = np.where(count > 0, total / np.maximum(count, 1), level)
    own = at % _PER_HOUR
    rows = np.arange(len(at))
    ten = np.where(seen[rows, own], usual[rows, own].astype(np.float64), hour)
    return hour, ten


def learn(
    state: Columns,
    slot: Int32,
    at: NDArray[np.int64],
    x: Float64,
    ten: Float64,
    away: Float64,
    a_day: Float64,
    days: float,
    take: Bool,
) -> None:
    """Move the bins towards their rows, ``away`` (already clipped) from what was expected; only rows of ``take``.

    ``a_day``: usual readings a day. ``x`` feeds the running level.
    """
    slot, at = slot[take], at[take]
    count = np.minimum(state["usual_rows"][slot, at], _MOST) + 1.0
    memory = days * np.maximum(1.0, a_day[take] / BINS)
    state["usual"][slot, at] = ten[take] + away[take] * np.maximum(1.0 / count, 1.0 / memory)
    state["usual_rows"][slot, at] = count
    rows = np.minimum(state["level_rows"][slot], 2**30) + 1
    state["level"][slot] += (x[take] - state["level"][slot]) / np.minimum(rows, _LEVEL_ROWS)
    state["level_rows"][slot] = rows


def bin_one(ts: int) -> int:
    """:func:`bins` of one time."""
    return (ts // _BIN_MS) % BINS


def expected_one(held: Held, at: int) -> tuple[float, float]:
    """:func:`expected` of one row."""
    own = at % _PER_HOUR
    hours = slice(at - own, at - own + _PER_HOUR)
    usual, rows = held.usual[hours].tolist(), held.usual_rows[hours].tolist()
    seen = [value for value, count in zip(usual, rows, strict=True) if count > 0]
    total = 0.0
    for value in seen:
        total = single(total + value)
    hour = total / len(seen) if seen else held.level
    return hour, usual[own] if rows[own] > 0 else hour


def learn_one(held: Held, at: int, x: float, ten: float, away: float, a_day: float, days: float) -> None:
    """:func:`learn` of one row that is taken."""
    count = min(held.usual_rows.item(at), _MOST) + 1.0
    memory = days * max(1.0, a_day / BINS)
    held.usual[at] = ten + away * max(1.0 / count, 1.0 / memory)
    held.usual_rows[at] = count
    held.level_rows = min(held.level_rows, 2**30) + 1
    held.level = single(held.level + (x - held.level) / min(held.level_rows, _LEVEL_ROWS))


def shift(state: Columns, slot: Int32, by: Float64) -> None:
    """The whole day lies elsewhere now: a new regime was adopted."""
    state["usual"][slot] += by[:, None]
    state["level"][slot] += by

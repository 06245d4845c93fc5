"""Day profile: what a series usually is at this time of day, at ten minutes and at an hour, learned online.

A day has 144 bins of ten minutes; the hour's expectation is the mean of its bins that were ever seen, so two resolutions cost
one table. A bin follows the mean of its rows at first and later about the last ``days`` days of them. A bin never seen falls
back to its hour, an hour never seen to the running level of the series: a series without a rhythm, or one that is slower than
a day, is judged against its level. Times count modulo 24 hours of UTC, so a shift by whole days changes nothing.

Values are kept as distances from the first value of the series, in 32 bits: a level of a million does not cost the digits
of its movements. 8 bytes a bin and slot; a handful of gathers a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Columns
from detectors.elementary import double, least, most
from streams.batch import Bool, Float64, Int32, Int64
from streams.compiled import compiled

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
    usual = state["usual"][slot[:, None], of_hour].astype(np.float64)
    seen = state["usual_rows"][slot[:, None], of_hour] > 0
    count = seen.sum(axis=1)
    # Added up one after the other, as a loop does: the order of ``sum`` is numpy's affair.
    total = np.add.accumulate(np.where(seen, usual, 0.0), axis=1)[:, -1]
    level = state["level"][slot].astype(np.float64)
    hour = np.where(count > 0, total / np.maximum(count, 1), level)
    own = at % _PER_HOUR
    rows = np.arange(len(at))
    ten = np.where(seen[rows, own], usual[rows, own], hour)
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
    level = state["level"][slot].astype(np.float64)
    state["level"][slot] = level + (x[take] - level) / np.minimum(rows, _LEVEL_ROWS)
    state["level_rows"][slot] = rows


def shift(state: Columns, slot: Int32, by: Float64) -> None:
    """The whole day lies elsewhere now: a new regime was adopted."""
    state["usual"][slot] += by[:, None]
    state["level"][slot] += by


@compiled
def bin_one(ts: int) -> int:
    """:func:`bins` of one time."""
    return (ts // _BIN_MS) % BINS


@compiled
def expected_one(held: Any, at: int) -> tuple[float, float]:
    """:func:`expected` of one row."""
    first = at - at % _PER_HOUR
    total, count = 0.0, 0
    for of_hour in range(first, first + _PER_HOUR):
        if held.usual_rows[of_hour] > 0:
            total += double(held.usual[of_hour])
            count += 1
    hour = total / count if count > 0 else double(held.level)
    return hour, double(held.usual[at]) if held.usual_rows[at] > 0 else hour


@compiled
def learn_one(held: Any, at: int, x: float, ten: float, away: float, a_day: float, days: float) -> None:
    """:func:`learn` of one row that is taken."""
    count = min(int(held.usual_rows[at]), _MOST) + 1
    memory = days * most(1.0, a_day / BINS)
    held.usual[at] = ten + away * most(1.0 / count, 1.0 / memory)
    held.usual_rows[at] = count
    rows = min(int(held.level_rows), 2**30) + 1
    level = double(held.level)
    held.level = level + (x - level) / least(float(rows), _LEVEL_ROWS)
    held.level_rows = rows


@compiled
def shift_one(held: Any, by: float) -> None:
    """:func:`shift` of one slot."""
    for at in range(BINS):
        held.usual[at] = double(held.usual[at]) + by
    held.level = double(held.level) + by

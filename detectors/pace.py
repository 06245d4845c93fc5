"""Pace: how many readings a day a series has, and how far from usual mere noise gets at that pace.

The usual interval is a running mean of the intervals between readings, where one counts at most three times the usual: gaps are
gaps, not a slower series. Repeated and older times count nothing.

:func:`reach` is the other half: noise of a hundred thousand readings goes further than noise of a hundred. A bound that
Gaussian noise passes once in so many *days* must grow with the pace, or fast series would raise more false alarms a day.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.base import Columns
from detectors.elementary import double, least, log, log_one, most
from streams.batch import Float64, Int32, Int64
from streams.compiled import compiled

_FIRST_ROWS = 20
_DAY_S = 86_400.0
_NEVER = np.iinfo(np.int64).min

COLUMNS = {
    "last_ts": (np.int64, _NEVER),
    "first_ts": (np.int64, _NEVER),
    "interval": (np.float32, 0.0),
    "intervals": (np.int32, 0),
}


def advance(state: Columns, slot: Int32, ts: Int64) -> tuple[Float64, Float64, Float64, Float64]:
    """Take the rows' times: (readings a day, days since the first reading, usual intervals and seconds since the last one)."""
    last, first = state["last_ts"][slot], state["first_ts"][slot]
    new = first == _NEVER
    first = np.where(new, ts, first)
    passed = np.where(new, 0, ts - np.where(new, ts, last)) / 1000.0
    usual = state["interval"][slot].astype(np.float64)
    count = state["intervals"][slot]
    onward = passed > 0
    counted = np.where(count > 0, np.minimum(passed, 3.0 * usual), passed)
    rate = np.where(count < _FIRST_ROWS, 1.0 / (count + 1.0), 0.01)
    now = np.where(onward, usual + (counted - usual) * rate, usual)
    state["interval"][slot] = now
    state["intervals"][slot] = np.where(onward, np.minimum(count, 2**30) + 1, count)
    state["last_ts"][slot] = np.where(new, ts, np.maximum(ts, last))
    state["first_ts"][slot] = first
    interval = np.maximum(now, 1e-3)
    return _DAY_S / interval, np.maximum(ts - first, 0) / (1000.0 * _DAY_S), np.maximum(passed, 0.0) / interval, passed


@compiled
def advance_one(held: Any, ts: int) -> tuple[float, float, float, float]:
    """:func:`advance` of one row."""
    if held.first_ts == _NEVER:
        held.first_ts = held.last_ts = ts
    passed = (ts - held.last_ts) / 1000.0
    usual, count = double(held.interval), int(held.intervals)
    now = usual
    if passed > 0:
        counted = least(passed, 3.0 * usual) if count > 0 else passed
        now = usual + (counted - usual) * (1.0 / (count + 1.0) if count < _FIRST_ROWS else 0.01)
        held.interval = now
        held.intervals = min(count, 2**30) + 1
    held.last_ts = max(ts, held.last_ts)
    interval = most(now, 1e-3)
    age = max(ts - held.first_ts, 0) / (1000.0 * _DAY_S)
    return _DAY_S / interval, age, most(passed, 0.0) / interval, passed


def reach(readings: Float64) -> Float64:
    """Standard deviations that Gaussian noise passes, on either side, about once in so many readings.

    The upper tail of the normal distribution, inverted to first order: within 0.05 from 100 readings on.

    >>> [round(float(x), 2) for x in reach(np.array([370.4, 15_787.0, 1_744_278.0]))]
    [3.0, 4.0, 5.0]
    """
    twice = 2.0 * log(np.maximum(readings, 3.0))
    return np.sqrt(np.maximum(0.5, twice - log(np.maximum(1.0, twice - 1.0)) - 0.4516))


@compiled
def reach_one(readings: float) -> float:
    """:func:`reach` of one number."""
    twice = 2.0 * log_one(most(readings, 3.0))
    found: float = np.sqrt(most(0.5, twice - log_one(most(1.0, twice - 1.0)) - 0.4516))
    return found

"""Report rate's rows as a compiled loop in the order of the log: what :class:`detectors.report_rate.ReportRate` does in numpy.

Its ticks, once a window, stay in numpy.
"""

from __future__ import annotations

import math

import numpy as np

from streams.batch import Bool, Float64, Int32, Int64
from streams.compiled import compiled

FOREVER = np.iinfo(np.int64).max
#: Longer intervals than this (s) are nobody's.
LONGEST_S = 1e9
#: Most times the usual number that are told.
MOST = 1e9


@compiled
def rows(
    window_ms: int,
    bursts: bool,
    warmup: int,
    least: float,
    slot: Int32,
    arrival: Int64,
    usable: Bool,
    told: Float64,
    intervals: Float64,
    ends: Int64,
    counts: Int64,
    lasts: Int64,
    gaps: Int64,
    whole: Bool,
    usuals: Float64,
    windows: Int32,
) -> int:
    """Count the rows in, and return the earliest end (ms) of their windows. Only for ``bursts`` write (measure, usual number,
    number so far) of each into ``told``, shape (3, rows).

    ``intervals`` (s) are the registry's of each slot, 0 where it names none; behind them the columns of the state.
    """
    earliest = FOREVER
    for i in range(len(slot)):
        s, at = slot[i], arrival[i]
        if ends[s] == FOREVER:
            ends[s] = (at // window_ms + 1) * window_ms
        earliest = min(earliest, ends[s])
        if usable[i]:
            counts[s] += 1
        gaps[s] = max(gaps[s], at - max(lasts[s], ends[s] - window_ms))
        lasts[s] = max(lasts[s], at)
        if not bursts:
            continue
        usual = usuals[s] if windows[s] >= warmup else math.nan
        if 0 < intervals[s] < LONGEST_S:
            usual = window_ms / 1000.0 / intervals[s]
        count, measure = counts[s], math.nan
        if usual > 0 and usable[i] and whole[s]:
            away = 2.0 * (math.sqrt(count + 0.375) - math.sqrt(usual + 0.375))
            times = min(count / usual, MOST)
            if away >= least and times > 1.0:
                measure = times
        told[0, i], told[1, i], told[2, i] = measure, usual, count
    return earliest

"""Silence's rows as a compiled loop in the order of the log: what :class:`detectors.silence.Silence` does in numpy.

Its ticks and what follows from the registry stay in Python.
"""

from __future__ import annotations

import math

import numpy as np

from streams.batch import Bool, Float64, Int32, Int64
from streams.compiled import compiled

NEVER = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max
#: Longer than every age, and far enough from the edge of int64 to be added to.
UNKNOWN = 2**61
#: Each arrival moves the learned median up or down by this share: 35 rows from a factor 2 off, blind to single gaps.
MEDIAN_STEP = 0.02


@compiled
def rows(
    learn: bool,
    learn_rows: int,
    factor: float,
    slot: Int32,
    ts: Int64,
    arrival: Int64,
    late: Bool,
    measure: Float64,
    named: Bool,
    lasts: Int64,
    nexts: Int64,
    afters: Int64,
    waits: Bool,
    spokes: Int64,
    ages: Int64,
    everys: Int64,
    intervals: Float64,
    counts: Int32,
) -> int:
    """Hear the rows, write 0 or NaN into ``measure``, and return the earliest time (ms) at which one of their slots is due.

    ``named``: of which slots the registry says how long they may be silent. Behind it the columns of the state.
    """
    earliest = FOREVER
    for i in range(len(slot)):
        s, came = slot[i], arrival[i]
        age = max(came - ts[i], 0)
        tells = age <= (afters[s] if afters[s] > 0 else UNKNOWN) + ages[s]
        if not late[i]:
            ages[s] = age
        spokes[s] = max(spokes[s], min(ts[i], came))
        if not tells:
            measure[i] = math.nan
            continue
        measure[i] = 0.0
        last = max(lasts[s], came)
        if learn:
            # An interval of 0 (an array, or one poll of many readings) is no interval.
            gap = 0.0 if lasts[s] == NEVER else (last - lasts[s]) / 1000.0
            if gap > 0:
                usual = intervals[s]
                step = 1 + MEDIAN_STEP if gap > usual else 1 / (1 + MEDIAN_STEP)
                intervals[s] = gap if math.isnan(usual) else usual * step
                counts[s] = min(counts[s], 2**30) + 1
            if not named[s]:
                interval = intervals[s] if counts[s] >= learn_rows else 0.0
                afters[s] = int(np.rint(min(interval, 1e9) * factor * 1000.0))
        lasts[s] = last
        nexts[s] = last + afters[s] if afters[s] > 0 else FOREVER
        waits[s] = False
        earliest = min(earliest, nexts[s])
    return earliest

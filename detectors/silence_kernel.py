"""Silence's rows as a compiled loop in the order of the log: what :class:`detectors.silence.Silence` does in numpy.

Its ticks and what follows from the registry stay in Python.
"""

from __future__ import annotations

import math
from typing import Any

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
    records: Any,
) -> int:
    """Hear the rows, write 0 or NaN into ``measure``, and return the earliest time (ms) at which one of their slots is due.

    ``named``: of which slots the registry says how long they may be silent. ``records``: the state, one a slot.
    """
    earliest = FOREVER
    for i in range(len(slot)):
        s, came = slot[i], arrival[i]
        held = records[s]
        age = max(came - ts[i], 0)
        tells = age <= (held.after if held.after > 0 else UNKNOWN) + held.age
        if not late[i]:
            held.age = age
        held.spoke = max(held.spoke, min(ts[i], came))
        if not tells:
            measure[i] = math.nan
            continue
        measure[i] = 0.0
        last = max(held.last, came)
        if learn:
            # An interval of 0 (an array, or one poll of many readings) is no interval.
            gap = 0.0 if held.last == NEVER else (last - held.last) / 1000.0
            if gap > 0:
                usual = held.interval
                step = 1 + MEDIAN_STEP if gap > usual else 1 / (1 + MEDIAN_STEP)
                held.interval = gap if math.isnan(usual) else usual * step
                held.rows = min(held.rows, 2**30) + 1
            if not named[s]:
                interval = held.interval if held.rows >= learn_rows else 0.0
                held.after = int(np.rint(min(interval, 1e9) * factor * 1000.0))
        held.last = last
        held.next = last + held.after if held.after > 0 else FOREVER
        held.waits = False
        earliest = min(earliest, held.next)
    return earliest

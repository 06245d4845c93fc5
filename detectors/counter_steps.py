"""Counter steps: a meter that only counts up is judged by its rate, everything else by its value.

A series that has risen a hundred times in two hundred readings and never fallen is a counter (energy, volume, pulses). From
then on its value is what it counts per second. A fall of a counter is a reset and says nothing; at the third reset the series
was no counter after all, and is a plain one for good. So is every series that falls before it looks like a counter: it does
when twelve readings have risen, and at least every second one. From then on until it is decided nothing is said of it, for by
its value every reading of a meter is a record.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.base import Columns
from streams.batch import Bool, Float64, Int32
from streams.compiled import compiled

_ROWS = 200
_RISES = 100
_RESETS = 3
_LIKELY = 12
_OPEN, COUNTER, _PLAIN = 0, 1, 2

COLUMNS = {
    "last": (np.float64, np.nan),
    "kind": (np.uint8, _OPEN),
    "steps": (np.uint16, 0),
    "rises": (np.uint16, 0),
    "resets": (np.uint8, 0),
}


def advance(state: Columns, slot: Int32, passed_s: Float64, value: Float64) -> tuple[Float64, Float64, Bool]:
    """(what to judge, last value, which slots begin anew with it); NaN where there is nothing to judge in this row.

    ``passed_s``: seconds since the last reading of the slot.
    """
    last = state["last"][slot]
    state["last"][slot] = value
    kind = state["kind"][slot]
    undecided = kind != _PLAIN
    if not undecided.any():
        return value, last, np.zeros(len(slot), dtype=np.bool_)
    fell, rose = value < last, value > last
    # A plain series counts no further, whoever shares its batch.
    steps = np.minimum(state["steps"][slot] + undecided, _ROWS)
    rises = np.minimum(state["rises"][slot] + (undecided & rose), _RISES)
    was, open_ = kind == COUNTER, kind == _OPEN
    likely = open_ & (rises >= _LIKELY) & (2 * rises >= steps)
    resets = np.minimum(state["resets"][slot] + ((was | likely) & fell), _RESETS)
    counts = open_ & ~fell & (steps >= _ROWS) & (rises >= _RISES)
    plain = (open_ & fell & ~likely) | ((was | likely) & (resets >= _RESETS))
    state["kind"][slot] = np.where(counts, COUNTER, np.where(plain, _PLAIN, kind))
    state["steps"][slot], state["rises"][slot], state["resets"][slot] = steps, rises, resets
    rate = np.divide(value - last, passed_s, out=np.full(len(slot), np.nan), where=(passed_s > 0) & ~fell)
    judged = np.where((was & ~plain) | counts, rate, np.where(likely & ~plain, np.nan, value))
    return judged, last, counts | (was & plain)


@compiled
def advance_one(held: Any, passed_s: float, value: float) -> tuple[float, float, bool]:
    """:func:`advance` of one row."""
    last, kind = held.last, held.kind
    held.last = value
    if kind == _PLAIN:
        return value, last, False
    fell, was, open_ = value < last, kind == COUNTER, kind == _OPEN
    steps = min(int(held.steps) + 1, _ROWS)
    rises = min(int(held.rises) + (1 if value > last else 0), _RISES)
    likely = open_ and rises >= _LIKELY and 2 * rises >= steps
    resets = min(int(held.resets) + (1 if (was or likely) and fell else 0), _RESETS)
    counts = open_ and not fell and steps >= _ROWS and rises >= _RISES
    plain = (open_ and fell and not likely) or ((was or likely) and resets >= _RESETS)
    held.kind = COUNTER if counts else _PLAIN if plain else kind
    held.steps, held.rises, held.resets = steps, rises, resets
    judged = value
    if counts or (was and not plain):
        judged = (value - last) / passed_s if passed_s > 0 and not fell else np.nan
    elif likely and not plain:
        judged = np.nan
    return judged, last, counts or (was and plain)

"""Stuck as a compiled loop over rows in the order of the log: what :class:`detectors.stuck.Stuck` does in numpy."""

from __future__ import annotations

import math
from typing import Any

from streams.batch import Float64, Int32, Int64
from streams.compiled import compiled

#: What remains of the longest rest after one move: a half after a hundred.
FADES = 0.5 ** (1 / 100)
#: In what a rest is measured.
SECONDS, ROWS, TIMES = 0, 1, 2


@compiled
def rows(
    eps: float,
    unit: int,
    min_rows: int,
    min_moves: int,
    truths: Float64,
    slot: Int32,
    ts: Int64,
    values: Float64,
    told: Float64,
    records: Any,
    longests: Float64,
    moves: Int32,
) -> None:
    """Write (measure, rows of the rest, its seconds, the longest one before) into ``told``, shape (4, rows); NaN where there
    is none. ``truths`` are the values that may rest. ``records``: the state, one a slot, of which ``longests`` and ``moves``
    are looked at only for ``TIMES``.
    """
    for i in range(len(slot)):
        s, x = slot[i], values[i]
        held = records[s]
        if not math.isfinite(x):
            told[0, i] = told[1, i] = told[2, i] = told[3, i] = math.nan
            continue
        before, count = held.rows, 1
        if abs(x - held.rest) <= eps:
            count = min(before, 2**30) + 1
        else:
            held.rest, held.since = x, ts[i]
        for truth in truths:
            if x == truth:
                held.rest, count = math.nan, 0
        held.rows = count
        seconds = (ts[i] - held.since) / 1000.0
        longest = math.nan
        if unit == TIMES:
            if count <= 1 and before > 0:
                # A rest that was reported counts for twice the longest one and not for itself, so that the next is too.
                rest = min(before * 1.0, 2 * longests[s]) if moves[s] >= min_moves else before * 1.0
                longests[s] = max(longests[s] * FADES, rest)
                moves[s] = min(moves[s], 2**30) + 1
            if moves[s] >= min_moves:
                longest = longests[s]
        length = seconds if unit == SECONDS else count * 1.0
        if unit == TIMES:
            length = count / max(longest, 1.0) if longest == longest else math.nan
        told[0, i] = length if count >= min_rows else 0.0
        told[1, i], told[2, i], told[3, i] = count, seconds, longest

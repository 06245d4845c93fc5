"""What the gate remembers of a series, as one record, and its judgement of readings as a compiled loop in the order of the log.

All of a series lies side by side: of a city too large for the processor's cache, what a reading costs is how many places of
memory it has to fetch. Where nothing is compiled :class:`streams.gate_memory.SeriesMemory` does the same in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.batch import Float64, Int32, Int64
from streams.compiled import compiled
from streams.event_time import NEVER

ACCEPTED, DUPLICATE, LATE, JUMP = 0, 1, 2, 3
Verdicts = NDArray[np.int8]
#: One record a slot.
Remembered = NDArray[np.void]


def blank(depth: int) -> Remembered:
    """One record, of a series nothing is known of; shape (1,). The last ``depth`` rows are a ring, ``pushed`` counts them."""
    kind = [("newest", np.int64), ("pushed", np.int64), ("ring_ts", np.int64, (depth,)), ("ring_value", np.float64, (depth,))]
    record: Remembered = np.zeros(1, dtype=np.dtype(kind))
    record["newest"], record["ring_ts"], record["ring_value"] = NEVER, NEVER, np.nan
    return record


@compiled
def judge(records: Any, depth: int, slot: Int32, ts: Int64, value: Float64, verdicts: Verdicts) -> int:
    """Write ACCEPTED, DUPLICATE or LATE of each row and remember all but duplicates; how many are not ACCEPTED."""
    count = 0
    for i in range(len(slot)):
        held, at, x = records[slot[i]], ts[i], value[i]
        newest = held.newest
        verdict = ACCEPTED
        if at <= newest:
            verdict = LATE if at < newest else ACCEPTED
            for k in range(depth):
                if held.ring_ts[k] == at and held.ring_value[k] == x:
                    verdict = DUPLICATE
        verdicts[i] = verdict
        count += verdict != ACCEPTED
        if verdict == DUPLICATE:
            continue
        place = held.pushed % depth
        held.ring_ts[place], held.ring_value[place] = at, x
        held.pushed += 1
        if at > newest:
            held.newest = at
    return count


def warm(depth: int) -> None:
    """Have the loop compiled."""
    none = np.zeros(0, dtype=np.int64)
    judge(blank(depth), depth, none.astype(np.int32), none, none.astype(np.float64), none.astype(np.int8))

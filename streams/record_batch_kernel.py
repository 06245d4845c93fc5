"""The compiled walk over the records of one batch of the log (:mod:`streams.record_batch`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.batch import Int64, UInt8
from streams.compiled import compiled

#: Columns: offset delta, timestamp delta, begin and size of the key, begin and size of the value.
OFFSET, TIME, KEY, KEY_SIZE, VALUE, VALUE_SIZE = range(6)


@compiled
def number(data: UInt8, p: Any) -> Any:
    """A zigzag varint at p: (place behind it, the number); the place is -1 where it does not end."""
    found = np.uint64(0)
    shift = np.uint64(0)
    while p < len(data) and shift < np.uint64(64):
        byte = np.uint64(data[p])
        p += 1
        found |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return p, np.int64(found >> np.uint64(1)) ^ -np.int64(found & np.uint64(1))
        shift += np.uint64(7)
    return -1, np.int64(0)


@compiled
def walk(data: UInt8, columns: Int64) -> Any:
    """Writes the six columns of all records; False where there are not as many as columns have room for, one has headers, or
    anything does not fit its size."""
    p: Any = 0
    for row in range(columns.shape[1]):
        p, size = number(data, p)
        if p < 0 or size < 1 or p + size > len(data):
            return False
        end = p + size
        if data[p]:
            return False
        p += 1
        p, columns[TIME, row] = number(data, p)
        if p < 0:
            return False
        p, columns[OFFSET, row] = number(data, p)
        if p < 0:
            return False
        for place in (KEY, VALUE):
            p, size = number(data, p)
            if p < 0 or size > end - p:
                return False
            columns[place, row] = p
            columns[place + 1, row] = max(size, -1)
            p += max(size, 0)
        if p + 1 != end or data[p]:
            return False
        p = end
    return p == len(data)


def warm() -> None:
    """Have the walk compiled."""
    # One record: 7 bytes long, no attributes, deltas of 0, no key, a value of one byte, no header.
    walk(np.frombuffer(b"\x0e\x00\x00\x00\x01\x02v\x00", dtype=np.uint8), np.empty((6, 1), dtype=np.int64))

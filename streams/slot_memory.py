"""Memory of a large city's state, which is asked for by slot: now here, now there, and mostly not in the processor's cache.

What a reading costs there is how many lines of memory it waits for. So what belongs together lies in one line (records whose
size is a power of two or whole lines, in maps that begin with one), in large pages where the machine has them, and
a batch's records are fetched all at once before they are worked on: a processor waits for a dozen lines at a time in a loop
that does nothing else, and for one or two where it reckons in between.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.batch import Int32, UInt8
from streams.compiled import AVAILABLE, compiled

LINE = 64
#: Pages that a processor finds without looking them up in tables; what is smaller than one has no map of its own.
_PAGE = 2 << 20
#: What is smaller stays in the cache by itself; and a few rows are as soon done as fetched.
_FAR, _MANY = 16 << 10, 64


def room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array with nothing in it yet."""
    size = math.prod(shape) * dtype.itemsize
    if size < _PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        wider = np.empty(size + LINE, dtype=np.uint8)
        first = -wider.ctypes.data % LINE
        return wider[first : first + size].view(dtype).reshape(shape)
    # In whole pages, or the map would not begin with one. What does not fill one is left in small ones: a large one is there
    # as a whole with its first byte.
    whole = size // _PAGE * _PAGE
    memory = mmap.mmap(-1, -(-size // _PAGE) * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE, 0, whole)
    return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)


def padded(size: int) -> int:
    """Bytes of a record so that it begins and ends within as few lines as it fills.

    >>> padded(20), padded(56), padded(100)
    (32, 64, 128)
    """
    return 1 << (size - 1).bit_length() if size < LINE else -(-size // LINE) * LINE


def fetch(records: NDArray[Any], slot: Int32) -> None:
    """Have the records of these slots near; it changes nothing. ``records``: one a slot, in one piece."""
    if AVAILABLE and records.nbytes >= _FAR and len(slot) >= _MANY:
        _fetch(records.view(np.uint8).reshape(len(records), -1), slot)


@compiled
def _fetch(records: UInt8, slot: Int32) -> int:
    """Returns what it has read, or it would not be read at all."""
    seen = 0
    for at in range(0, records.shape[1], 64):
        for i in range(len(slot)):
            seen += records[slot[i], at]
    return seen


def warm() -> None:
    """Have the loop compiled."""
    _fetch(np.zeros((1, LINE), dtype=np.uint8), np.zeros(1, dtype=np.int32))

"""Slots of series by how their entity is spelled in the log, so that no text need be made of an id that is known.

A cache of the :class:`streams.series.SeriesIndex`, which alone gives out slots: open addressing over the bytes of the id and
the number of what tells the entity's series apart (its metric). Begun anew when series were forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.batch import Int32, Int64, UInt8
from streams.compiled import compiled
from streams.scan import ColumnFields
from streams.series import SeriesIndex, grown

#: Words of refused rows are numbered too; they are not to fill the memory.
MOST_SECONDS = 65_536
#: What is kept of an entry: where its bytes begin and how many they are, its second, its slot.
_BEGIN, _SIZE, _SECOND, _SLOT = range(4)
_BASIS, _PRIME, _SPREAD = np.uint64(14695981039346656037), np.uint64(1099511628211), np.uint64(32)


@compiled
def bucket_of(blob: UInt8, begin: Any, size: Any, second: Any, buckets: int) -> Any:
    """FNV-1a over the bytes and the second; ``buckets`` is a power of two."""
    found = _BASIS ^ np.uint64(second)
    for i in range(size):
        found = (found ^ np.uint64(blob[begin + i])) * _PRIME
    return np.int64((found ^ (found >> _SPREAD)) & np.uint64(buckets - 1))


@compiled
def find(
    blob: UInt8, starts: Int32, lengths: Int32, second: Any, table: Int32, entries: Int32, spelled: UInt8, slots: Int32
) -> Any:
    """Writes the slot of every row, -1 where it is not known; returns how many are not."""
    missing: Any = 0
    mask = len(table) - 1
    for row in range(len(starts)):
        begin, size, own = starts[row], lengths[row], second[row]
        slot = np.int32(-1)
        if begin >= 0:
            bucket = bucket_of(blob, begin, size, own, len(table))
            while table[bucket]:
                entry: Any = table[bucket] - 1
                if entries[entry, _SIZE] == size and entries[entry, _SECOND] == own:
                    at = entries[entry, _BEGIN]
                    same = True
                    for i in range(size):
                        if spelled[at + i] != blob[begin + i]:
                            same = False
                            break
                    if same:
                        slot = entries[entry, _SLOT]
                        break
                bucket = (bucket + 1) & mask
        slots[row] = slot
        missing += slot < 0
    return missing


@compiled
def enter(table: Int32, entries: Int32, spelled: UInt8, first: Any, count: Any) -> Any:
    """Puts the entries from ``first`` to ``count`` into the table."""
    mask = len(table) - 1
    for entry in range(first, count):
        bucket = bucket_of(spelled, entries[entry, _BEGIN], entries[entry, _SIZE], entries[entry, _SECOND], len(table))
        while table[bucket]:
            bucket = (bucket + 1) & mask
        table[bucket] = entry + 1


class Spellings:
    """Knows the slots of ``index`` by the bytes of their ids."""

    def __init__(self, index: SeriesIndex) -> None:
        self._index = index
        self._forget()

    def _forget(self) -> None:
        self._version = self._index.version
        self._count = self._used = 0
        self._entries: NDArray[np.int32] = np.zeros((0, 4), dtype=np.int32)
        self._spelled: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self._table: Int32 = np.zeros(16, dtype=np.int32)
        self._seconds: dict[str | None, int] = {}

    def slots(self, fields: ColumnFields, second: str | None, arrivals: Int64) -> tuple[Int32, dict[int, int]]:
        """As :meth:`streams.series.SeriesIndex.slots`: slots of the rows, and those given out just now with their rows.

        ``second`` names the field that tells an entity's series apart."""
        if self._version != self._index.version or len(self._seconds) > MOST_SECONDS:
            self._forget()
        numbered = self._numbered(fields, second)
        slots = np.empty(len(arrivals), dtype=np.int32)
        blob = np.frombuffer(fields.blob, dtype=np.uint8)
        fresh: dict[int, int] = {}
        if find(blob, fields.starts, fields.lengths, numbered, self._table, self._entries, self._spelled, slots):
            rows = np.flatnonzero(slots < 0)
            some = fields.take(rows)
            seconds: list[str | None] = [None] * len(rows) if second is None else list(some[second])
            slots[rows], among = self._index.slots(some[fields.shape.entity], seconds, arrivals[rows])
            fresh = {slot: int(rows[row]) for slot, row in among.items()}
            self._learn(some, numbered[rows], slots[rows])
        np.maximum.at(self._index.last_arrival, slots, arrivals)
        return slots, fresh

    def _numbered(self, fields: ColumnFields, second: str | None) -> Int32:
        """What tells series of an entity apart, as a number of our own."""
        if second is None:
            return np.zeros(len(fields.starts), dtype=np.int32)
        place = fields.shape.words.index(second)
        own = [self._seconds.setdefault(word, len(self._seconds)) for word in fields.vocabulary[place]]
        found: Int32 = np.array(own, dtype=np.int32)[fields.codes[place]]
        return found

    def _learn(self, fields: ColumnFields, second: Int32, slots: Int32) -> None:
        """Enter rows that were not known, each series once."""
        _, firsts = np.unique(slots, return_index=True)
        firsts = firsts[fields.starts[firsts] >= 0]
        sizes = fields.lengths[firsts]
        count, used = self._count + len(firsts), self._used + int(sizes.sum())
        self._entries, self._spelled = grown(self._entries, count, 0), grown(self._spelled, used, 0)
        new = self._entries[self._count : count]
        new[:, _BEGIN] = self._used + np.cumsum(sizes) - sizes
        new[:, _SIZE], new[:, _SECOND], new[:, _SLOT] = sizes, second[firsts], slots[firsts]
        spelled = b"".join(
            fields.blob[begin : begin + size]
            for begin, size in zip(fields.starts[firsts].tolist(), sizes.tolist(), strict=True)
        )
        self._spelled[self._used : used] = np.frombuffer(spelled, dtype=np.uint8)
        first, self._count, self._used = self._count, count, used
        if 2 * count > len(self._table):
            self._table = np.zeros(1 << (4 * count - 1).bit_length(), dtype=np.int32)
            first = 0
        enter(self._table, self._entries, self._spelled, first, count)


def warm(fields: ColumnFields) -> None:
    """Have the loops compiled, for readings and for fixes alike."""
    Spellings(SeriesIndex()).slots(fields, "metric", np.zeros(len(fields.rows), dtype=np.int64))

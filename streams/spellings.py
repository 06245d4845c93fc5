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
#: What is kept of an entry: how many bytes its id has, its second, its slot, where its further bytes begin; then its first
#: bytes. Half a line of the processor's cache, in which nearly every id is whole.
_SIZE, _SECOND, _SLOT, _BEGIN, _HEAD = range(5)
_ENTRY = 32
_AHEAD = _ENTRY - 4 * _HEAD
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
    blob: UInt8,
    starts: Int32,
    lengths: Int32,
    second: Any,
    table: Int32,
    entries: Int32,
    heads: UInt8,
    tails: UInt8,
    arrivals: Int64,
    last: Int64,
    slots: Int32,
) -> Any:
    """Writes the slot of every row, -1 where it is not known; returns how many are not. ``last`` is told when they arrived.

    In passes, not one: of a large city each row asks for places of memory that are far away, and a processor waits for many of
    them at once where a loop does little else.
    """
    missing: Any = 0
    count, mask = len(starts), len(table) - 1
    buckets, sizes = np.empty(count, np.int64), np.empty(count, np.int32)
    for row in range(count):
        buckets[row] = bucket_of(blob, starts[row], lengths[row], second[row], len(table)) if starts[row] >= 0 else -1
    for row in range(count):
        # The first entry it could be; most are that one.
        slots[row] = table[buckets[row]] - 1 if buckets[row] >= 0 else -1
    for row in range(count):
        sizes[row] = entries[slots[row], _SIZE] if slots[row] >= 0 else 0
    for row in range(count):
        entry: Any = slots[row]
        slot = np.int32(-1)
        begin, size, own, bucket, held = starts[row], lengths[row], second[row], buckets[row], sizes[row]
        while entry >= 0:
            if held == size and entries[entry, _SECOND] == own:
                ahead, at, same = min(size, _AHEAD), entries[entry, _BEGIN], 0
                while same < ahead and heads[entry, 4 * _HEAD + same] == blob[begin + same]:
                    same += 1
                if same == ahead:
                    while same < size and tails[at + same - ahead] == blob[begin + same]:
                        same += 1
                if same == size:
                    slot = entries[entry, _SLOT]
                    break
            bucket = (bucket + 1) & mask
            entry = table[bucket] - 1
            held = entries[entry, _SIZE] if entry >= 0 else 0
        slots[row] = slot
        missing += slot < 0
    for row in range(count):
        if slots[row] >= 0:
            last[slots[row]] = max(last[slots[row]], arrivals[row])
    return missing


@compiled
def enter(
    table: Int32,
    entries: Int32,
    heads: UInt8,
    tails: UInt8,
    used: Any,
    blob: UInt8,
    starts: Int32,
    lengths: Int32,
    second: Int32,
    slots: Int32,
    first: Any,
) -> Any:
    """Makes entries from number ``first`` on of these ids and puts them into the table; returns how far ``tails`` is used."""
    mask = len(table) - 1
    for row in range(len(starts)):
        entry, size = first + row, lengths[row]
        entries[entry, _SIZE], entries[entry, _SECOND], entries[entry, _SLOT] = size, second[row], slots[row]
        entries[entry, _BEGIN] = used
        ahead = min(size, _AHEAD)
        for i in range(size):
            if i < ahead:
                heads[entry, 4 * _HEAD + i] = blob[starts[row] + i]
            else:
                tails[used + i - ahead] = blob[starts[row] + i]
        used += size - ahead
        bucket = bucket_of(blob, starts[row], size, second[row], len(table))
        while table[bucket]:
            bucket = (bucket + 1) & mask
        table[bucket] = entry + 1
    return used


@compiled
def rehash(table: Int32, entries: Int32, heads: UInt8, tails: UInt8, count: Any) -> None:
    """Puts the first ``count`` entries into another table."""
    mask = len(table) - 1
    longest: Any = 1
    for entry in range(count):
        longest = max(longest, entries[entry, _SIZE])
    spelled = np.empty(longest, np.uint8)
    for entry in range(count):
        size = entries[entry, _SIZE]
        ahead = min(size, _AHEAD)
        for i in range(ahead):
            spelled[i] = heads[entry, 4 * _HEAD + i]
        for i in range(ahead, size):
            spelled[i] = tails[entries[entry, _BEGIN] + i - ahead]
        bucket = bucket_of(spelled, 0, size, entries[entry, _SECOND], len(table))
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
        self._entries: NDArray[np.int32] = np.zeros((0, _ENTRY // 4), dtype=np.int32)
        self._tails: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
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
        last = self._index.last_arrival
        held = self._table, self._entries, self._entries.view(np.uint8), self._tails
        if find(blob, fields.starts, fields.lengths, numbered, *held, arrivals, last, slots):
            rows = np.flatnonzero(slots < 0)
            some = fields.take(rows)
            seconds: list[str | None] = [None] * len(rows) if second is None else list(some[second])
            slots[rows], among = self._index.slots(some[fields.shape.entity], seconds, arrivals[rows])
            fresh = {slot: int(rows[row]) for slot, row in among.items()}
            self._learn(some, numbered[rows], slots[rows])
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
        count = self._count + len(firsts)
        self._entries = grown(self._entries, count, 0)
        self._tails = grown(self._tails, self._used + int(np.maximum(sizes - _AHEAD, 0).sum()), 0)
        held = self._entries, self._entries.view(np.uint8), self._tails
        if 2 * count > len(self._table):
            self._table = np.zeros(1 << (2 * count).bit_length(), dtype=np.int32)
            rehash(self._table, *held, self._count)
        blob = np.frombuffer(fields.blob, dtype=np.uint8)
        rows = fields.starts[firsts], sizes, second[firsts], slots[firsts]
        self._used = enter(self._table, *held, self._used, blob, *rows, self._count)
        self._count = count


def warm(fields: ColumnFields) -> None:
    """Have the loops compiled, for readings and for fixes alike."""
    Spellings(SeriesIndex()).slots(fields, "metric", np.zeros(len(fields.rows), dtype=np.int64))

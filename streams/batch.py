"""Batches: what travels between the rooms.

A :class:`RawBatch` is what one poll of one partition brought, untouched. A :class:`Batch` is what is left of it after codec
and quality gate, as columns. Nothing in the answer may depend on where a batch was cut (law 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int16 = NDArray[np.int16]
UInt16 = NDArray[np.uint16]
UInt8 = NDArray[np.uint8]
Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class RawBatch:
    """Records of one (topic, partition) in the order of their offsets; the sequences are parallel. Values and keys are lists,
    or stand in one buffer (:class:`streams.packed.Packed`).

    ``arrivals`` are the broker's timestamps (LogAppendTime), epoch milliseconds; in playback mode the transport has already
    replaced them by the header ``cw_arrival_ts``. ``headers`` is None where no record of the batch has any.
    """

    topic: str
    partition: int
    offsets: list[int]
    arrivals: list[int]
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    headers: list[Headers] | None = None
    _arrays: tuple[Int64, Int64] | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def offset_array(self) -> Int64:
        return self._as_arrays()[0]

    @property
    def arrival_array(self) -> Int64:
        return self._as_arrays()[1]

    def _as_arrays(self) -> tuple[Int64, Int64]:
        if self._arrays is None:
            self._arrays = np.array(self.offsets, dtype=np.int64), np.array(self.arrivals, dtype=np.int64)
        return self._arrays

    def cut(self, start: int, stop: int) -> RawBatch:
        """Rows ``start`` to ``stop`` (exclusive) as a batch of their own."""
        return RawBatch(
            self.topic,
            self.partition,
            self.offsets[start:stop],
            self.arrivals[start:stop],
            self.values[start:stop],
            self.keys[start:stop],
            self.headers[start:stop] if self.headers is not None else None,
            (self._arrays[0][start:stop], self._arrays[1][start:stop]) if self._arrays is not None else None,
        )

    def take(self, rows: Sequence[int]) -> RawBatch:
        """The rows of these numbers, which ascend."""
        return RawBatch(
            self.topic,
            self.partition,
            [self.offsets[row] for row in rows],
            [self.arrivals[row] for row in rows],
            [self.values[row] for row in rows],
            [self.keys[row] for row in rows],
            [self.headers[row] for row in rows] if self.headers is not None else None,
        )


@dataclass(slots=True)
class Batch:
    """Rows of one stream in log order, ``n`` of them; every array has length ``n``.

    Its arrays are shared by all who look at it: nobody writes into them.

    ``stream`` is sensor, group, vehicle, video or hotline. ``slot`` names the series (entity and metric, entity and video
    kind, or entity) in the space of whoever holds the batch: the shard's index in the detect stage, a rule's own dense
    space in front of a detector. ``late`` rows are older than a row of the same series seen before.
    """

    stream: str
    slot: Int32
    ts: Int64
    arrival: Int64
    offset: Int64
    part: Int32
    late: Bool
    records: Sequence[Any]
    #: Numeric fields by the names of the record type; absent optional values are NaN.
    columns: dict[str, Float64] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.slot)

    def cut(self, start: int, stop: int) -> Batch:
        """Rows ``start`` to ``stop`` (exclusive); arrays are views."""
        return Batch(
            self.stream,
            self.slot[start:stop],
            self.ts[start:stop],
            self.arrival[start:stop],
            self.offset[start:stop],
            self.part[start:stop],
            self.late[start:stop],
            self.records[start:stop],
            {name: column[start:stop] for name, column in self.columns.items()},
        )

    def under(self, slot: Int32) -> Batch:
        """The same rows under the slots of another space; nothing is copied."""
        return Batch(self.stream, slot, self.ts, self.arrival, self.offset, self.part, self.late, self.records, self.columns)

    def take(self, rows: NDArray[Any], slot: Int32 | None = None) -> Batch:
        """The given rows (indices or mask), optionally with the slots of another space."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Batch(
            self.stream,
            self.slot[index] if slot is None else slot,
            self.ts[index],
            self.arrival[index],
            self.offset[index],
            self.part[index],
            self.late[index],
            Picked(self.records, index),
            {name: column[index] for name, column in self.columns.items()},
        )


class Picked(Sequence[Any]):
    """Some of the records, picked out when they are asked for: most rules never look at one."""

    __slots__ = ("_records", "_rows")

    def __init__(self, records: Sequence[Any], rows: NDArray[Any]) -> None:
        self._records, self._rows = records, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Picked(self._records, self._rows[at])
        return self._records[self._rows[at]]


def rounds(slot: Int32) -> list[NDArray[np.intp]]:
    """Cut rows so that no slot occurs twice in a piece: piece k holds the k-th row of every slot, in row order.

    Processing the pieces one after the other keeps the order of every series, and each piece can be one numpy step.

    >>> [r.tolist() for r in rounds(np.array([7, 3, 7, 7, 3], dtype=np.int32))]
    [[0, 1], [2, 4], [3]]
    """
    n = len(slot)
    if n == 0:
        return []
    order = np.argsort(slot, kind="stable")
    ordered = slot[order]
    first = np.empty(n, dtype=np.bool_)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    if first.all():
        return [np.arange(n)]
    if ordered[0] == ordered[-1]:
        return list(np.arange(n).reshape(n, 1))
    starts = np.flatnonzero(first)
    rank = np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))
    kth = np.empty(n, dtype=np.int64)
    kth[order] = rank
    by_rank = np.argsort(kth, kind="stable")
    bounds = np.searchsorted(kth[by_rank], np.arange(1, int(rank.max()) + 1))
    return list(np.split(by_rank, bounds))

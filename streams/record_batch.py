"""Record batches of the log as columns: the bytes that were fetched are walked once by compiled code.

Otherwise aiokafka's C parser makes an object a record, its five fields are drawn out into five lists, and the values are joined
again for the scan of their JSON. Here offsets, arrivals and the places of keys and values are columns, and nothing is made of a
record that nobody looks at. Batches with headers, of the old format, of few records, or in which anything is odd are left to
aiokafka's parser, which knows what to say of them; what is read here is what that one reads
(tests/streams/test_record_batch.py).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from aiokafka import codec

from streams.batch import Int64, RawBatch, UInt8
from streams.compiled import AVAILABLE, compiled
from streams.packed import PAD, Packed

#: In a batch of fewer records an object for each of them costs less than the columns.
PACKED_FROM: Final = 32
#: Of the Kafka protocol's record batch, version 2: base offset, length, leader epoch, magic, CRC, attributes, last offset
#: delta, first and latest timestamp, producer's id and epoch, base sequence, number of records.
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_DECODERS: Final = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}
#: Columns: offset delta, timestamp delta, begin and size of the key, begin and size of the value.
_OFFSET, _TIME, _KEY, _KEY_SIZE, _VALUE, _VALUE_SIZE = range(6)


class Columns:
    """Records of one batch: ``data`` is the part of it that holds them, ``places`` are (begin, size) in it; -1 is a null."""

    __slots__ = ("arrivals", "data", "keys", "offsets", "values")

    def __init__(
        self, data: memoryview, offsets: Int64, arrivals: Int64, keys: tuple[Int64, Int64], values: tuple[Int64, Int64]
    ) -> None:
        self.data, self.offsets, self.arrivals, self.keys, self.values = data, offsets, arrivals, keys, values

    def __len__(self) -> int:
        return len(self.offsets)

    def behind(self, position: int) -> Columns:
        """The records from an offset on."""
        rows = self.offsets >= position
        (key, key_size), (value, value_size) = self.keys, self.values
        return Columns(
            self.data, self.offsets[rows], self.arrivals[rows], (key[rows], key_size[rows]), (value[rows], value_size[rows])
        )


def columns(data: bytes, at: int, end: int) -> Columns | None:
    """The records of the batch that stands from ``at`` to ``end``; None where it is not one to be read here."""
    if not AVAILABLE or end - at < _HEADER.size:
        return None
    base, _, _, magic, _, attributes, _, first_ms, latest_ms, _, _, _, count = _HEADER.unpack_from(data, at)
    if magic != 2 or count < PACKED_FROM:
        return None
    held = memoryview(data)[at + _HEADER.size : end]
    if attributes & _CODEC:
        decode = _DECODERS.get(attributes & _CODEC)
        try:
            held = memoryview(decode(bytes(held)))  # type: ignore[misc]
        except Exception:  # the parser says what is wrong with it
            return None
    if len(held) >= 2**31 or count > len(held):
        return None
    found = np.empty((6, count), dtype=np.int64)
    if not walk(np.frombuffer(held, dtype=np.uint8), found):
        return None
    arrivals = np.full(count, latest_ms) if attributes & _LOG_APPEND_TIME else found[_TIME] + first_ms
    keys, values = (found[_KEY], found[_KEY_SIZE]), (found[_VALUE], found[_VALUE_SIZE])
    return Columns(held, found[_OFFSET] + base, arrivals, keys, values)


def joined(topic: str, partition: int, pieces: Sequence[Columns]) -> RawBatch:
    """Batches of one partition, in the order of the log, as one."""
    data = b"".join([*(piece.data for piece in pieces), PAD])
    if len(pieces) == 1:
        offsets, arrivals, (key, key_size), (value, value_size) = (
            pieces[0].offsets, pieces[0].arrivals, pieces[0].keys, pieces[0].values,
        )  # fmt: skip
    else:
        sizes = np.array([len(piece.data) for piece in pieces])
        shift = np.repeat(np.cumsum(sizes) - sizes, [len(piece) for piece in pieces])
        offsets, arrivals, key, key_size, value, value_size = (
            np.concatenate(column)
            for column in zip(*((one.offsets, one.arrivals, *one.keys, *one.values) for one in pieces), strict=True)
        )
        key, value = key + shift, value + shift
    return RawBatch(
        topic,
        partition,
        offsets.tolist(),
        arrivals.tolist(),
        Packed(data, value, value_size),
        Packed(data, key, key_size),
        None,
        (offsets, arrivals),
    )


def warm() -> None:
    """Have the walk compiled."""
    # One record: 8 bytes long, no attributes, deltas of 0, no key, a value of one byte, no header.
    walk(np.frombuffer(b"\x10\x00\x00\x00\x01\x02v\x00", dtype=np.uint8), np.empty((6, 1), dtype=np.int64))


# --- compiled -----------------------------------------------------------------------------------------------------------------


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
        p, columns[_TIME, row] = number(data, p)
        if p < 0:
            return False
        p, columns[_OFFSET, row] = number(data, p)
        if p < 0:
            return False
        for place in (_KEY, _VALUE):
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

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
from typing import Final

import numpy as np
from aiokafka import codec

from streams.batch import Int64, RawBatch
from streams.compiled import AVAILABLE
from streams.packed import PAD, Packed
from streams.record_batch_kernel import KEY, KEY_SIZE, OFFSET, TIME, VALUE, VALUE_SIZE, walk

#: In a batch of fewer records an object for each of them costs less than the columns.
PACKED_FROM: Final = 32
#: Of the Kafka protocol's record batch, version 2: base offset, length, leader epoch, magic, CRC, attributes, last offset
#: delta, first and latest timestamp, producer's id and epoch, base sequence, number of records.
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_DECODERS: Final = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}


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
    arrivals = np.full(count, latest_ms) if attributes & _LOG_APPEND_TIME else found[TIME] + first_ms
    keys, values = (found[KEY], found[KEY_SIZE]), (found[VALUE], found[VALUE_SIZE])
    return Columns(held, found[OFFSET] + base, arrivals, keys, values)


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

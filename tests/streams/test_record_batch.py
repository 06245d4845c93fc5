"""Record batches as columns beside aiokafka's own parser, over the same bytes."""

from __future__ import annotations

from typing import Any

import aiokafka.codec
import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka_records import KeptRecords
from streams.packed import PAD, Packed
from streams.record_batch import PACKED_FROM, Columns, columns, joined
from streams.record_batch_kernel import walk

Row = tuple[int, int, bytes | None, bytes | None]
texts = st.none() | st.binary(max_size=200)
rows = st.tuples(st.integers(-(2**40), 2**40), texts, texts)
contents = st.lists(rows, min_size=PACKED_FROM, max_size=PACKED_FROM + 20)


def record_batch(base: int, given_rows: Any, *, codec: int = 0, headers: Any = (), append_time: int | None = None) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, 0, 0, 1 << 22)
    for n, (at, key, value) in enumerate(given_rows):
        builder.append(n, at, key, value, list(headers))
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")
    if append_time is not None:
        data[22] |= 0x08
        data[35:43] = append_time.to_bytes(8, "big")
    return bytes(data)


def by_aiokafka(data: bytes) -> list[Row]:
    return [(one.offset, one.timestamp, one.key, one.value) for one in DefaultRecordBatch(bytearray(data))]


def of_columns(found: Columns) -> list[Row]:
    batch = joined("t", 0, [found])
    return list(zip(batch.offsets, batch.arrivals, batch.keys, batch.values, strict=True))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**40), contents, st.sampled_from([0, 1]), st.none() | st.integers(0, 2**41))
def test_columns_hold_what_the_parser_reads(base: int, held: Any, codec: int, append_time: int | None) -> None:
    data = record_batch(base, held, codec=codec, append_time=append_time)
    found = columns(data, 0, len(data))
    assert found is not None
    assert of_columns(found) == by_aiokafka(data)


@pytest.mark.parametrize(("name", "codec"), [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)])
def test_every_codec_is_read(name: str, codec: int) -> None:
    if not getattr(aiokafka.codec, f"has_{name}")():
        pytest.skip("aiokafka reads this codec where cramjam is installed")
    data = record_batch(7, [(n, b"k", b"value" * n) for n in range(100)], codec=codec)
    found = columns(data, 0, len(data))
    assert found is not None
    assert of_columns(found) == by_aiokafka(data)


def test_batches_with_headers_few_records_or_a_broken_codec_are_left_to_the_parser() -> None:
    plain = [(1, b"k", b"v")] * PACKED_FROM
    squeezed = bytearray(record_batch(0, [(1, b"k", b"v" * 99)] * 99, codec=1))
    squeezed[70:80] = b"0123456789"
    for data in (record_batch(0, plain, headers=[("h", b"x")]), record_batch(0, plain[1:]), bytes(squeezed)):
        assert columns(data, 0, len(data)) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_the_walk_refuses_what_it_does_not_understand(data: bytes, count: int) -> None:
    found = np.zeros((6, count), dtype=np.int64)
    if walk(np.frombuffer(data, dtype=np.uint8), found):
        for begin, size in zip(found[[2, 4]].ravel().tolist(), found[[3, 5]].ravel().tolist(), strict=True):
            assert size >= -1 and 0 <= begin <= begin + max(size, 0) <= len(data)


@settings(max_examples=300, deadline=None)
@given(contents, st.integers(61, 4000), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_read_as_the_parser_does(held: Any, at: int, mask: int) -> None:
    data = bytearray(record_batch(0, held))
    data[61 + at % (len(data) - 61)] ^= mask
    found = columns(bytes(data), 0, len(data))
    if found is not None:
        assert of_columns(found) == by_aiokafka(bytes(data))


def test_several_batches_are_one_and_begin_where_reading_goes_on() -> None:
    log = KeptRecords(b"".join(record_batch(50 * n, [(n, b"k%d" % i, b"v%d" % i) for i in range(50)]) for n in range(3)))
    pieces = []
    while log.has_next():
        log.next_batch()
        found = log.columns()
        assert found is not None
        pieces.append(found)
    batch = joined("t", 3, [pieces[0].behind(45), *pieces[1:]])
    assert batch.offsets == list(range(45, 150))
    assert batch.offset_array.tolist() == batch.offsets
    assert batch.arrivals == [0] * 5 + [1] * 50 + [2] * 50
    assert batch.values == [b"v%d" % i for i in [*range(45, 50), *range(50), *range(50)]]
    assert batch.keys == [b"k%d" % i for i in [*range(45, 50), *range(50), *range(50)]]
    assert batch.cut(3, 7).values == [b"v48", b"v49", b"v0", b"v1"]


@given(st.lists(texts, max_size=20), st.integers(-25, 25), st.integers(-25, 25))
def test_packed_texts_are_a_list_of_them(held: list[bytes | None], a: int, b: int) -> None:
    packed = Packed.of(held)
    assert packed == held
    assert [packed[i] for i in range(len(held))] == held
    assert packed[a:b] == held[a:b]
    assert packed.take(np.arange(len(held))[::-1]) == held[::-1]
    assert packed.data.endswith(PAD)
    empty = packed.without(np.array([text is None for text in held], dtype=np.bool_))
    assert empty == [text or b"" for text in held]

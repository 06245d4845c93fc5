"""The raw path beside aiokafka's own unpacking, over the same bytes."""

from __future__ import annotations

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka_records import KeptRecords
from streams.transport_raw import raw_batch, take_plain, take_raw

TP0 = TopicPartition("t", 0)
#: Key of a control record: version, then type 0 = abort, 1 = commit.
ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"


def record_batch(base, values, *, producer=-1, transactional=False, control=None, codec=0):
    builder = DefaultRecordBatchBuilder(2, codec, transactional, producer, 0, 0, 1 << 20)
    for n, value in enumerate([None] if control else values):
        builder.append(n, 1_000 + n, control if control else b"k", value, [("h", b"x")] if n % 3 == 0 else [])
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")
    if control:
        attributes = int.from_bytes(data[21:23], "big") | 0x20
        data[21:23] = attributes.to_bytes(2, "big")
        data[17:21] = crc(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


def crc(data):
    from aiokafka.record._crecords.cutil import crc32c_cython

    return crc32c_cython(data)


class State:
    paused = False
    has_valid_position = True

    def __init__(self, position):
        self.position = position

    def consumed_to(self, position):
        self.position = position


class Assignment:
    active = True

    def __init__(self, position):
        self.state = State(position)

    def state_value(self, tp):
        return self.state


def fetched(data, position=0, aborted=(), isolation=READ_COMMITTED, crcs=True):
    parts = PartitionRecords(TP0, KeptRecords(data), list(aborted), position, None, None, crcs, isolation)
    return FetchResult(TP0, assignment=Assignment(position), partition_records=parts, backoff=0)


def drain(take, result, most=1_000):
    rows, ends = [], []
    while (taken := take(result, TP0, most)) is not None:
        batch = raw_batch("t", 0, taken.records)
        rows += [
            (batch.offsets[n], batch.arrivals[n], batch.keys[n], batch.values[n], batch.headers[n] if batch.headers else ())
            for n in range(len(batch))
        ]
        ends.append(taken.next_offset)
    return rows, ends[-1]


def both(data, **choices):
    raw = drain(take_raw, fetched(data, **choices))
    assert raw == drain(take_plain, fetched(data, **choices))
    return [offset for offset, *_ in raw[0]], raw[1]


def test_batches_follow_one_another():
    data = record_batch(0, [b"a", None]) + record_batch(2, [b"c"])
    assert both(data) == ([0, 1, 2], 3)


def test_a_position_inside_a_batch_skips_what_lies_in_front_of_it():
    assert both(record_batch(0, [b"a", b"b", b"c"]), position=2) == ([2], 3)


def test_gzip_batches_are_read():
    assert both(record_batch(0, [b"a" * 500] * 50, codec=1)) == (list(range(50)), 50)


def test_control_batches_are_passed_over():
    data = record_batch(0, [b"a"], producer=7, transactional=True) + record_batch(
        1, [], producer=7, transactional=True, control=COMMIT
    )
    assert both(data) == ([0], 2)


def test_an_aborted_transaction_is_passed_over():
    data = (
        record_batch(0, [b"lost", b"lost"], producer=7, transactional=True)
        + record_batch(2, [b"other"], producer=8, transactional=True)
        + record_batch(3, [], producer=7, transactional=True, control=ABORT)
        + record_batch(4, [b"kept"], producer=7, transactional=True)
    )
    assert both(data, aborted=[(7, 0)]) == ([2, 4], 5)


def test_an_uncommitted_reader_gets_the_aborted_records_and_no_control_batch():
    data = record_batch(0, [b"lost"], producer=7, transactional=True) + record_batch(
        1, [], producer=7, transactional=True, control=ABORT
    )
    assert both(data, aborted=[(7, 0)], isolation=READ_UNCOMMITTED) == ([0], 2)


@pytest.mark.parametrize("take", [take_raw, take_plain])
def test_a_flipped_bit_is_an_error_not_a_record(take):
    data = bytearray(record_batch(0, [b"a" * 20]))
    data[-5] ^= 1
    with pytest.raises(CorruptRecordException):
        take(fetched(bytes(data)), TP0, 10)


def test_records_of_the_old_format_are_read():
    builder = LegacyRecordBatchBuilder(1, 0, 1 << 16)
    for n in range(3):
        builder.append(n, 1_000, b"k", b"v%d" % n)
    assert both(bytes(builder.build())) == ([0, 1, 2], 3)


def test_a_batch_is_closed_once_it_has_enough_records():
    data = b"".join(record_batch(3 * n, [b"v"] * 3) for n in range(4))
    result = fetched(data)
    assert [len(taken.records) for taken in iter(lambda: take_raw(result, TP0, 4), None)] == [6, 6]


def test_what_was_fetched_for_another_position_is_not_delivered():
    result = fetched(record_batch(0, [b"a"]))
    result._assignment.state.position = 5
    assert take_raw(result, TP0, 10) is None


def test_what_was_fetched_for_a_past_assignment_is_not_delivered():
    result = fetched(record_batch(0, [b"a"]))
    result._assignment.active = False
    assert take_raw(result, TP0, 10) is None


def test_where_the_log_begins_is_told_though_nothing_was_asked_there():
    assert take_raw(fetched(record_batch(40, [b"a"]), position=10), TP0, 10).begins == 40


values = st.one_of(st.none(), st.binary(max_size=40))
batches = st.lists(st.tuples(st.lists(values, min_size=1, max_size=6), st.sampled_from([-1, 5, 6]), st.booleans()), max_size=6)


@settings(max_examples=60, deadline=None)
@given(batches, st.integers(0, 8), st.integers(1, 9))
def test_raw_and_plain_path_agree_on_any_log(pieces, position, most):
    data, base, first = b"", 0, {}
    for contents, producer, lost in pieces:
        transactional = producer >= 0
        data += record_batch(base, contents, producer=producer, transactional=transactional)
        if transactional and lost:
            first.setdefault((producer, base), None)
        base += len(contents)
        if transactional:
            data += record_batch(base, [], producer=producer, transactional=True, control=ABORT if lost else COMMIT)
            base += 1
    if not data:
        return
    position = min(position, base - 1)
    raw = drain(take_raw, fetched(data, position, list(first)), most)
    assert raw == drain(take_plain, fetched(data, position, list(first)), most)


def test_a_batch_is_closed_once_its_records_are_far_apart_in_the_log():
    data = b"".join(record_batch(3 * n, [b"v"] * 3) for n in range(4))  # stamps 2 ms apart

    def sizes(span_ms):
        result = fetched(data)
        return [len(taken.records) for taken in iter(lambda: take_raw(result, TP0, 1_000, span_ms), None)]

    assert (sizes(2), sizes(3)) == ([3, 3, 3, 3], [12])

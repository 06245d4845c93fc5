"""From a fetched piece of a partition's log to a :class:`streams.batch.RawBatch`.

Two paths with one result. The plain one asks aiokafka for its ``ConsumerRecord`` objects, whose construction costs half of
the whole transport. The raw one takes the record objects of aiokafka's C parser as they are; it repeats, batch by batch,
what ``aiokafka.consumer.fetcher.PartitionRecords._unpack_records`` does for each record – CRC, control batches, aborted
transactions, records in front of the position – and is why aiokafka is pinned exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException

from streams.batch import RawBatch

#: Header by which a played-back record carries its original arrival (epoch milliseconds as text).
ARRIVAL_HEADER = "cw_arrival_ts"


class Taken:
    """What one fetch result gave: the records, where they stand, and the offset reading goes on at."""

    __slots__ = ("begins", "next_offset", "records")

    def __init__(self, records: list[Any], begins: int | None, next_offset: int) -> None:
        self.records = records
        #: Offset at which the log went on after the position asked for; None where nothing was there.
        self.begins = begins
        self.next_offset = next_offset


def take_raw(result: Any, tp: Any, most: int, span_ms: float = math.inf) -> Taken | None:
    """Record objects of whole record batches until there are at least ``most``, or they are further apart in the log's time
    than ``span_ms``; None where the result is stale.

    Raises aiokafka's CorruptRecordException on a CRC that does not fit.
    """
    if not result.has_more() or not result.check_assignment(tp):
        return None
    parts = result._partition_records
    log = parts._records
    records: list[Any] = []
    begins: int | None = None
    while len(records) < most and within(records, span_ms) and log.has_next():
        batch = log.next_batch()
        if parts._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {tp}")
        if _aborted(parts, batch) or batch.is_control_batch:
            begins = max(parts.next_fetch_offset, batch.base_offset) if begins is None else begins
            parts.next_fetch_offset = batch.next_offset
            continue
        try:
            chunk = list(batch)
        except UnicodeDecodeError:
            chunk = log.again(batch.base_offset)
        if chunk and chunk[0].offset < parts.next_fetch_offset:
            chunk = [record for record in chunk if record.offset >= parts.next_fetch_offset]
        if chunk and begins is None:
            begins = chunk[0].offset
        records += chunk
        parts.next_fetch_offset = batch.next_offset
    next_offset = parts.next_fetch_offset
    result._update_position()
    if not log.has_next():
        result._partition_records = None
    return Taken(records, begins, next_offset)


def within(records: Sequence[Any], span_ms: float) -> bool:
    """Whether the log's time from the first to the last of the records is less than ``span_ms``."""
    return not records or records[-1].timestamp - records[0].timestamp < span_ms


def _aborted(parts: Any, batch: Any) -> bool:
    """Whether the batch belongs to an aborted transaction; keeps the list of producers that are aborting."""
    if parts._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    parts._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch and parts._contains_abort_marker(batch):
        parts._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_transactional and batch.producer_id in parts._aborted_producers)


def take_plain(result: Any, tp: Any, most: int, span_ms: float = math.inf) -> Taken | None:
    """The same through aiokafka's public records, at most ``most`` of them, however far apart."""
    if not result.has_more() or not result.check_assignment(tp):
        return None
    state = result._assignment.state_value(tp)
    records = result.getall(most)
    return Taken(records, records[0].offset if records else None, state.position)


def raw_batch(topic: str, partition: int, records: list[Any], *, playback: bool = False) -> RawBatch:
    """Records of either path as parallel lists; in playback mode the header ``cw_arrival_ts`` replaces the arrival."""
    headers = [record.headers for record in records]
    some = any(headers)
    arrivals = [record.timestamp for record in records]
    if playback and some:
        arrivals = [_original_arrival(own, arrival) for own, arrival in zip(headers, arrivals, strict=True)]
    return RawBatch(
        topic,
        partition,
        _offsets(records),
        arrivals,
        [record.value for record in records],
        [record.key for record in records],
        [tuple(own) for own in headers] if some else None,
    )


def _offsets(records: list[Any]) -> list[int]:
    """Offsets of the records, which ascend: as far apart as they are many, there is no hole to look for."""
    if not records:
        return []
    first, last = records[0].offset, records[-1].offset
    if last - first == len(records) - 1:
        return list(range(first, last + 1))
    return [record.offset for record in records]


def _original_arrival(headers: Any, arrival: int) -> int:
    for name, value in headers:
        if name == ARRIVAL_HEADER and value is not None:
            try:
                return int(value)
            except ValueError:
                return arrival
    return arrival

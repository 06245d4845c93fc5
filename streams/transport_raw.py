"""From a fetched piece of a partition's log to a :class:`streams.batch.RawBatch`.

Two paths with one result. The plain one asks aiokafka for its ``ConsumerRecord`` objects, whose construction costs half of
the whole transport. The raw one takes columns (:mod:`streams.record_batch`), or where there are none the record objects of
aiokafka's C parser as they are; it repeats, batch by batch, what ``aiokafka.consumer.fetcher.PartitionRecords._unpack_records``
does for each record – CRC, control batches, aborted transactions, records in front of the position – and is why aiokafka is
pinned exactly.
"""

from __future__ import annotations

import math
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException

from streams.batch import RawBatch
from streams.record_batch import Columns, joined

#: Header by which a played-back record carries its original arrival (epoch milliseconds as text).
ARRIVAL_HEADER = "cw_arrival_ts"


class Run:
    """Records of one partition in the order of the log: pieces, each of them columns or a list of record objects."""

    __slots__ = ("_count", "pieces")

    def __init__(self, *pieces: Columns | list[Any]) -> None:
        self.pieces: list[Columns | list[Any]] = []
        self._count = 0
        for piece in pieces:
            self.add(piece)

    def add(self, piece: Columns | list[Any]) -> None:
        if len(piece):
            self.pieces.append(piece)
            self._count += len(piece)

    def __iadd__(self, other: Run) -> Run:
        self.pieces += other.pieces
        self._count += other._count
        return self

    def __len__(self) -> int:
        return self._count

    @property
    def last_offset(self) -> int:
        last = self.pieces[-1]
        return int(last.offsets[-1]) if isinstance(last, Columns) else int(last[-1].offset)

    @property
    def span_ms(self) -> float:
        """The log's time from the first to the last record; below zero where there is none."""
        return self._arrival(-1) - self._arrival(0) if self.pieces else -math.inf

    def _arrival(self, place: int) -> int:
        piece = self.pieces[place]
        return int(piece.arrivals[place]) if isinstance(piece, Columns) else int(piece[place].timestamp)

    def objects(self) -> list[Any]:
        """The record objects of a run that holds nothing else."""
        return [record for piece in self.pieces if isinstance(piece, list) for record in piece]


class Taken:
    """What one fetch result gave: the records, where they stand, and the offset reading goes on at."""

    __slots__ = ("begins", "next_offset", "records")

    def __init__(self, records: Run, begins: int | None, next_offset: int) -> None:
        self.records = records
        #: Offset at which the log went on after the position asked for; None where nothing was there.
        self.begins = begins
        self.next_offset = next_offset


def take_raw(result: Any, tp: Any, most: int, span_ms: float = math.inf) -> Taken | None:
    """Whole record batches until their records are at least ``most``, or further apart in the log's time than ``span_ms``;
    None where the result is stale.

    Raises aiokafka's CorruptRecordException on a CRC that does not fit.
    """
    if not result.has_more() or not result.check_assignment(tp):
        return None
    parts = result._partition_records
    log = parts._records
    records = Run()
    begins: int | None = None
    while len(records) < most and records.span_ms < span_ms and log.has_next():
        batch = log.next_batch()
        if parts._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {tp}")
        if _aborted(parts, batch) or batch.is_control_batch:
            begins = max(parts.next_fetch_offset, batch.base_offset) if begins is None else begins
            parts.next_fetch_offset = batch.next_offset
            continue
        piece = _behind(_piece(log, batch), parts.next_fetch_offset)
        if begins is None and len(piece):
            begins = _first_offset(piece)
        records.add(piece)
        parts.next_fetch_offset = batch.next_offset
    next_offset = parts.next_fetch_offset
    result._update_position()
    if not log.has_next():
        result._partition_records = None
        # An iterator that was never begun holds what holds it: megabytes of a fetch would wait for the garbage collector.
        parts._records_iterator = None
    return Taken(records, begins, next_offset)


def _piece(log: Any, batch: Any) -> Columns | list[Any]:
    """All records of the batch in hand."""
    found: Columns | None = log.columns()
    if found is not None:
        return found
    try:
        return list(batch)
    except UnicodeDecodeError:
        again: list[Any] = log.again()
        return again


def _behind(piece: Columns | list[Any], position: int) -> Columns | list[Any]:
    """The records from an offset on."""
    if not len(piece) or _first_offset(piece) >= position:
        return piece
    return piece.behind(position) if isinstance(piece, Columns) else [one for one in piece if one.offset >= position]


def _first_offset(piece: Columns | list[Any]) -> int:
    return int(piece.offsets[0]) if isinstance(piece, Columns) else int(piece[0].offset)


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
    return Taken(Run(records), records[0].offset if records else None, state.position)


def raw_batch(topic: str, partition: int, records: Run, *, playback: bool = False) -> RawBatch:
    """Records of either path as one batch; in playback mode the header ``cw_arrival_ts`` replaces the arrival."""
    columns = [piece for piece in records.pieces if isinstance(piece, Columns)]
    if not columns:
        return _of_objects(topic, partition, records.objects(), playback)
    if len(columns) == len(records.pieces):
        return joined(topic, partition, columns)
    parts = [
        joined(topic, partition, [piece]) if isinstance(piece, Columns) else _of_objects(topic, partition, piece, playback)
        for piece in records.pieces
    ]
    some = any(part.headers is not None for part in parts)
    return RawBatch(
        topic,
        partition,
        [offset for part in parts for offset in part.offsets],
        [arrival for part in parts for arrival in part.arrivals],
        [value for part in parts for value in part.values],
        [key for part in parts for key in part.keys],
        [own for part in parts for own in part.headers or [()] * len(part)] if some else None,
    )


def _of_objects(topic: str, partition: int, records: list[Any], playback: bool) -> RawBatch:
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

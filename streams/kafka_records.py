"""What was fetched, with its bytes: aiokafka's C parser makes an object a record and keeps the bytes to itself.

From the bytes a batch is read as columns (:mod:`streams.record_batch`). And they are what helps with a record whose header name
is no UTF-8 (:mod:`streams.header_names`): aiokafka's C parser gives up the batch, its Python parser then reads it once more.
"""

from __future__ import annotations

import struct
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from streams.header_names import LenientBuffer
from streams.record_batch import Columns, columns

#: A batch's first offset, and how many bytes follow.
_BEGINNING = struct.Struct(">qi")


def keep_what_is_fetched() -> None:
    """Make aiokafka's fetcher use :class:`KeptRecords`, in this whole process."""
    fetcher.MemoryRecords = KeptRecords


class KeptRecords:
    """aiokafka's ``MemoryRecords`` with the bytes they are parsed from."""

    def __init__(self, data: bytes) -> None:
        self._data, self._records = data, MemoryRecords(data)
        self.has_next, self.size_in_bytes = self._records.has_next, self._records.size_in_bytes
        #: Where the batch in hand begins and ends.
        self._at = self._end = 0

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        self._at = self._end
        self._end += _BEGINNING.size + _BEGINNING.unpack_from(self._data, self._at)[1]
        return batch

    def columns(self) -> Columns | None:
        """The records of the batch in hand as columns; None where they are left to aiokafka."""
        return columns(self._data, self._at, self._end)

    def again(self) -> list[Any]:
        """The records of the batch in hand, whatever its header names are."""
        batch: Any = _DefaultRecordBatchPy(self._data[self._at : self._end])
        batch._maybe_uncompress()
        batch._buffer = LenientBuffer(batch._buffer)
        return list(batch)

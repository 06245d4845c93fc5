"""Records whose header names are no UTF-8: the protocol says they are, but brokers do not look, and not every client does.

aiokafka's C parser gives up a whole batch for one such name, and so would every worker that comes to it, for ever. Kept
here are the bytes of what was fetched, so that such a batch can be read once more by aiokafka's Python parser, with the
replacement character in the place of what cannot be read.
"""

from __future__ import annotations

import struct
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

#: A batch's first offset, and how many bytes follow.
_BEGINNING = struct.Struct(">qi")


def keep_what_is_fetched() -> None:
    """Make aiokafka's fetcher use :class:`KeptRecords`, in this whole process."""
    fetcher.MemoryRecords = KeptRecords


class KeptRecords:
    """aiokafka's ``MemoryRecords`` with the bytes they are parsed from."""

    def __init__(self, data: bytes) -> None:
        self._data, self._records = data, MemoryRecords(data)
        self.has_next, self.next_batch = self._records.has_next, self._records.next_batch
        self.size_in_bytes = self._records.size_in_bytes

    def again(self, base_offset: int) -> list[Any]:
        """The records of one batch, whatever its header names are."""
        at = 0
        while True:
            begins, length = _BEGINNING.unpack_from(self._data, at)
            end = at + _BEGINNING.size + length
            if begins == base_offset:
                break
            at = end
        batch: Any = _DefaultRecordBatchPy(self._data[at:end])
        batch._maybe_uncompress()
        batch._buffer = _Buffer(batch._buffer)
        return list(batch)


class _Buffer(bytearray):
    """What the parser cuts out of it is decoded without an error."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Name(found) if isinstance(place, slice) else found


class _Name(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)

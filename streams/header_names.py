"""Header names that are no UTF-8. The protocol says they are, but brokers do not look, and not every client does.

The Python parsers of aiokafka and kafka-python give up a whole batch for one such name, and so would every worker and every
recorder that comes to it, for ever. Given a :class:`LenientBuffer` they read the batch, with the replacement character in the
place of what cannot be read.
"""

from __future__ import annotations

from functools import cache
from typing import Any


class LenientBuffer(bytearray):
    """What a parser cuts out of it is decoded without an error."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Name(found) if isinstance(place, slice) else found


class _Name(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


@cache
def read_any_name() -> None:
    """Make kafka-python read such batches, in this whole process."""
    import kafka.record.memory_records
    from kafka.record.default_records import DefaultRecordBatch

    class AnyNames(DefaultRecordBatch):  # type: ignore[misc]
        _buffer: Any

        def _read_msg(self, *rest: Any) -> Any:
            try:
                return super()._read_msg(*rest)
            except UnicodeDecodeError:
                # The position moves behind a record only when all of it was read.
                self._buffer = LenientBuffer(self._buffer)
                return super()._read_msg(*rest)

    kafka.record.memory_records.DefaultRecordBatch = AnyNames

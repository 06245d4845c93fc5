"""The record batches of a partition as they lie on the disk of a test's broker: what a producer really wrote.

Format: Kafka's record batch, version 2 (https://kafka.apache.org/documentation/#recordbatch).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tests.e2e.apache_kafka import ApacheKafka

_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_LENGTH_ENDS, _ATTRIBUTES, _COUNT = 12, 21, 57


class WrittenBatch(NamedTuple):
    base: int
    codec: str
    transactional: bool
    #: A transaction marker: it takes an offset and no reader sees it.
    control: bool
    count: int


def written(kafka: ApacheKafka, topic: str, partition: int) -> Iterator[WrittenBatch]:
    """In the order of offsets, of the broker's first node."""
    for segment in sorted((kafka.folder / "log1" / f"{topic}-{partition}").glob("*.log")):
        log, at = segment.read_bytes(), 0
        while at + _COUNT + 4 <= len(log):
            base, length = struct.unpack_from(">qi", log, at)
            if not length:
                break  # the rest of the file is room for more
            (attributes,) = struct.unpack_from(">h", log, at + _ATTRIBUTES)
            (count,) = struct.unpack_from(">i", log, at + _COUNT)
            yield WrittenBatch(base, _CODECS[attributes & 7], bool(attributes & 16), bool(attributes & 32), count)
            at += _LENGTH_ENDS + length

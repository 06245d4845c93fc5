"""Segments of a bag: Parquet files that each hold a run of records of one (topic, partition), in log order.

Any Parquet reader can look into them (``SELECT * FROM 'bag/segments/*.parquet'``). ``arrival_ts`` and ``event_ts`` are UTC
milliseconds; ``event_ts`` is null where the value names no time that can be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streams.batch import Headers, Int64, RawBatch
from streams.errors import Mend
from streams.packed import PAD, Packed

_MS = pa.timestamp("ms", tz="UTC")
_HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))

SCHEMA = pa.schema(
    [
        ("topic", pa.dictionary(pa.int32(), pa.string())),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", _HEADERS),
        ("event_ts", _MS),
        ("arrival_ts", _MS),
    ]
)

#: Below this a group compresses badly, above it a reader of one partition holds more than it needs.
ROWS_PER_GROUP = 32_768


def _times(values: Sequence[int | None]) -> Any:
    return pa.array(values, pa.int64()).cast(_MS)


def table(batch: RawBatch, event_ts: Sequence[int | None]) -> Any:
    """The batch as an Arrow table of :data:`SCHEMA`."""
    n = len(batch)
    headers: Any
    if batch.headers is None:
        headers = pa.nulls(n, _HEADERS)
    else:
        headers = pa.array(
            [[{"name": name, "value": value} for name, value in row] if row else None for row in batch.headers], _HEADERS
        )
    topic = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([batch.topic]))
    return pa.table(
        [
            topic,
            pa.array([batch.partition] * n, pa.int32()),
            pa.array(batch.offsets, pa.int64()),
            pa.array(batch.keys, pa.binary()),
            pa.array(batch.values, pa.binary()),
            headers,
            _times(event_ts),
            _times(batch.arrivals),
        ],
        schema=SCHEMA,
    )


def write_segment(path: Path, tables: Sequence[Any]) -> None:
    """Write tables of one (topic, partition), in log order, as one zstd-compressed file."""
    pq.write_table(
        pa.concat_tables(tables).combine_chunks(),
        path,
        compression="zstd",
        compression_level=3,
        row_group_size=ROWS_PER_GROUP,
        use_dictionary=["topic"],
        write_statistics=["offset", "event_ts", "arrival_ts"],
    )


def read_segment(path: Path, topic: str, partition: int, rows: int) -> Iterator[RawBatch]:
    """The records of a segment as batches of at most ``rows``; memory stays within one row group."""
    try:
        with pq.ParquetFile(path) as file:
            columns = ["offset", "key", "value", "headers", "arrival_ts"]
            for piece in file.iter_batches(batch_size=rows, columns=columns):
                yield _batch(piece, topic, partition)
    except (OSError, pa.ArrowException) as error:
        raise Mend(f"cannot be read as Parquet ({error})", str(path), "record or import the bag again") from error


def times_until(path: Path, cut: int) -> Any:
    """``arrival_ts`` and ``event_ts`` (ms) of a segment's rows in front of the first one that arrived after ``cut``."""
    times = pq.read_table(path, columns=["arrival_ts", "event_ts"])
    found = pa.table({name: times.column(name).cast(pa.int64()) for name in times.column_names})
    return found.slice(0, before(found.column("arrival_ts").to_numpy(), cut))


def before(arrivals: Int64, cut: int) -> int:
    """How many rows stand in front of the first one that arrived after ``cut``."""
    beyond = np.flatnonzero(arrivals > cut)
    return int(beyond[0]) if len(beyond) else len(arrivals)


def _batch(piece: Any, topic: str, partition: int) -> RawBatch:
    stored = piece.column("headers")
    headers: list[Headers] | None = None
    if stored.null_count < len(stored):
        headers = [[(pair["name"], pair["value"]) for pair in row or ()] for row in stored.to_pylist()]
    offsets = piece.column("offset").to_numpy(zero_copy_only=False)
    arrivals = piece.column("arrival_ts").cast(pa.int64()).to_numpy(zero_copy_only=False)
    return RawBatch(
        topic,
        partition,
        offsets.tolist(),
        arrivals.tolist(),
        _packed(piece.column("value")),
        _packed(piece.column("key")),
        headers,
        (offsets, arrivals),
    )


def _packed(column: Any) -> Packed:
    """The texts of a column, left where they stand."""
    column = column.cast(pa.binary())
    _, bounds, data = column.buffers()
    ends: Int64 = np.frombuffer(bounds, dtype=np.int32)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    first, last = int(ends[0]), int(ends[-1])
    sizes: Int64 = np.diff(ends)
    if column.null_count:
        sizes[column.is_null().to_numpy(zero_copy_only=False)] = -1
    held = memoryview(data)[first:last] if data is not None else b""
    return Packed(b"".join([held, PAD]), ends[:-1] - first, sizes)


def sha256(path: Path) -> str:
    """Hash of a file's bytes, read piece by piece."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise Mend(error.strerror or "cannot be read", str(path), "a bag keeps all of its segments; copy it again") from error
    return digest.hexdigest()

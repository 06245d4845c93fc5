"""Bringing records into the order of their arrival, however many there are.

Runs are sorted in memory and put aside as Arrow files; the merge takes one chunk of each run at a time, so memory stays
bounded by runs x chunk. The sort is stable: of two records that arrived at the same millisecond the one added first is first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from streams.batch import RawBatch

_SCHEMA = pa.schema([("arrival", pa.int64()), ("event", pa.int64()), ("key", pa.binary()), ("value", pa.binary())])
RUN_ROWS = 400_000
CHUNK_ROWS = 16_384


class ArrivalSort:
    """Collects the records of one (topic, partition) in any order and gives them back by arrival, with offsets 0, 1, 2 …

    Use as a context manager: what was put aside is removed at the end.
    """

    def __init__(self, topic: str, partition: int, run_rows: int = RUN_ROWS) -> None:
        self.topic, self.partition, self.rows = topic, partition, 0
        self._run_rows = run_rows
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._runs: list[Path] = []
        self._tail: Any = None
        self._clear()

    def _clear(self) -> None:
        self._arrival: list[int] = []
        self._event: list[int | None] = []
        self._key: list[bytes | None] = []
        self._value: list[bytes | None] = []

    def __enter__(self) -> ArrivalSort:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, arrival: int, event: int | None, key: bytes | None, value: bytes | None) -> None:
        self._arrival.append(arrival)
        self._event.append(event)
        self._key.append(key)
        self._value.append(value)
        self.rows += 1
        if len(self._arrival) >= self._run_rows:
            self._put_aside()

    def extend(
        self,
        arrival: Sequence[int],
        event: Sequence[int | None],
        key: Sequence[bytes | None],
        value: Sequence[bytes | None],
    ) -> None:
        self._arrival.extend(arrival)
        self._event.extend(event)
        self._key.extend(key)
        self._value.extend(value)
        self.rows += len(arrival)
        if len(self._arrival) >= self._run_rows:
            self._put_aside()

    def _run(self) -> Any:
        run = pa.table([self._arrival, self._event, self._key, self._value], schema=_SCHEMA)
        self._clear()
        return _by_arrival(run)

    def _put_aside(self) -> None:
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-sort-")))
        path = self._folder / f"{len(self._runs):06d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_table(self._run(), max_chunksize=CHUNK_ROWS)
        self._runs.append(path)

    def sorted(self) -> Iterator[tuple[RawBatch, list[int | None]]]:
        """Batches by arrival with the event times of their rows; may be read again, but nothing added after."""
        runs: list[Iterator[Any]] = [_chunks_of_file(path) for path in self._runs]
        if self._arrival:
            self._tail = self._run()
        if self._tail is not None:
            runs.append(_chunks_of_table(self._tail))
        offset = 0
        for piece in _merge(runs):
            n = piece.num_rows
            batch = RawBatch(
                self.topic,
                self.partition,
                list(range(offset, offset + n)),
                piece.column("arrival").to_pylist(),
                piece.column("value").to_pylist(),
                piece.column("key").to_pylist(),
            )
            offset += n
            yield batch, piece.column("event").to_pylist()


def _by_arrival(rows: Any) -> Any:
    arrival = rows.column("arrival").to_numpy()
    if len(arrival) < 2 or bool((arrival[1:] >= arrival[:-1]).all()):
        return rows
    return rows.take(pa.array(np.argsort(arrival, kind="stable")))


def _chunks_of_file(path: Path) -> Iterator[Any]:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for i in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(i)])


def _chunks_of_table(rows: Any) -> Iterator[Any]:
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        yield rows.slice(start, CHUNK_ROWS)


def _merge(runs: list[Iterator[Any]]) -> Iterator[Any]:
    """Chunk by chunk: whatever arrived before the last row of the run that is read least far is complete, and leaves."""
    held: list[Any | None] = [next(run, None) for run in runs]
    more = [True] * len(runs)
    while any(piece is not None for piece in held):
        for i, piece in enumerate(held):
            if more[i] and (piece is None or piece.num_rows < CHUNK_ROWS):
                following = next(runs[i], None)
                more[i] = following is not None
                if following is not None:
                    held[i] = following if piece is None else pa.concat_tables([piece, following])
        ends = [int(piece.column("arrival")[-1].as_py()) for piece, open_ in zip(held, more, strict=True) if piece and open_]
        ready: list[Any] = []
        for i, piece in enumerate(held):
            if piece is None:
                continue
            # A row that arrives exactly at the end may have equals in a chunk not read yet, so it waits for them.
            n = int(np.searchsorted(piece.column("arrival").to_numpy(), min(ends), side="left")) if ends else piece.num_rows
            ready.append(piece.slice(0, n))
            held[i] = piece.slice(n) if n < piece.num_rows else None
        piece = _by_arrival(pa.concat_tables(ready))
        if piece.num_rows:
            yield from _chunks_of_table(piece.combine_chunks())
        elif ends:
            # One millisecond fills a whole chunk of the slowest run: read further until something is complete.
            _read_on(held, runs, more)


def _read_on(held: list[Any | None], runs: list[Iterator[Any]], more: list[bool]) -> None:
    for i, piece in enumerate(held):
        if more[i]:
            following = next(runs[i], None)
            more[i] = following is not None
            if following is not None:
                held[i] = following if piece is None else pa.concat_tables([piece, following])

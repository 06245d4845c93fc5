"""The total order of a recording: (arrival, topic, partition, offset), taken window by window.

Partitions are independent in front of the incident stage, so nothing is gained by interleaving their records one by one. A
window is a stretch of arrival time for which every partition is known to be complete: the rows of each partition up to its
horizon, as large as the chunks allow. What is decided inside a window is merged by arrival afterwards.

Within a partition the order of the log stands above arrival: the clock of a row is the running maximum of arrivals (D8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from replay.recording import Recording
from streams.batch import Int64, RawBatch

CHUNK_ROWS = 16_384
Home = tuple[str, int]


@dataclass(slots=True)
class Window:
    """Rows of each partition with a clock ≤ ``horizon`` that no window before had; ``last``: nothing comes after it."""

    horizon: int
    rows: dict[Home, list[RawBatch]]
    last: bool


class _Reader:
    """One partition, read ahead by at least one chunk."""

    def __init__(self, chunks: Iterator[RawBatch]) -> None:
        self._chunks = chunks
        self._clock = -(2**63)
        self._held: list[tuple[RawBatch, Int64]] = []
        self.open = True
        self.read_on()

    def read_on(self) -> None:
        chunk = next(self._chunks, None)
        while chunk is not None and not len(chunk):
            chunk = next(self._chunks, None)
        if chunk is None:
            self.open = False
            return
        clock = np.maximum.accumulate(np.maximum(chunk.arrival_array, self._clock))
        self._clock = int(clock[-1])
        self._held.append((chunk, clock))

    @property
    def empty(self) -> bool:
        return not self._held

    @property
    def first(self) -> int | None:
        return int(self._held[0][1][0]) if self._held else None

    @property
    def known(self) -> int:
        """Every row up to this clock has been read."""
        return self._clock - 1

    def take(self, horizon: int) -> list[RawBatch]:
        taken: list[RawBatch] = []
        while self._held:
            chunk, clock = self._held[0]
            n = int(np.searchsorted(clock, horizon, side="right"))
            if n == len(chunk):
                taken.append(chunk)
                self._held.pop(0)
                continue
            if n:
                taken.append(chunk.cut(0, n))
                self._held[0] = (chunk.cut(n, len(chunk)), clock[n:])
            break
        return taken


class Merge:
    """Windows over some partitions of a recording.

    ``stop_before``: the next window ends before this arrival (a registry change is applied there), see :meth:`window`.
    """

    def __init__(self, recording: Recording, homes: list[Home], chunk_rows: int = CHUNK_ROWS) -> None:
        self._readers = {home: _Reader(recording.read(*home, rows=chunk_rows)) for home in homes}

    @property
    def first(self) -> int | None:
        """Clock of the earliest row that is not taken yet; None at the end."""
        firsts = [first for reader in self._readers.values() if (first := reader.first) is not None]
        return min(firsts, default=None)

    def window(self, until: int, stop_before: int | None = None) -> Window:
        """The next window. At the end of all partitions its horizon is ``until`` or the last row, whichever is later."""
        while True:
            for reader in self._readers.values():
                if reader.empty and reader.open:
                    reader.read_on()
            first = self.first
            known = [reader.known for reader in self._readers.values() if reader.open]
            horizon = min(known) if known else max([until, *(reader.known + 1 for reader in self._readers.values())])
            complete = not known
            if stop_before is not None and horizon >= stop_before:
                horizon, complete = stop_before - 1, False
            if complete or first is None or first <= horizon or (stop_before is not None and first >= stop_before):
                break
            # One moment fills a whole chunk: read on until it is complete.
            slowest = min((reader for reader in self._readers.values() if reader.open), key=lambda reader: reader.known)
            slowest.read_on()
        rows = {home: taken for home, reader in self._readers.items() if (taken := reader.take(horizon))}
        return Window(horizon, rows, complete)

"""The clock a contender carries: how many records it has done, since when, until when, and what it found in them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from typing import Any


class Clock:
    """Counts records; knows when the first came and when the work on the last was done. ``sensors`` are registered."""

    def __init__(self, wanted: int, *, sensors: int, check: bool, progress: bool) -> None:
        self.sensors = sensors
        self.wanted, self.count, self.began, self.ended = wanted, 0, 0.0, 0.0
        self.processor = 0.0
        self.done = asyncio.Event()
        self.check, self.progress = check, progress
        self.found: Counter[str] = Counter()
        #: Records that were done before the clock could be started, for engines that show nothing before their first commit.
        self.uncounted = 0

    def arrived(self) -> None:
        """Records came: the first call starts the clock."""
        if not self.began:
            self.began, self.processor = time.perf_counter(), -time.process_time()

    def worked(self, records: int) -> None:
        self.count += records
        if self.progress:
            print(self.count, flush=True)
        if self.count >= self.wanted and not self.ended:
            self.ended = time.perf_counter()
            self.processor += time.process_time()
            self.done.set()

    def as_json(self) -> dict[str, Any]:
        """``timed`` records took ``seconds``; ``processor`` is the time of all threads meanwhile."""
        told = {"records": self.count, "timed": self.count - self.uncounted, "seconds": self.ended - self.began}
        return told | {"processor": self.processor, "found": dict(self.found)}

    def saw(self, value: float) -> None:
        """With ``--check``: thousandths add up without rounding."""
        self.found["sum"] += round(value * 1000)


def warm() -> None:
    """The collector as a warm worker sets it (DESIGN, section 6); the same for everybody."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)

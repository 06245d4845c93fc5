"""The one clock of the worker and its commands; the pure core has none (D8)."""

from __future__ import annotations

import time
from collections.abc import Callable


def wall_ms() -> int:
    """UTC epoch milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


class LogClock:
    """The log's time as the worker knows it: the stamp of its last heartbeat record, and what has elapsed since it came back.

    Behind the broker's own clock by the record's way back, and never ahead of it; so a step of this machine's clock neither
    rushes the silence of sensors nor holds it up. ``elapsed`` gives seconds that only ever grow.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._beat: tuple[int, float] | None = None

    def beat(self, stamp_ms: int) -> None:
        """A record with this stamp has just come back. Thread safe."""
        self._beat = (stamp_ms, self._elapsed())

    def now(self) -> int | None:
        """Epoch ms; None before the first heartbeat.

        >>> seconds = iter([10.0, 12.5])
        >>> clock = LogClock(lambda: next(seconds))
        >>> clock.now(); clock.beat(1_700_000_000_000); clock.now()
        1700000002500
        """
        beat = self._beat
        return None if beat is None else beat[0] + round((self._elapsed() - beat[1]) * 1000)


def elapsed_s() -> float:
    """Seconds that only ever grow; for waiting and ages."""
    return time.monotonic()

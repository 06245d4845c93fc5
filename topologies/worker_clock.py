"""The one clock of the worker and its commands; the pure core has none (D8)."""

from __future__ import annotations

import time


def wall_ms() -> int:
    """UTC epoch milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


def elapsed_s() -> float:
    """Seconds that only ever grow; for waiting and ages."""
    return time.monotonic()

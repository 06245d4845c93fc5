"""Ctrl-C and SIGTERM as an event: what must end in order looks at it when it can, and is interrupted nowhere else."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def set_by_signals(stop: threading.Event, *, impatient: bool = False) -> Iterator[None]:
    """``stop`` is set by the first of them; ``impatient``: the second is a KeyboardInterrupt. Outside the main thread, which
    alone hears signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        if impatient and stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

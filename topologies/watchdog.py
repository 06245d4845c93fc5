"""Threads that end the process where it hangs: the watchdog while it works, the deadline while it ends.

The watchdog ends it when its own heartbeat record stops coming back (D1).

Consumers of this family are known to go silent without an error, and an event loop can hang where no exception shows. So the
event loop writes a heartbeat record every few seconds, saying when its intake last showed life, and this thread, with a
reader of its own, sees it come back through the broker. Too long without one and the process ends with
:data:`topologies.worker.EXIT_WATCHDOG`: the supervisor starts it again and the checkpoint says where to go on.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from streams.errors import Mend
from streams.kafka import LogReader

log = logging.getLogger(__name__)


class Heartbeat(Struct, kw_only=True, tag_field="schema_version", tag=1):
    """``sent_at`` and ``intake_at`` are epoch milliseconds on the worker's clock; ``intake_at`` is when a fetch last brought
    or proved something (0: nothing is assigned, so nothing can come)."""

    worker: str
    sent_at: int
    intake_at: int


_decode = msgspec.json.Decoder(Heartbeat).decode


class Watchdog:
    """``came_back()`` is called from the thread for each live heartbeat; ``end(exit_code)`` when none came for ``limit_s``.

    ``stamped(ms)`` gets the log's stamp of each of ours. ``reader`` makes the blocking reader of the heartbeat topic, from its
    present end on; it is made again where it fails.
    """

    def __init__(
        self,
        worker: str,
        reader: Callable[[], LogReader],
        *,
        limit_s: float,
        exit_code: int,
        came_back: Callable[[], None],
        stamped: Callable[[int], None] = lambda stamp_ms: None,
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker, self._reader = worker, reader
        self._limit_s, self._exit_code = limit_s, exit_code
        self._came_back, self._stamped, self._end, self._clock = came_back, stamped, end, clock
        self._last = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @property
    def age_s(self) -> float:
        """Since a live heartbeat last came back (or the watchdog was made)."""
        return self._clock() - self._last

    @property
    def alive(self) -> bool:
        return self.age_s < self._limit_s

    def start(self) -> None:
        self._last = self._clock()
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _watch(self) -> None:
        reader: LogReader | None = None
        while not self._stopping.is_set():
            try:
                if reader is None:
                    reader = self._reader()
                for record in reader.poll(0.2):
                    self.look(record.value, record.timestamp)
            except Mend as error:
                log.warning("heartbeats cannot be read: %s", error)
                reader = None
                self._stopping.wait(1.0)
            if not self.alive and not self._stopping.is_set():
                log.critical("no heartbeat came back for %.0f s: ending, to go on from the checkpoint", self.age_s)
                self._end(self._exit_code)
                return
        if reader is not None:
            reader.close()

    def look(self, value: bytes | None, stamp_ms: int = 0) -> None:
        """Judge one record of the heartbeat topic; others' and unreadable ones mean nothing."""
        if value is None:
            return
        try:
            beat = _decode(value)
        except msgspec.DecodeError:
            return
        if beat.worker != self._worker:
            return
        self._stamped(stamp_ms)
        if beat.intake_at and beat.sent_at - beat.intake_at > self._limit_s * 1000:
            # The loop lives, its consumer does not: as bad as no heartbeat.
            return
        self._last = self._clock()
        self._came_back()


class Deadline:
    """The process ends with ``exit_code()`` at the latest ``within_s`` after :meth:`start`, unless cancelled by then.

    Libraries wait for their threads without end. Whoever is stuck there has nothing to lose: what is checkpointed is safe and
    the rest is decided again, as after a kill. Where each thread stood is written to standard error, to be reported.
    """

    def __init__(self, within_s: float, *, end: Callable[[int], None] = os._exit) -> None:
        self._within_s, self._end = within_s, end
        self._cancelled = threading.Event()

    def start(self, exit_code: Callable[[], int]) -> None:
        threading.Thread(target=self._wait, args=(exit_code,), name="deadline", daemon=True).start()

    def cancel(self) -> None:
        self._cancelled.set()

    def _wait(self, exit_code: Callable[[], int]) -> None:
        if not self._cancelled.wait(self._within_s):
            faulthandler.dump_traceback(all_threads=True)
            log.critical("the end hangs since %.0f s: ended by force with exit code %d", self._within_s, exit_code())
            self._end(exit_code())

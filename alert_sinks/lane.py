"""One sink's lane of the outbox: who waits, who is under way, when the next attempt is due."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alert_sinks.sink import Delivery, Sink, SinkAway, SinkRefused

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential back-off with jitter of ± 50 %, in seconds; ``width``: incidents under way at once in one lane."""

    first_s: float = 0.1
    longest_s: float = 30.0
    width: int = 256

    def pause(self, attempts: int) -> float:
        # The exponent is capped so that a sink that was away for a week does not overflow a float.
        return min(self.longest_s, self.first_s * 2.0 ** min(attempts - 1, 30)) * random.uniform(0.5, 1.5)


class Lane:
    """Deliveries of one sink in the order of each incident's revisions.

    ``attempted(sink, delivery, result)`` is called after every attempt, on the event loop.
    """

    def __init__(self, sink: Sink, retry: Retry, attempted: Callable[[str, Delivery, str], None]) -> None:
        self.sink = sink
        #: Highest revision per incident that was ever queued: the delivery log of what is no news.
        self.offered: dict[str, int] = {}
        self.depth = 0
        self.empty = asyncio.Event()
        self.empty.set()
        self._retry = retry
        self._attempted = attempted
        self._waiting: dict[str, deque[Delivery]] = {}
        #: Incidents that may be attempted now, in the order they became ready.
        self._ready: deque[str] = deque()
        self._failures: dict[str, int] = {}
        self._away = 0
        self._paused_until = 0.0
        self._wake = asyncio.Event()
        self._flights: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._runner: asyncio.Task[None] | None = None

    def put(self, delivery: Delivery, remember: bool = True) -> None:
        key = delivery.incident_id
        if remember:
            self.offered[key] = delivery.revision
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque([delivery])
            self._ready.append(key)
        else:
            waiting.append(delivery)
        self.depth += 1
        self.empty.clear()
        self._wake.set()

    def start(self) -> None:
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._run(), name=f"outbox {self.sink.name}")

    async def stop(self) -> None:
        tasks = [task for task in (self._runner, *self._flights) if task is not None]
        for task in tasks:
            task.cancel()
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runner = None

    async def _run(self) -> None:
        while True:
            pause = self._paused_until - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            # While the server is away one delivery probes for all.
            width = 1 if self._away else self._retry.width
            while self._ready and len(self._flights) < width:
                key = self._ready.popleft()
                flight = asyncio.get_running_loop().create_task(self._fly(key))
                self._flights.add(flight)
                flight.add_done_callback(self._landed)
            self._wake.clear()
            await self._wake.wait()

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._wake.set()

    async def _fly(self, key: str) -> None:
        """Deliver the revisions of one incident until none is left or one fails."""
        waiting = self._waiting[key]
        while waiting:
            delivery = waiting[0]
            try:
                await self.sink.deliver(delivery)
            except SinkRefused as error:
                log.error("%s refuses %s revision %d for good: %s", self.sink.name, key, delivery.revision, error)
                self._done(key, "refused")
            except SinkAway as error:
                self._server_away(error)
                self._attempted(self.sink.name, delivery, "failed")
                self._ready.appendleft(key)
                return
            except Exception as error:  # whatever a sink's client raises must not end the lane
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                log.warning(
                    "%s: %s revision %d failed (%s), attempt %d", self.sink.name, key, delivery.revision, error, failures
                )
                self._attempted(self.sink.name, delivery, "failed")
                self._later(key, self._retry.pause(failures))
                return
            else:
                self._away = 0
                self._done(key, "delivered")
        del self._waiting[key]

    def _done(self, key: str, result: str) -> None:
        delivery = self._waiting[key].popleft()
        self._failures.pop(key, None)
        self.depth -= 1
        if self.depth == 0:
            self.empty.set()
        self._attempted(self.sink.name, delivery, result)

    def _server_away(self, error: Exception) -> None:
        """Pause the lane; the failures of deliveries that were under way together count as one."""
        now = time.monotonic()
        if now < self._paused_until:
            return
        if self._away == 0:
            log.warning("%s is away (%s); its deliveries wait", self.sink.name, error)
        self._away += 1
        self._paused_until = now + self._retry.pause(self._away)

    def _later(self, key: str, pause: float) -> None:
        def ready() -> None:
            self._timers.discard(timer)
            self._ready.append(key)
            self._wake.set()

        timer = asyncio.get_running_loop().call_later(pause, ready)
        self._timers.add(timer)

    def snapshot(self) -> dict[str, Any]:
        return {
            "pending": [delivery.snapshot() for waiting in self._waiting.values() for delivery in waiting],
            "offered": dict(self.offered),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        for item in saved["pending"]:
            self.put(Delivery.restore(item), remember=False)
        self.offered = dict(saved["offered"])

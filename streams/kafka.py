"""Kafka clients outside Faust: the producer of everything we write, and readers for the blocking side.

confluent-kafka produces (one C thread does the work, so the event loop never waits) and reads reference topics to their end;
kafka-python is the plain blocking client of commands and recorders. All producers partition by murmur2, as the Java client
does: librdkafka's own default puts the same key elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streams.kafka_clients import SILENT, blocking_admin, blocking_consumer, check_broker, partitions_of, unreachable
from streams.kafka_reader import Headers, LogReader, LogRecord, read_topic

__all__ = [
    "Headers",
    "LogReader",
    "LogRecord",
    "NotAcknowledged",
    "Producer",
    "blocking_admin",
    "blocking_consumer",
    "check_broker",
    "partitions_of",
    "read_topic",
    "unreachable",
]

PARTITIONER = "murmur2_random"

#: ``acknowledged(partition, offset)``, called in the producer's own thread.
Acknowledged = Callable[[int, int], None]


class NotAcknowledged(Exception):
    """Records that were handed over did not reach the log: whatever rests on them must not be written down as done."""

    def __init__(self, failures: list[str], count: int) -> None:
        self.failures, self.count = failures, count
        super().__init__(f"{count} records were not acknowledged: {'; '.join(failures)}")


class Producer:
    """Writes records with acks=all and idempotence; counts what the broker has acknowledged.

    ``linger_ms`` is how long a record may wait for company. ``config`` is passed to librdkafka as it is. A record may be
    at most ``max_bytes``. Thread safe; delivery reports are served by a thread of its own.
    """

    def __init__(
        self, broker: str, *, linger_ms: float = 2.0, max_bytes: int = 12_000_000, config: dict[str, Any] | None = None
    ) -> None:
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": broker,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": PARTITIONER,
                "linger.ms": linger_ms,
                "message.max.bytes": max_bytes,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 3,
                **(config or {}),
            },
            logger=SILENT,
        )
        self._lock = threading.Lock()
        # Records handed over since the last fence are counted under its number; a fence is passed once none before it is out.
        self._fence = 0
        self._outstanding: Counter[int] = Counter()
        self._waiting: list[tuple[int, Future[None]]] = []
        self._failures: list[str] = []
        self._failed = 0
        self._report = partial(self._delivered, 0, None)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="citywatch-producer", daemon=True)
        self._thread.start()

    # --- handing over ---------------------------------------------------------------------------------------------------

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | str | None = None,
        headers: Headers | None = None,
        *,
        partition: int = -1,
        timestamp_ms: int = 0,
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """Hand one record over. Waits (blocking) only when a million records are outstanding; see :meth:`wait_for_room`.

        Raises NotAcknowledged where librdkafka refuses the record at once (too large, unknown partition).
        """
        with self._lock:
            report = self._report if acknowledged is None else partial(self._delivered, self._fence, acknowledged)
            self._outstanding[self._fence] += 1
            fence = self._fence
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    partition,
                    on_delivery=report,
                    timestamp=timestamp_ms,
                    headers=list(headers) if headers else None,
                )
                return
            except BufferError:
                time.sleep(0.005)
            except (KafkaException, ValueError, TypeError) as refused:
                self._done(fence, None)
                raise NotAcknowledged([f"{topic}: {refused}"], 1) from refused

    @property
    def pending(self) -> int:
        """Records handed over and not acknowledged yet."""
        with self._lock:
            return self._outstanding.total()

    async def wait_for_room(self, most: int = 100_000) -> None:
        """Return once fewer than ``most`` records are outstanding, without holding the event loop."""
        while self.pending >= most:
            await asyncio.sleep(0.005)

    # --- knowing --------------------------------------------------------------------------------------------------------

    def _acknowledgement(self) -> Future[None]:
        """A future done once everything handed over before this call was acknowledged."""
        future: Future[None] = Future()
        with self._lock:
            fence = self._fence
            self._fence += 1
            self._report = partial(self._delivered, self._fence, None)
            self._waiting.append((fence, future))
        self._pass_fences()
        return future

    def flush_acknowledged(self, timeout_s: float | None = None) -> None:
        """Block until everything handed over so far is acknowledged.

        Raises NotAcknowledged where anything failed since the last call, TimeoutError after ``timeout_s``.
        """
        self._acknowledgement().result(timeout_s)

    async def acknowledged(self, timeout_s: float | None = None) -> None:
        """:meth:`flush_acknowledged` for the event loop."""
        await asyncio.wait_for(asyncio.wrap_future(self._acknowledgement()), timeout_s)

    def _delivered(self, fence: int, acknowledged: Acknowledged | None, error: KafkaError | None, message: Any) -> None:
        if error is None and acknowledged is not None:
            acknowledged(message.partition(), message.offset())
        self._done(fence, None if error is None else f"{message.topic()}: {error.str()}")

    def _done(self, fence: int, failure: str | None) -> None:
        with self._lock:
            self._outstanding[fence] -= 1
            emptied = not self._outstanding[fence]
            if emptied:
                del self._outstanding[fence]
            if failure is not None:
                self._failed += 1
                if len(self._failures) < 5:
                    self._failures.append(failure)
        if emptied and self._waiting:
            self._pass_fences()

    def _pass_fences(self) -> None:
        with self._lock:
            oldest = min(self._outstanding, default=self._fence)
            passed = [future for fence, future in self._waiting if fence < oldest]
            self._waiting = [(fence, future) for fence, future in self._waiting if fence >= oldest]
            failure = NotAcknowledged(self._failures, self._failed) if passed and self._failed else None
            if failure is not None:
                self._failures, self._failed = [], 0
        for future in passed:
            if not future.set_running_or_notify_cancel():
                continue
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(None)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)

    # --- the end --------------------------------------------------------------------------------------------------------

    def close(self, timeout_s: float = 10.0) -> None:
        """Wait for what is outstanding, at most this long, and stop the thread; :meth:`flush_acknowledged` tells."""
        if not self._closed.is_set():
            self._producer.flush(timeout_s)
            self._closed.set()
            self._thread.join()
            self._producer.poll(0)

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

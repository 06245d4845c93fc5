"""Kafka clients outside Faust: the producer of everything we write, and readers for the blocking side.

confluent-kafka produces (one C thread does the work, so the event loop never waits) and reads reference topics to their end;
kafka-python is the plain blocking client of commands and recorders. All producers partition by murmur2, as the Java client
does: librdkafka's own default puts the same key elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.errors import Mend

PARTITIONER = "murmur2_random"
#: What kafka-python is told the broker speaks. Asking the embedded broker, it gives up after 30 s; this much both speak.
KAFKA_PYTHON_API = (2, 3)

Headers = Sequence[tuple[str, bytes | None]]
#: ``acknowledged(partition, offset)``, called in the producer's own thread.
Acknowledged = Callable[[int, int], None]


class LogRecord(NamedTuple):
    """One record as it stands in the log; ``timestamp`` in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


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
            # Without a logger librdkafka writes connection trouble to the terminal; deliveries tell what matters.
            logger=_SILENT,
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


class LogReader:
    """Reads whole topics from an offset on, outside any consumer group: registry, mutes, incidents for the terminal.

    ``start`` is "earliest", "latest" or the offsets to begin at. Blocking; call it in a thread of its own from a worker.
    """

    def __init__(
        self,
        broker: str,
        topics: Sequence[str],
        *,
        start: str | dict[tuple[str, int], int] = "earliest",
        timeout_s: float = 10.0,
    ) -> None:
        self.broker = broker
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": broker,
                # Demanded by the library; nothing is ever committed under it.
                "group.id": f"citywatch-reader-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 12_000_000,
                "log_level": 3,
            },
            logger=_SILENT,
        )
        self._timeout_s = timeout_s
        try:
            #: Next offset to be read per (topic, partition).
            self.positions = self._begin(topics, start)
        except BaseException:
            self.close()
            raise
        self._consumer.assign([TopicPartition(topic, part, offset) for (topic, part), offset in self.positions.items()])

    def _begin(self, topics: Sequence[str], start: str | dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        positions: dict[tuple[str, int], int] = {}
        for topic in topics:
            for part in partitions_of(self._consumer, self.broker, topic, self._timeout_s):
                low, high = self._bounds(topic, part)
                if isinstance(start, dict):
                    positions[topic, part] = max(low, start.get((topic, part), low))
                else:
                    positions[topic, part] = high if start == "latest" else low
        return positions

    def _bounds(self, topic: str, part: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, part), timeout=self._timeout_s)
        except KafkaException as error:
            raise unreachable(self.broker, error) from error
        return low, high

    def read_to_end(self, timeout_s: float = 60.0) -> list[LogRecord]:
        """Every record up to the end each partition has at this moment. Raises Mend where the broker goes away meanwhile."""
        targets = {key: self._bounds(*key)[1] for key in self.positions}
        deadline = time.monotonic() + timeout_s
        records: list[LogRecord] = []
        while any(self.positions[key] < end for key, end in targets.items()):
            records += self.poll(0.2)
            if time.monotonic() > deadline:
                raise Mend(f"the end was not reached in {timeout_s:g} s", self.broker, "is the broker healthy?")
        return records

    def poll(self, timeout_s: float = 0.1, most: int = 5_000) -> list[LogRecord]:
        """What has come, at most ``most`` records; empty after ``timeout_s`` without any. Raises Mend on a fatal error."""
        records: list[LogRecord] = []
        for message in self._consumer.consume(most, timeout_s):
            key = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                self.positions[key] = message.offset() + 1
                records.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                # Behind the last record there may stand transaction markers: the end is what the broker says it is.
                self.positions[key] = max(self.positions[key], message.offset())
            elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Mend(error.str(), f"{self.broker}, {key[0]}", "run `citywatch topics create`")
        return records

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _record(message: Any) -> LogRecord:
    return LogRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
    )


def read_topic(broker: str, topic: str, timeout_s: float = 60.0) -> Iterator[LogRecord]:
    """Every record of a topic from its beginning to the end it has now, partition by partition order kept."""
    with LogReader(broker, [topic]) as reader:
        yield from reader.read_to_end(timeout_s)


def partitions_of(client: Any, broker: str, topic: str, timeout_s: float = 10.0) -> list[int]:
    """Partition numbers of a topic. Raises Mend where the broker is away or has no such topic."""
    try:
        metadata = client.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise unreachable(broker, error) from error
    if metadata.error is not None or not metadata.partitions:
        raise Mend(f"there is no topic {topic!r}", broker, "run `citywatch topics create`")
    return sorted(metadata.partitions)


def check_broker(broker: str, timeout_s: float = 5.0) -> str:
    """Cluster id of the broker (empty where it says none). Raises Mend where nobody answers."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": broker, "log_level": 0}, logger=_SILENT)
    try:
        return admin.list_topics(timeout=timeout_s).cluster_id or ""
    except KafkaException as error:
        raise unreachable(broker, error) from error


def unreachable(broker: str, error: object = None) -> Mend:
    """The one line for a broker that does not answer."""
    why = ""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        why = f" ({error.args[0].str()})"
    return Mend(f"no Kafka broker answers{why}", broker, "start one, or mend CITYWATCH_BROKER; `citywatch demo` needs none")


def blocking_consumer(broker: str, *topics: str, **settings: Any) -> Any:
    """kafka-python's consumer, from the beginning, without a group: the recorder's client. Raises Mend where nobody answers."""
    import kafka

    check_broker(broker)  # kafka-python connects when it likes, and would only log that it cannot
    return kafka.KafkaConsumer(
        *topics,
        **{
            "bootstrap_servers": broker.split(","),
            "api_version": KAFKA_PYTHON_API,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            **settings,
        },
    )


@contextlib.contextmanager
def blocking_admin(broker: str, **settings: Any) -> Iterator[Any]:
    """kafka-python's admin client. Raises Mend where nobody answers."""
    import kafka

    check_broker(broker)
    admin = kafka.KafkaAdminClient(**{"bootstrap_servers": broker.split(","), "api_version": KAFKA_PYTHON_API, **settings})
    try:
        yield admin
    finally:
        admin.close()


def _silent_logger() -> Any:
    import logging

    logger = logging.getLogger("citywatch.librdkafka")
    logger.setLevel(logging.CRITICAL)
    return logger


_SILENT = _silent_logger()

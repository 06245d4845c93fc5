"""The sinks' own producer: each record is awaited, and an alert never queues behind a storm of quarantined readings.

The stages' outputs go through :class:`streams.kafka.Producer`, whose acknowledgements are awaited together at a checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from alert_sinks.sink import SinkAway, SinkRefused
from streams.kafka import PARTITIONER

Headers = list[tuple[str, bytes]]

#: The broker will never take this record, however often it is offered.
_FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_MSG,
    }
)

_SILENT = logging.getLogger("citywatch.librdkafka")


class SinkProducer:
    """An :class:`alert_sinks.publisher.Publisher` on Kafka; made and used on one event loop."""

    def __init__(self, broker: str, *, linger_ms: float = 0.5) -> None:
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": broker,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": PARTITIONER,
                # A person waits for these; a moment still lets the two topics of one incident travel together.
                "linger.ms": linger_ms,
                "message.max.bytes": 12_000_000,
                "message.timeout.ms": 30_000,
                "log_level": 3,
            },
            logger=_SILENT,
        )
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="citywatch-sink-producer", daemon=True)
        self._poller.start()

    async def publish(self, topic: str, key: str, value: bytes | None, headers: Headers | None = None) -> None:
        """Write one record and return when all in-sync replicas have it; see the protocol for what it raises."""
        done: asyncio.Future[None] = self._loop.create_future()

        def resolve(error: KafkaError | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            elif error.code() in _FOR_GOOD:
                done.set_exception(SinkRefused(error.str()))
            else:
                done.set_exception(SinkAway(error.str()))

        def delivered(error: KafkaError | None, _message: Any) -> None:
            self._tell(resolve, error)

        try:
            self._producer.produce(
                topic, value=value, key=key.encode(), headers=list(headers) if headers else None, on_delivery=delivered
            )
        except BufferError as error:
            raise SinkAway(str(error)) from error
        except KafkaException as error:
            resolve(error.args[0])
        await done

    async def close(self, timeout_s: float = 1.0) -> None:
        """What is not acknowledged after ``timeout_s`` is still pending in the outbox of the last checkpoint."""
        await asyncio.to_thread(self._producer.flush, timeout_s)
        self._stopping.set()
        await asyncio.to_thread(self._poller.join, 1.0)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)

    def _tell(self, call: Callable[..., Any], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

"""The Faust transport ``citywatch://host:port``: one poll of one partition is one event.

    app = make_app("citywatch", "127.0.0.1:9092")
    readings = app.topic("city.sensor.readings", schema=BatchSchema())

    @app.agent(readings)
    async def detect(stream):
        async for event in stream.noack().events():
            batch = event.value              # streams.batch.RawBatch
            ...                              # keep the event; after a checkpoint, in order: event.ack()

One core, 57-byte records: an agent that gets one event per record ran at 10,500 a second, the same agent fed by batches at
800,000. The hooks below are what a worker with checkpoints of its own sets before the app starts; all of them are
called in the app's event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import faust
from faust.transport import drivers
from faust.transport.drivers.aiokafka import Transport
from faust.types import TP
from yarl import URL

from streams.errors import Mend
from streams.transport_consumer import BatchConsumer
from streams.transport_offsets import LogPositions
from streams.transport_options import TransportOptions
from streams.transport_schema import BatchSchema, batch_topics
from streams.transport_tables import NoTables

__all__ = ["TP", "BatchSchema", "BatchTransport", "TransportOptions", "make_app", "release", "stop_app"]

SCHEME = "citywatch"

MarksProvider = Callable[[set[TP]], Awaitable[Mapping[TP, int | None]]]
Settle = Callable[[set[TP]], Awaitable[None]]
OnIdle = Callable[[TP, int, int], None]
OnGap = Callable[[TP, int, int], None]


class BatchTransport(Transport):
    """aiokafka's transport with batches for the topics that carry :class:`BatchSchema`."""

    Consumer = BatchConsumer

    def __init__(self, url: list[URL], app: Any, loop: Any = None) -> None:
        super().__init__(url, app, loop)
        self.options = TransportOptions()
        #: Full names of the topics that deliver batches; known once the app subscribes.
        self.batched: frozenset[str] = frozenset()
        self.positions = LogPositions()
        #: ``await marks_provider(assigned)``: next offset to read of each partition by our checkpoint; None (or absent)
        #: keeps Kafka's committed offset, or the beginning. Awaited after each assignment, before anything of it is delivered.
        self.marks_provider: MarksProvider | None = None
        #: ``await settle(assigned)``: write a checkpoint of what was processed and acknowledge it, now. Awaited on revoke and
        #: on shutdown, when no further event reaches an agent; the transport commits afterwards. May be awaited twice.
        self.settle: Settle | None = None
        #: ``on_idle(tp, next_offset, fetch_started_ms)``: a fetch begun at that wall time came back empty at the high water,
        #: and the last record before it ends at ``next_offset`` (transaction markers behind it are not seen). Batches may
        #: still wait for the agent: act only where the own next offset is the same.
        self.on_idle: OnIdle | None = None
        #: ``on_gap(tp, expected, got)``: the log went on at ``got``; ``got - expected`` records are missing.
        self.on_gap: OnGap | None = None

    def note_topics(self) -> None:
        """Learn which topics ask for batches (called when the consumer subscribes)."""
        self.batched = batch_topics(self.app)

    @property
    def missing(self) -> Counter[str]:
        """Records the log did not deliver, per topic, since the process began."""
        return self.positions.missing

    @property
    def consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self.app.consumer)

    def lags(self) -> dict[TP, int]:
        """High water minus reading position, per assigned partition."""
        return self.consumer._thread.lags()

    def pending(self) -> int:
        """Batches handed to agents and not acknowledged."""
        return self.consumer.in_flight.pending_total()

    def pause(self, tps: set[TP]) -> None:
        """Stop intake of these partitions (back-pressure); what was already drained is still delivered."""
        self.consumer.pause_partitions(tps)

    def resume(self, tps: set[TP]) -> None:
        """Go on with these partitions, as far as they are still assigned."""
        self.consumer.resume_partitions(tps & {TP(*tp) for tp in self.consumer.assignment()})

    async def committed(self, tps: set[TP]) -> dict[TP, int | None]:
        """Offsets the consumer group has committed; None where there is none."""
        return await self.consumer._thread.committed(tps)

    async def log_bounds(self, tps: set[TP]) -> dict[TP, tuple[int, int]]:
        """Earliest offset and end (the next one to be written) of each partition's log."""
        return await self.consumer._thread.log_bounds(tps)


def register() -> None:
    """Make Faust know ``citywatch://``."""
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:{BatchTransport.__name__}"


def release(event: Any) -> None:
    """Drop the records of a processed event and keep its acknowledgement.

    Between two checkpoints a worker holds thousands of events to acknowledge; holding their records too would be gigabytes.
    """
    event.value = None
    event.message.value = None


class App(faust.App):
    """Faust's app without a trace on the disk: its directories would be made in whatever folder it is started from, where a
    service may not write."""

    def _create_directories(self) -> None:
        """Tables live elsewhere (:class:`NoTables`), so nothing would ever be in them."""


def make_app(app_id: str, broker: str, *, options: TransportOptions | None = None, **settings: Any) -> faust.App:
    """A Faust app on this transport, with the settings that matter for batches and for brokers without admin calls.

    ``broker`` is ``host:port[,host:port…]``; ``app_id`` is the consumer group. ``settings`` go to :class:`faust.App` and win
    over the choices made here. The app's transport carries the hooks (:class:`BatchTransport`).
    """
    for name in ("aiokafka", "faust", "mode", "streams.transport_consumer", "streams.transport_thread"):
        logging.getLogger(name).setLevel(logging.WARNING)
    chosen: dict[str, Any] = {
        "broker": [URL(f"{SCHEME}://{address}") for address in addresses(broker)],
        # Topics are made from our own table; the embedded broker has no admin call at all.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        # Counts batches, not records.
        "stream_buffer_maxsize": 16,
        "consumer_auto_offset_reset": "earliest",
        "broker_commit_interval": 1.0,
        # A killed worker's partitions move after this; the embedded broker also lets a group that all have left wait for it.
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 3.0,
        "broker_max_poll_interval": 300.0,
        # Partitions that are added to a topic are noticed after this, not after minutes: nothing in them is read till then,
        # and whoever has moved there seems to be silent.
        "consumer_metadata_max_age_ms": 5_000,
        "store": "memory://",
        "TableManager": NoTables,
        "web_enabled": False,
        "debug": False,
    }
    app = App(app_id, **{**chosen, **settings})
    if options is not None:
        cast(BatchTransport, app.transport).options = options
    return app


async def stop_app(app: faust.App, within_s: float) -> bool:
    """Stop the app; whether it had stopped within ``within_s``. Where it had not, it is told to hurry and left behind.

    Not ``wait_for``: that waits until what it cancels has ended, and Faust goes on stopping where it is cancelled.
    """
    stopping = asyncio.ensure_future(app.stop())
    await asyncio.wait({stopping}, timeout=within_s)
    if not stopping.done():
        stopping.cancel()
        return False
    stopping.result()
    return True


def addresses(broker: str) -> list[str]:
    """``host:port`` parts of a broker setting.

    >>> addresses("a:9092, b:9093")
    ['a:9092', 'b:9093']
    """
    found = [part.strip() for part in broker.split(",") if part.strip()]
    for part in found:
        host, colon, port = part.rpartition(":")
        if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
            raise Mend(f"{part!r} is not host:port", "CITYWATCH_BROKER", "for example 127.0.0.1:9092")
    if not found:
        raise Mend("no address of a broker", "CITYWATCH_BROKER", "for example 127.0.0.1:9092")
    return found


register()

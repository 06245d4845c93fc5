"""How many records a second reach a Faust agent that only counts: batch transport, plain Faust, aiokafka's getmany.

    python -m benchmarks.transport_speed [--records N] [--bootstrap HOST:PORT]

Without an address the embedded broker is used, in a process of its own. It keeps about 5 MB per partition, so the records lie
in many partitions and reading, not writing, is timed. On Linux the reader is pinned to one core and the broker to the
others. Every reader starts from the beginning of the same log; the clock runs from its first records to its last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from streams.embedded.broker import EmbeddedBroker
from streams.kafka import Producer
from streams.transport import BatchSchema, TransportOptions, make_app

SIZE = 80
#: Per partition: 40,000 × 80 bytes with their framing stay below what the embedded broker keeps.
PER_PARTITION = 40_000


class Clock:
    """Counts records; knows when the first and the last of ``wanted`` came."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.count, self.began, self.ended = wanted, 0, 0.0, 0.0
        self.done = asyncio.Event()

    def add(self, records: int) -> None:
        if not self.count:
            self.began = time.perf_counter()
            self.first = records
        self.count += records
        if self.count >= self.wanted and not self.ended:
            self.ended = time.perf_counter()
            self.done.set()

    def rate(self) -> float:
        return (self.wanted - self.first) / (self.ended - self.began)


def quiet_collector() -> None:
    """The collector of a warm worker: what exists is left alone, and what comes is looked at seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


async def faust(bootstrap: str, topic: str, wanted: int, *, batched: bool, raw: bool = True) -> float:
    clock = Clock(wanted)
    options = TransportOptions(raw=raw, batch_records=1_000)
    app = make_app(f"bench-{uuid.uuid4()}", bootstrap, options=options, **({} if batched else {"stream_buffer_maxsize": 4096}))

    async def count_batches(stream):
        async for event in stream.noack().events():
            clock.add(len(event.value))
            event.ack()

    async def count_records(stream):
        async for _ in stream:
            clock.add(1)

    source = app.topic(topic, schema=BatchSchema()) if batched else app.topic(topic, value_type=bytes, value_serializer="raw")
    app.agent(source)(count_batches if batched else count_records)
    quiet_collector()
    await app.start()
    await asyncio.wait_for(clock.done.wait(), 120)
    await app.stop()
    return clock.rate()


async def getmany(bootstrap: str, topic: str, wanted: int) -> float:
    from aiokafka import AIOKafkaConsumer

    clock = Clock(wanted)
    reader = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=10, max_poll_records=4_000
    )
    quiet_collector()
    await reader.start()
    while not clock.done.is_set():
        for records in (await reader.getmany(timeout_ms=200)).values():
            clock.add(len(records))
    await reader.stop()
    return clock.rate()


async def confluent(bootstrap: str, topic: str, wanted: int) -> float:
    from confluent_kafka import Consumer

    clock = Clock(wanted)
    reader = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"bench-{uuid.uuid4()}", "auto.offset.reset": "earliest", "log_level": 0}
    )
    reader.subscribe([topic])
    quiet_collector()
    while not clock.done.is_set():
        messages = reader.consume(4_000, 0.2)
        if messages:
            clock.add(len([message.value() for message in messages]))
    reader.close()
    return clock.rate()


def fill(bootstrap: str, topic: str, partitions: int, records: int) -> None:
    value = (b'{"sensor_id":"GAS-W-00123","ts":1700000003000,"metric":"ch4","value":22.0}' + b" " * SIZE)[:SIZE]
    config = {"linger.ms": 50, "batch.num.messages": 1_000}
    with Producer(bootstrap, config=config) as producer:
        for n in range(records):
            producer.send(topic, value, b"GAS-W-%05d" % (n % 1_000), partition=n % partitions)
        producer.flush_acknowledged(120)


def compare(bootstrap: str, topic: str, records: int) -> dict[str, float]:
    """Records per second of each reader. The plain agent gets a twentieth of the records: it needs as long for them."""
    few = max(2_000, records // 20)
    runs: list[tuple[str, Callable[[], Awaitable[float]]]] = [
        ("batch transport, raw", lambda: faust(bootstrap, topic, records, batched=True)),
        ("batch transport, plain", lambda: faust(bootstrap, topic, records, batched=True, raw=False)),
        ("plain Faust agent", lambda: faust(bootstrap, topic, few, batched=False)),
        ("aiokafka getmany", lambda: getmany(bootstrap, topic, records)),
        ("confluent-kafka consume", lambda: confluent(bootstrap, topic, records)),
    ]
    return {name: asyncio.run(run()) for name, run in runs}  # type: ignore[arg-type]


def serve(topic: str, partitions: int, pipe: Any) -> None:
    """The embedded broker as a process, until the pipe is closed."""
    with EmbeddedBroker({topic: partitions}) as broker:
        pipe.send(broker.bootstrap)
        with contextlib.suppress(EOFError):
            pipe.recv()


def pin(process: int, cores: set[int]) -> None:
    """Keep a process on these cores, where the system can."""
    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(process, cores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--bootstrap", help="host:port of a broker that has the topic; default: the embedded one")
    parser.add_argument("--topic", default="bench")
    parser.add_argument("--partitions", type=int, help="of that topic (default: what the embedded broker needs)")
    arguments = parser.parse_args()
    partitions = arguments.partitions or max(1, -(-arguments.records // PER_PARTITION))
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    ours, theirs = multiprocessing.Pipe()
    broker = None
    if arguments.bootstrap is None:
        broker = multiprocessing.get_context("spawn").Process(target=serve, args=(arguments.topic, partitions, theirs))
        broker.start()
        pin(broker.pid or 0, set(cores[1:]))
    bootstrap = arguments.bootstrap or ours.recv()
    try:
        fill(bootstrap, arguments.topic, partitions, arguments.records)
        pin(0, set(cores[:1]) if len(cores) > 1 else set())
        for name, rate in compare(bootstrap, arguments.topic, arguments.records).items():
            print(f"{name:<26}{rate:>12,.0f} records/s")
    finally:
        if broker is not None:
            ours.send("end")
            broker.join()


if __name__ == "__main__":
    main()

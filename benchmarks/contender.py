"""One contender, as a process of its own: reads a topic from its beginning to its end and says how long that took.

    python -m benchmarks.contender NAME --bootstrap HOST:PORT --topic T --records N [--sensors N] [--core C] [--check] …

The clock runs from the arrival of the first records to the end of the work on the last. Printed is one JSON line:
``{"records", "timed", "seconds", "processor", "found"}``: wall time and processor time of all threads for the ``timed``
records, and ``found``, which lets contenders be compared: outcomes and alarms, and with ``--check`` the sum of all values.
Peers (:mod:`benchmarks.peers`) run the same way, with the Python of their own environment. CITYWATCH_REDIS says where
checkpoints go.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks import machine
from benchmarks.clock import Clock, warm
from benchmarks.job import SENSORS
from benchmarks.peers import PEERS

#: Of a worker five seconds; here a run takes no longer.
CHECKPOINT_S = 1.0


# --- ours -------------------------------------------------------------------------------------------------------------------


async def citywatch(clock: Clock, bootstrap: str, topic: str, rules: str = "four") -> None:
    """Faust agent on ``citywatch://``: decode, quality gate, detectors; checkpoints to Redis, acknowledged behind them."""
    from benchmarks.detect_speed import book
    from benchmarks.readings import TOPIC, count_signals, registry
    from detectors.warm import warm as compile_loops
    from streams.batch import RawBatch
    from streams.transport import BatchSchema, TransportOptions, make_app, release
    from topologies.checkpoints import Checkpoint, RedisStore, ShardKey
    from topologies.checkpoints.writing import Writer
    from topologies.detect import DetectStage
    from topologies.settings import Settings

    compile_loops()  # as a worker does before it asks for partitions
    stage = DetectStage(TOPIC, 0, book(rules), registry(clock.sensors))
    settings = Settings()
    options = TransportOptions(fetch_wait_ms=settings.fetch_wait_ms, batch_records=settings.batch_records)
    app = make_app(f"bench-{uuid.uuid4()}", bootstrap, options=options)
    key = ShardKey("detect", topic, 0)
    store = RedisStore(os.environ["CITYWATCH_REDIS"], f"bench-{uuid.uuid4()}")
    store.claim(key, 1)
    writer = Writer(store)
    waiting: list[Any] = []

    async def detect(stream: Any) -> None:
        async for event in stream.noack().events():
            clock.arrived()
            raw: RawBatch = event.value
            detected = stage.process(raw)
            clock.found.update(detected.outcomes)
            count_signals(detected.signals, clock.found)
            release(event)
            waiting.append(event)
            clock.worked(len(raw))

    async def checkpoint() -> None:
        events, waiting[:] = list(waiting), []
        if events:
            mark = events[-1].message.offset + 1
            state = Checkpoint(key, "bench", 1, 1, mark, stage.snapshot())
            await asyncio.to_thread(writer.write, state)
        for event in events:
            event.ack()

    async def checkpoints() -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            await checkpoint()

    app.agent(app.topic(topic, schema=BatchSchema()))(detect)
    warm()
    await app.start()
    writing = asyncio.create_task(checkpoints())
    await clock.done.wait()
    writing.cancel()
    await checkpoint()
    await app.stop()
    store.close()


async def citywatch_five(clock: Clock, bootstrap: str, topic: str) -> None:
    """The same with the default anomaly detector on top."""
    await citywatch(clock, bootstrap, topic, "five")


# --- the others -------------------------------------------------------------------------------------------------------------


async def plain_faust(clock: Clock, bootstrap: str, topic: str) -> None:
    """Stock Faust on its own transport: ``orjson.loads`` per event, nothing else."""
    import logging

    import faust
    import orjson

    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(logging.ERROR)
    folder = tempfile.TemporaryDirectory(prefix="citywatch-bench-")
    app = faust.App(
        f"bench-{uuid.uuid4()}",
        broker=f"kafka://{bootstrap}",
        datadir=folder.name,
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )

    async def read(stream: Any) -> None:
        async for value in stream:
            clock.arrived()
            if clock.count >= clock.wanted:
                continue
            record = orjson.loads(value)
            if clock.check:
                clock.saw(record["value"])
            clock.worked(1)

    app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))(read)
    warm()
    await app.start()
    await clock.done.wait()
    await app.stop()


async def aiokafka(clock: Clock, bootstrap: str, topic: str) -> None:
    """aiokafka's ``getmany`` and ``orjson.loads`` per record."""
    import orjson
    from aiokafka import AIOKafkaConsumer

    reader = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=10,
    )
    warm()
    await reader.start()
    while not clock.done.is_set():
        for records in (await reader.getmany(timeout_ms=200, max_records=4_000)).values():
            clock.arrived()
            decoded = [orjson.loads(record.value) for record in records]
            if clock.check:
                for record in decoded:
                    clock.saw(record["value"])
            clock.worked(len(decoded))
    await reader.stop()


def _consumed(clock: Clock, bootstrap: str, topic: str) -> Iterator[list[Any]]:
    """What a confluent-kafka consumer brings, up to 4,000 records at a time, until all is done."""
    from confluent_kafka import Consumer

    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "max.partition.fetch.bytes": 4 * 1024 * 1024,
            # By default it stops fetching for a second whenever 100,000 messages wait: 130,000 a second, whatever the machine.
            "fetch.queue.backoff.ms": 5,
            "log_level": 0,
        }
    )
    reader.subscribe([topic])
    warm()
    while not clock.done.is_set():
        messages = reader.consume(4_000, 0.2)
        if messages:
            clock.arrived()
            yield messages
    reader.close()


async def confluent(clock: Clock, bootstrap: str, topic: str) -> None:
    """A hand-written confluent-kafka loop and ``orjson.loads`` per record."""
    import orjson

    for messages in _consumed(clock, bootstrap, topic):
        decoded = [orjson.loads(message.value()) for message in messages]
        if clock.check:
            for record in decoded:
                clock.saw(record["value"])
        clock.worked(len(decoded))


async def confluent_statistics(clock: Clock, bootstrap: str, topic: str) -> None:
    """The same with msgspec's typed decode of the joined batch and a running mean and variance per sensor in numpy.

    No gate, no order of readings within a batch, no ladder, no alarm: what a good afternoon's script does.
    """
    import msgspec
    import numpy as np

    class Reading(msgspec.Struct):
        sensor_id: str
        ts: int
        metric: str
        value: float

    decode = msgspec.json.Decoder(list[Reading]).decode
    slots: dict[str, int] = {}
    count, total, squares = (np.zeros(clock.sensors) for _ in range(3))
    for messages in _consumed(clock, bootstrap, topic):
        decoded = decode(b"[" + b",".join([message.value() for message in messages]) + b"]")
        slot = np.array([slots.setdefault(record.sensor_id, len(slots)) for record in decoded])
        value = np.array([record.value for record in decoded])
        mean = total[slot] / np.maximum(count[slot], 1)
        spread = np.sqrt(np.maximum(squares[slot] / np.maximum(count[slot], 1) - mean * mean, 1e-9))
        beyond = (value >= 20.0) | ((np.abs(value - mean) / spread >= 12.0) & (count[slot] >= 30))
        clock.found["beyond"] += int(beyond.sum())
        count += np.bincount(slot, minlength=len(count))
        total += np.bincount(slot, value, minlength=len(count))
        squares += np.bincount(slot, value * value, minlength=len(count))
        if clock.check:
            for record in decoded:
                clock.saw(record.value)
        clock.worked(len(decoded))


async def hand_loop(clock: Clock, bootstrap: str, topic: str) -> None:
    """The same job by hand (:mod:`benchmarks.job_columns`): what a good week's script does, and the practical limit in Python.

    No dead letters, registry, regrouping, progress, explanations, mutable rules or state that can be saved.
    """
    import msgspec

    from benchmarks.job import Reading
    from benchmarks.job_columns import Sensors

    decode = msgspec.json.Decoder(list[Reading]).decode
    sensors = Sensors(clock.found)
    for messages in _consumed(clock, bootstrap, topic):
        decoded = decode(b"[" + b",".join([message.value() for message in messages]) + b"]")
        sensors.take(decoded, [message.timestamp()[1] for message in messages])
        if clock.check:
            for record in decoded:
                clock.saw(record.value)
        clock.worked(len(decoded))


CONTENDERS: dict[str, Callable[[Clock, str, str], Awaitable[None]]] = {
    "citywatch": citywatch,
    "citywatch_five": citywatch_five,
    "plain_faust": plain_faust,
    "aiokafka": aiokafka,
    "confluent": confluent,
    "confluent_statistics": confluent_statistics,
    "hand_loop": hand_loop,
}


def named(name: str) -> Callable[[Clock, str, str], Awaitable[None]]:
    """The contender of that name; a peer is only imported where its libraries are."""
    if name in PEERS:
        found: Callable[[Clock, str, str], Awaitable[None]] = importlib.import_module(f"benchmarks.peers.on_{name}").run
        return found
    return CONTENDERS[name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted([*CONTENDERS, *PEERS]))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--sensors", type=int, default=SENSORS, help="registered ones, for those who ask (default %(default)s)")
    parser.add_argument("--core", type=int)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--profile", help="file for cProfile's figures")
    given = parser.parse_args()
    machine.die_with_parent()
    # Before any library starts a thread: threads inherit the core.
    machine.pin([] if given.core is None else [given.core])

    async def run() -> Clock:
        clock = Clock(given.records, sensors=given.sensors, check=given.check, progress=given.progress)
        await named(given.name)(clock, given.bootstrap, given.topic)
        return clock

    if given.profile:
        import cProfile

        with cProfile.Profile() as profile:
            clock = asyncio.run(run())
        profile.dump_stats(given.profile)
    else:
        clock = asyncio.run(run())
    print(json.dumps(clock.as_json()), flush=True)
    if given.name in PEERS:
        # Some engines cannot be asked to end.
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Where reading goes on: after late acknowledgement, by the marks of a checkpoint, and after two ways to die."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from streams.kafka import Producer
from streams.transport import TP, TransportOptions, release
from tests.e2e.collecting import Collector, WorkerProcess, feed, until


def group() -> str:
    return f"try-{uuid.uuid4().hex[:8]}"


#: Small batches, so that a few records make many of them.
SMALL = TransportOptions(raw=False, batch_records=10)


async def read(world, topic, name, count, *, before=None, **choices):
    collector = Collector(world.bootstrap, topic, name, **choices)
    if before is not None:
        before(collector.transport)
    async with collector.running():
        await until(lambda: collector.count() >= count)
        await asyncio.sleep(0.1)
    return collector


def test_after_a_restart_reading_goes_on_behind_the_last_acknowledged_batch(world):
    topic, name = world.topic(), group()
    feed(world.bootstrap, topic, [b"%d" % n for n in range(100)])

    async def first():
        collector = Collector(world.bootstrap, topic, name, prompt=False, options=SMALL)
        async with collector.running():
            await until(lambda: collector.count() == 100)
            for event in collector.events[:4]:
                event.ack()
        return sum(map(len, collector.batches[:4]))

    acknowledged = asyncio.run(first())
    again = asyncio.run(read(world, topic, name, 100 - acknowledged))
    assert again.offsets() == list(range(acknowledged, 100))


def test_an_acknowledgement_behind_a_hole_is_not_committed(world):
    topic, name = world.topic(), group()
    feed(world.bootstrap, topic, [b"%d" % n for n in range(100)])

    async def run():
        collector = Collector(world.bootstrap, topic, name, prompt=False, options=SMALL)
        async with collector.running():
            await until(lambda: collector.count() == 100)
            for n in (0, 1, 3, 4, 5):
                collector.events[n].ack()
            await collector.app.consumer.commit()
            return await collector.transport.committed({TP(topic, 0)}), collector.batches[2].offsets[0]

    committed, hole = asyncio.run(run())
    assert committed == {TP(topic, 0): hole}


def test_a_released_event_can_still_be_acknowledged(world):
    topic, name = world.topic(), group()
    feed(world.bootstrap, topic, [b"v"] * 30)

    async def run():
        collector = Collector(world.bootstrap, topic, name, prompt=False, options=SMALL)
        async with collector.running():
            await until(lambda: collector.count() == 30)
            for event in collector.events:
                release(event)
            for event in collector.events:
                event.ack()
            await collector.app.consumer.commit()
            return await collector.transport.committed({TP(topic, 0)}), collector.transport.pending()

    assert asyncio.run(run()) == ({TP(topic, 0): 30}, 0)


def test_a_mark_of_the_checkpoint_goes_before_the_committed_offset(world):
    topic, name = world.topic(2), group()
    feed(world.bootstrap, topic, [b"%d" % n for n in range(100)], partitions=2)
    asyncio.run(read(world, topic, name, 100))

    def marks(transport):
        async def provide(assigned):
            return {tp: 20 if tp.partition == 0 else None for tp in assigned}

        transport.marks_provider = provide

    again = asyncio.run(read(world, topic, name, 30, before=marks))
    assert (again.offsets(0), again.offsets(1)) == (list(range(20, 50)), [])


def test_a_mark_outside_the_log_ends_the_worker_with_the_mend(world):
    topic = world.topic()
    feed(world.bootstrap, topic, [b"v"] * 10)

    async def run():
        collector = Collector(world.bootstrap, topic, group())

        async def provide(assigned):
            return dict.fromkeys(assigned, 11)

        collector.transport.marks_provider = provide
        async with collector.running():
            await until(lambda: collector.app.crashed)
            return str(collector.app.crash_reason), collector.count()

    reason, count = asyncio.run(run())
    assert count == 0
    assert "stands at offset 11, the log holds 0 to 10" in reason


def test_a_stopping_worker_settles_before_its_last_commit(world):
    topic, name = world.topic(), group()
    feed(world.bootstrap, topic, [b"v"] * 50)

    async def first():
        collector = Collector(world.bootstrap, topic, name, prompt=False)

        async def settle(assigned):
            for event in collector.events:
                event.ack()

        collector.transport.settle = settle
        async with collector.running():
            await until(lambda: collector.count() == 50)

    asyncio.run(first())
    feed(world.bootstrap, topic, [b"new"])
    assert asyncio.run(read(world, topic, name, 1)).values() == [b"new"]


def test_a_worker_that_never_acknowledges_stops_at_once(world):
    topic = world.topic()
    feed(world.bootstrap, topic, [b"v"] * 50)

    async def run():
        collector = Collector(world.bootstrap, topic, group(), prompt=False)
        await collector.app.start()
        await until(lambda: collector.count() == 50)
        await asyncio.wait_for(collector.app.stop(), 10)
        return collector.transport.pending()

    assert asyncio.run(run()) > 0


@pytest.mark.kafka
def test_records_that_retention_took_away_are_counted_as_missing(apache):
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    topic, name = apache.topic(), group()
    feed(apache.bootstrap, topic, [b"v"] * 100)
    told = []

    async def run():
        collector = Collector(apache.bootstrap, topic, name, options=SMALL)
        collector.transport.on_gap = lambda *gap: told.append(gap)
        async with collector.running():
            await until(lambda: collector.count() == 100)
            collector.transport.pause({TP(topic, 0)})
            await asyncio.sleep(0.3)
            await asyncio.to_thread(feed, apache.bootstrap, topic, [b"w"] * 50)
            admin = AdminClient({"bootstrap.servers": apache.bootstrap})
            for deleted in admin.delete_records([TopicPartition(topic, 0, 140)]).values():
                await asyncio.to_thread(deleted.result, 10)
            # What was fetched ahead is given up, as after a restart: reading goes on at the committed offset.
            await collector.app.consumer.seek(TP(topic, 0), 100)
            collector.transport.resume({TP(topic, 0)})
            await until(lambda: 149 in collector.offsets())
        return collector

    got = asyncio.run(run())
    assert got.offsets() == [*range(100), *range(140, 150)]
    assert (got.transport.missing[topic], told) == (40, [(TP(topic, 0), 100, 140)])


def everything(workers, partitions, count):
    return {(part, offset) for worker in workers for part, offset, _ in worker.lines()} >= {
        (part, offset) for part in range(partitions) for offset in range(count // partitions)
    }


def wait_for(done, seconds=40.0):
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)
    return done()


def test_two_workers_starting_a_new_group_at_once_lose_nothing(world, tmp_path):
    topic, name = world.topic(4), group()
    feed(world.bootstrap, topic, [b"%d" % n for n in range(8_000)], partitions=4)
    workers = [WorkerProcess(world.bootstrap, topic, name, tmp_path / f"{n}") for n in range(2)]
    try:
        # They go on joining, and so rebalancing, while records keep coming.
        with Producer(world.bootstrap) as producer:
            for n in range(8_000, 16_000):
                producer.send(topic, b"%d" % n, partition=n % 4)
                if n % 200 == 0:
                    producer.flush_acknowledged(30)
                    time.sleep(0.05)
            producer.flush_acknowledged(30)
        complete = wait_for(lambda: everything(workers, 4, 16_000))
    finally:
        codes = [worker.stop() for worker in workers]
    assert complete
    assert codes == [0, 0]


def test_a_killed_worker_costs_nothing_but_repetition(world, tmp_path):
    topic, name = world.topic(4), group()
    feed(world.bootstrap, topic, [b"%d" % n for n in range(4_000)], partitions=4)
    workers = [WorkerProcess(world.bootstrap, topic, name, tmp_path / f"{n}", late=5) for n in range(2)]
    try:
        wait_for(lambda: sum(len(worker.lines()) for worker in workers) >= 4_000)
        with Producer(world.bootstrap) as producer:
            for n in range(4_000, 8_000):
                producer.send(topic, b"%d" % n, partition=n % 4)
                if n == 6_000:
                    workers[0].kill()
            producer.flush_acknowledged(30)
        complete = wait_for(lambda: everything(workers, 4, 8_000))
    finally:
        for worker in workers:
            worker.stop()
    assert complete

"""What the batch transport does when the broker misbehaves (faults injected into the embedded one)."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from streams.embedded.broker import ApiKey, EmbeddedBroker
from streams.kafka import NotAcknowledged, Producer
from tests.e2e.collecting import Collector, feed, until

INVALID_REQUEST, REBALANCE_IN_PROGRESS, NOT_LEADER, MESSAGE_TOO_LARGE = 42, 27, 6, 10


@pytest.fixture
def broker():
    with EmbeddedBroker({"in": 2}) as broker:
        yield broker


async def collected(broker, count, *, after=None):
    collector = Collector(broker.bootstrap, "in", f"try-{uuid.uuid4().hex[:8]}")
    async with collector.running():
        if after is not None:
            await until(lambda: collector.count() > 0)
            await after()
        await until(lambda: collector.count() >= count)
    return collector


def test_a_refused_join_is_tried_again_instead_of_falling_silent(broker):
    feed(broker.bootstrap, "in", [b"%d" % n for n in range(100)], partitions=2)
    broker.fail_requests(ApiKey.SYNC_GROUP, [INVALID_REQUEST])
    got = asyncio.run(collected(broker, 100))
    assert (got.offsets(0), got.offsets(1)) == (list(range(50)), list(range(50)))


def test_a_fetch_that_fails_loses_and_repeats_nothing(broker):
    feed(broker.bootstrap, "in", [b"%d" % n for n in range(100)], partitions=2)

    async def trouble():
        broker.fail_requests(ApiKey.FETCH, [NOT_LEADER] * 5)
        await asyncio.to_thread(feed, broker.bootstrap, "in", [b"more"] * 100, partitions=2)

    got = asyncio.run(collected(broker, 200, after=trouble))
    assert (got.offsets(0), got.offsets(1)) == (list(range(100)), list(range(100)))


def test_a_broker_that_was_away_is_read_on_where_it_stopped(broker):
    feed(broker.bootstrap, "in", [b"%d" % n for n in range(100)], partitions=2)

    async def trouble():
        broker.node_down()
        await asyncio.sleep(0.5)
        broker.node_up()
        await asyncio.to_thread(feed, broker.bootstrap, "in", [b"more"] * 100, partitions=2)

    got = asyncio.run(collected(broker, 200, after=trouble))
    assert (got.offsets(0), got.offsets(1)) == (list(range(100)), list(range(100)))


def test_a_record_the_broker_refuses_fails_the_flush_that_covers_it(broker):
    with Producer(broker.bootstrap) as producer:
        broker.fail_requests(ApiKey.PRODUCE, [MESSAGE_TOO_LARGE])
        producer.send("in", b"refused", partition=0)
        with pytest.raises(NotAcknowledged, match="1 records were not acknowledged: in: "):
            producer.flush_acknowledged(20)
        producer.send("in", b"taken", partition=0)
        producer.flush_acknowledged(20)
    assert producer.pending == 0

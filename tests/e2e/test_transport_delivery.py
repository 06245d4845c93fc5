"""What an agent on the batch transport is given, on both brokers."""

from __future__ import annotations

import asyncio
import uuid

import aiokafka.codec
import pytest

from streams.kafka import Producer, read_topic
from streams.transport import TP, TransportOptions
from tests.e2e.collecting import Collector, feed, until


def group() -> str:
    return f"try-{uuid.uuid4().hex[:8]}"


async def collected(world, topic, count, **choices):
    collector = Collector(world.bootstrap, topic, group(), **choices)
    async with collector.running():
        await until(lambda: collector.count() >= count)
        await asyncio.sleep(0.1)
    return collector


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "plain"])
def test_every_record_arrives_once_and_in_order(world, raw):
    topic = world.topic(3)
    values = [b"value %d" % n for n in range(9_000)]
    feed(world.bootstrap, topic, values, partitions=3)
    got = asyncio.run(collected(world, topic, 9_000, options=TransportOptions(raw=raw)))
    assert [got.values(part) for part in range(3)] == [values[part::3] for part in range(3)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.kafka
def test_compressed_batches_are_read_like_plain_ones(apache, codec):
    if codec in ("snappy", "lz4", "zstd") and not getattr(aiokafka.codec, f"has_{codec}")():
        pytest.skip("aiokafka reads this codec where cramjam is installed")
    topic = apache.topic()
    values = [b"value %d" % n for n in range(2_000)]
    feed(apache.bootstrap, topic, values, **{"compression.type": codec})
    got = asyncio.run(collected(apache, topic, 2_000))
    assert got.values() == values


def test_headers_tombstones_and_keys_arrive_as_they_were_sent(world):
    topic = world.topic()
    with Producer(world.bootstrap) as producer:
        producer.send(topic, b"first", b"a", [("ce_id", b"1"), ("empty", None)])
        producer.send(topic, None, b"b")
        producer.send(topic, b"", None)
        producer.flush_acknowledged(30)
    got = asyncio.run(collected(world, topic, 3))
    rows = [
        (batch.keys[n], batch.values[n], tuple(batch.headers[n]) if batch.headers else ())
        for batch in got.batches
        for n in range(len(batch))
    ]
    assert rows == [(b"a", b"first", (("ce_id", b"1"), ("empty", None))), (b"b", None, ()), (None, b"", ())]


class NotUtf8(str):
    """A header name as a client sends it that does not look."""

    def encode(self, *_):
        return b"\xff\xfe"


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_header_name_that_is_no_utf8_costs_no_record(world, codec):
    import kafka

    topic = world.topic()
    headers = [[], [(NotUtf8("x"), b"1"), ("b", b"2")], []]
    client = kafka.KafkaProducer(
        bootstrap_servers=world.bootstrap.split(","), api_version=(2, 3), linger_ms=500, compression_type=codec
    )
    for number, given in enumerate(headers):
        client.send(topic, b"%d" % number, headers=given)
    client.flush(10)
    client.close()
    got = asyncio.run(collected(world, topic, 3))
    assert got.values() == [b"0", b"1", b"2"]
    assert [tuple(one) for batch in got.batches for one in batch.headers][1] == (("\ufffd\ufffd", b"1"), ("b", b"2"))
    assert [one.value for one in read_topic(world.bootstrap, topic)] == got.values()


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "plain"])
def test_a_value_of_ten_megabytes_is_delivered_though_a_fetch_asks_for_less(world, raw):
    topic = world.topic()  # of its own: the embedded broker keeps 5 MB, and would drop whatever stands beside it
    large = b"x" * 10_000_000
    feed(world.bootstrap, topic, [large])
    got = asyncio.run(collected(world, topic, 1, options=TransportOptions(raw=raw)))
    assert got.values() == [large]


def test_raw_and_plain_path_give_the_same_columns(world):
    topic = world.topic()
    with Producer(world.bootstrap) as producer:
        for n in range(500):
            producer.send(topic, b"v%d" % n if n % 7 else None, b"k%d" % n, [("n", b"%d" % n)] if n % 5 == 0 else None)
        producer.flush_acknowledged(30)

    def columns(raw):
        got = asyncio.run(collected(world, topic, 500, options=TransportOptions(raw=raw)))
        return [
            (b.offsets[n], b.arrivals[n], b.keys[n], b.values[n], tuple(b.headers[n]) if b.headers else ())
            for b in got.batches
            for n in range(len(b))
        ]

    assert columns(True) == columns(False)


def test_a_played_back_record_carries_its_original_arrival(world):
    topic = world.topic()
    with Producer(world.bootstrap) as producer:
        producer.send(topic, b"then", None, [("cw_arrival_ts", b"1700000000123")])
        producer.flush_acknowledged(30)
    got = asyncio.run(collected(world, topic, 1, options=TransportOptions(playback=True)))
    assert got.batches[0].arrivals == [1_700_000_000_123]


def test_an_idle_partition_is_told_of_with_its_end_and_when_the_fetch_began(world):
    topic = world.topic()
    feed(world.bootstrap, topic, [b"a", b"b", b"c"])
    got, told = asyncio.run(idle(world, topic))
    assert {(tp, next_offset) for tp, next_offset, _ in told} == {(TP(topic, 0), 3)}
    assert all(began >= got.batches[0].arrivals[-1] - 1_000 for _, _, began in told)


async def idle(world, topic):
    """A collector of the topic, and what it was told of its idle partition."""
    told = []
    collector = Collector(world.bootstrap, topic, group())
    collector.transport.on_idle = lambda *notice: told.append(notice)
    async with collector.running():
        await until(lambda: len(told) >= 3)
    return collector, told


def test_lag_is_what_lies_between_the_position_and_the_high_water(world):
    topic = world.topic()
    feed(world.bootstrap, topic, [b"v"] * 100)

    async def run():
        collector = Collector(world.bootstrap, topic, group())
        async with collector.running():
            await until(lambda: collector.count() == 100)
            read = collector.transport.lags()
            collector.transport.pause({TP(topic, 0)})
            await asyncio.to_thread(feed, world.bootstrap, topic, [b"w"] * 50)
            await until(lambda: collector.transport.lags()[TP(topic, 0)] == 50)
            return read, collector.transport.lags(), collector.count()

    assert asyncio.run(run()) == ({TP(topic, 0): 0}, {TP(topic, 0): 50}, 100)


def test_a_paused_partition_goes_on_without_a_hole_when_it_is_resumed(world):
    topic = world.topic(2)
    feed(world.bootstrap, topic, [b"%d" % n for n in range(200)], partitions=2)

    async def run():
        collector = Collector(world.bootstrap, topic, group(), options=TransportOptions(batch_records=10))
        with Producer(world.bootstrap) as producer:
            async with collector.running():
                await until(lambda: collector.count() >= 20)
                for n in range(40):
                    collector.transport.pause({TP(topic, 0)})
                    for part in [0, 1] * 5:
                        producer.send(topic, b"%d" % n, partition=part)
                    await producer.acknowledged(10)
                    collector.transport.resume({TP(topic, 0)})
                    await asyncio.sleep(0.01)
                await until(lambda: collector.count() >= 600)
        return collector

    got = asyncio.run(run())
    assert got.offsets(0) == list(range(300))


def transactions(apache, topic, kept):
    """Five records in each transaction, which is committed or aborted."""
    from confluent_kafka import Producer as Transactional

    producer = Transactional({"bootstrap.servers": apache.bootstrap, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(20)
    for n, keep in enumerate(kept):
        producer.begin_transaction()
        for _ in range(5):
            producer.produce(topic, b"%d" % n)
        producer.flush(20)
        (producer.commit_transaction if keep else producer.abort_transaction)(20)


@pytest.mark.kafka
@pytest.mark.parametrize(("kept", "next_offset"), [([True], 5), ([True, False], 5), ([False], 0)])
def test_a_partition_that_ends_in_markers_is_idle_behind_its_last_record(apache, kept, next_offset):
    topic = apache.topic()
    transactions(apache, topic, kept)
    got, told = asyncio.run(idle(apache, topic))
    assert got.offsets() == list(range(next_offset))
    assert {(tp, behind) for tp, behind, _ in told} == {(TP(topic, 0), next_offset)}


@pytest.mark.kafka
def test_records_of_an_aborted_transaction_are_never_delivered(apache):
    topic = apache.topic()
    transactions(apache, topic, [True, False, True, False])
    feed(apache.bootstrap, topic, [b"last"])
    for raw in (True, False):
        got = asyncio.run(collected(apache, topic, 11, options=TransportOptions(raw=raw)))
        assert got.values() == [b"0"] * 5 + [b"2"] * 5 + [b"last"]
        if raw:
            assert not got.transport.missing

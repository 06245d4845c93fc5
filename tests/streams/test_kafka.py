from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import KafkaError

from streams.embedded.broker import ApiKey, EmbeddedBroker
from streams.errors import Mend
from streams.kafka import (
    LogReader,
    NotAcknowledged,
    Producer,
    blocking_admin,
    blocking_consumer,
    check_broker,
    read_topic,
)

#: Keys and the partitions of eight the Java client's murmur2 puts them in (org.apache.kafka.common.utils.Utils.murmur2).
JAVA_PARTITIONS = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def broker():
    with EmbeddedBroker({"one": 1, "eight": 8, "empty": 1, "acked": 1, "async": 1, "refused": 1, "ended": 2}) as broker:
        yield broker


@pytest.fixture
def producer(broker):
    with Producer(broker.bootstrap) as producer:
        yield producer


def test_a_flush_returns_when_everything_is_acknowledged(broker, producer):
    for n in range(100):
        producer.send("one", b"%d" % n, b"key", [("n", b"%d" % n), ("none", None)])
    producer.flush_acknowledged(20)
    assert producer.pending == 0


def test_what_was_acknowledged_can_be_read_to_the_end(broker, producer):
    producer.send("acked", b"value", b"key", [("n", b"1"), ("none", None)])
    producer.flush_acknowledged(20)
    record = list(read_topic(broker.bootstrap, "acked", headers=True))[-1]
    assert (record.key, record.value, record.headers) == (b"key", b"value", (("n", b"1"), ("none", None)))


def test_keys_go_to_the_partitions_the_java_client_would_choose(broker, producer):
    chosen = {}
    for key in JAVA_PARTITIONS:
        producer.send("eight", b"v", key, acknowledged=lambda partition, offset, key=key: chosen.update({key: partition}))
    producer.flush_acknowledged(20)
    assert chosen == {key: (value & 0x7FFFFFFF) % 8 for key, value in JAVA_PARTITIONS.items()}


def test_the_event_loop_runs_on_while_it_waits_for_acknowledgement(broker, producer):
    async def run():
        broker.delay(300)
        try:
            producer.send("async", b"slow")
            turns = 0
            waiting = asyncio.ensure_future(producer.acknowledged(20))
            while not waiting.done():
                turns += 1
                await asyncio.sleep(0.005)
            await waiting
            return turns
        finally:
            broker.delay(0)

    assert asyncio.run(run()) > 5


def test_a_flush_of_nothing_returns_at_once(producer):
    producer.flush_acknowledged(1)
    assert producer.pending == 0


def test_a_value_too_large_for_the_producer_is_refused_at_once(broker):
    with Producer(broker.bootstrap, max_bytes=1_000) as small, pytest.raises(NotAcknowledged, match="too large"):
        small.send("refused", b"x" * 2_000)


def test_a_refused_value_is_not_waited_for(broker):
    with Producer(broker.bootstrap, max_bytes=1_000) as small:
        with pytest.raises(NotAcknowledged):
            small.send("refused", b"x" * 2_000)
        assert small.pending == 0


def test_a_reader_goes_on_where_it_was(broker, producer):
    with LogReader(broker.bootstrap, ["ended"]) as reader:
        producer.send("ended", b"first", partition=0)
        producer.flush_acknowledged(20)
        first = [record.value for record in reader.read_to_end()]
        producer.send("ended", b"second", partition=1)
        producer.flush_acknowledged(20)
        assert (first, [record.value for record in reader.read_to_end()]) == ([b"first"], [b"second"])


def test_a_reader_s_position_is_the_next_offset(broker, producer):
    with LogReader(broker.bootstrap, ["ended"]) as reader:
        reader.read_to_end()
        assert reader.positions == {("ended", part): end for part, end in ((0, 1), (1, 1))}


def test_a_reader_begins_at_the_offset_it_is_told(broker, producer):
    with LogReader(broker.bootstrap, ["ended"], start={("ended", 0): 1}) as reader:
        assert [record.partition for record in reader.read_to_end()] == [1]


def test_an_empty_topic_ends_at_once(broker):
    assert list(read_topic(broker.bootstrap, "empty")) == []


def test_a_topic_that_is_not_there_is_said_with_its_mend(broker):
    with pytest.raises(Mend, match="there is no topic 'nowhere'; run `citywatch topics create`"):
        list(read_topic(broker.bootstrap, "nowhere"))


def test_the_blocking_consumer_reads_from_the_beginning(broker, producer):
    producer.send("one", b"for the recorder")
    producer.flush_acknowledged(20)
    consumer = blocking_consumer(broker.bootstrap, "one", consumer_timeout_ms=20_000)
    try:
        assert next(iter(consumer)).offset == 0
    finally:
        consumer.close()


def test_the_blocking_admin_lists_the_topics(broker):
    with blocking_admin(broker.bootstrap) as admin:
        assert {"one", "eight"} <= set(admin.list_topics())


def test_a_broker_that_answers_tells_its_cluster(broker):
    assert check_broker(broker.bootstrap)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: check_broker(NOBODY, 0.5),
        lambda: LogReader(NOBODY, ["one"], timeout_s=0.5),
    ],
    ids=["check", "reader"],
)
def test_a_broker_that_does_not_answer_is_one_line(ask):
    with pytest.raises(Mend, match=r"127\.0\.0\.1:1: no Kafka broker answers .*; start one, or mend CITYWATCH_BROKER"):
        ask()


def test_a_partition_whose_leader_is_not_known_yet_is_asked_again():
    """A broker that was just started says so for a moment; a worker must not end for a person to mend it."""
    with EmbeddedBroker({"city.try": 1}) as broker:
        broker.fail_requests(ApiKey.LIST_OFFSETS, [KafkaError.NOT_LEADER_FOR_PARTITION] * 3)
        with LogReader(broker.bootstrap, ["city.try"]) as reader:
            assert reader.positions == {("city.try", 0): 0}


def test_a_partition_that_stays_without_a_leader_is_no_broker_that_answers():
    with EmbeddedBroker({"city.try": 1}) as broker:
        broker.fail_requests(ApiKey.LIST_OFFSETS, [KafkaError.NOT_LEADER_FOR_PARTITION] * 200)
        with pytest.raises(Mend, match="eader"):
            LogReader(broker.bootstrap, ["city.try"], timeout_s=0.5)

"""The load run: its feed sends what was asked for, a smoke run accounts for all of it. Times are not looked at."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import orjson
import pytest
from aiokafka.record.memory_records import MemoryRecords

from benchmarks.block_feed import BlockFeed, blocks
from benchmarks.load import Seen
from benchmarks.load_feed import LoadFeed, Size, assets, sensor, vehicle
from benchmarks.load_watch import Account, Sample
from streams.batch import RawBatch
from streams.codec import decode
from streams.embedded.broker import EmbeddedBroker
from streams.kafka import LogReader
from streams.partitioner import partition_of
from streams.topics import stream_of
from tests.benchmarks.smoke import quick

T0 = 1_795_000_000_000
SIZE = Size(readings=400.0, positions=20.0, video=2.5, calls=0.5, sensors=200, vehicles=10, wells=20)


class Kept:
    """A producer that keeps what it is given, by topic."""

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)

    def produce(self, topic, value, key):
        self.records[topic].append((key if isinstance(key, bytes) else key.encode(), value))


@pytest.fixture(scope="module")
def fed():
    feed = LoadFeed(SIZE, Kept(), opens=2.0)
    for _ in range(4 * 64):
        feed.slice(1.0, 1 / 64)  # exact in binary
    return feed


def test_each_stream_comes_at_its_rate(fed):
    assert fed.sent == {
        "city.sensor.readings": 1_600,
        "city.vehicle.positions": 80,
        "city.video.events": 10,
        "city.hotline.calls": 2,
    }


def test_every_record_can_be_read(fed):
    for topic, records in fed.producer.records.items():
        count = len(records)
        raw = RawBatch(topic, 0, list(range(count)), [0] * count, [value for _, value in records], [key for key, _ in records])
        assert decode(stream_of(topic, "city."), raw).dead == []


def test_sensors_and_vehicles_speak_equally_often_under_their_own_key(fed):
    for topic, field, names in (
        ("city.sensor.readings", "sensor_id", [sensor(number, SIZE.wells) for number in range(SIZE.sensors)]),
        ("city.vehicle.positions", "vehicle_id", [vehicle(number) for number in range(SIZE.vehicles)]),
    ):
        records = fed.producer.records[topic]
        assert all(orjson.loads(value)[field] == key.decode() for key, value in records)
        assert Counter(key.decode() for key, _ in records) == dict.fromkeys(names, 8)


def test_wells_that_were_high_twice_are_to_be_found(fed):
    high = Counter(key for key, value in fed.producer.records["city.sensor.readings"] if b'"value":62.5' in value)
    assert fed.decided == sum(count >= 2 for count in high.values()) > 0


def test_a_block_is_a_batch_of_one_partition_that_says_the_time_it_is_sent_at(fed):
    readings = list(fed.points())
    found = blocks(readings, 3, 40)
    assert sum(block.records for block in found) == len(readings) == SIZE.sensors - SIZE.wells
    for block in found:
        for ts in (T0, T0 + 12_345):
            batch = MemoryRecords(bytes(block.at(ts))).next_batch()
            assert batch.validate_crc()
            records = list(batch)
            assert {record.timestamp for record in records} == {ts}
            assert {orjson.loads(record.value)["ts"] for record in records} == {ts}
            assert {partition_of(record.key.decode(), 3) for record in records} == {block.partition}
            assert all(orjson.loads(record.value)["sensor_id"] == record.key.decode() for record in records)


def test_blocks_reach_the_broker_and_a_topic_that_is_none_is_told(fed):
    with EmbeddedBroker({"city.sensor.readings": 3}) as broker:
        feed = BlockFeed(broker.bootstrap, "city.sensor.readings", blocks(fed.points(), 3, 40))
        sent = sum(feed.owe(100.5, T0) for _ in range(20))
        feed.flush()
        with LogReader(broker.bootstrap, ["city.sensor.readings"]) as log:
            read = log.read_to_end()
        assert sent == len(read) > 1_900
        lost = BlockFeed(broker.bootstrap, "city.no.topic", blocks(fed.points(), 3, 40))
        with pytest.raises(RuntimeError, match="blocks cannot be written"):
            lost.owe(1_000, T0)
            lost.flush()


def test_the_registry_knows_everybody_and_when_to_expect_them():
    known = {asset.asset_id: asset.periods[0].interval_s for asset in assets(SIZE)}
    assert (len(known), known[sensor(0, 20)], known[vehicle(0)]) == (210, 0.5, 0.5)


def seen(**more):
    """A run in which nothing was wrong, and the worker was half a second behind."""
    account = Account({"t": 100}, {"processed": 98, "late": 2}, Counter(gas=3, device=1), [])
    samples = [Sample(float(at), SIZE.records / 2, 1e8, at / 2) for at in range(8)]
    run = Seen(SIZE, 2.0, samples, [10.0], {"sent": {"t": 100}, "decided": 3}, account, None, None)
    return replace(run, **more)


def test_a_run_without_fault_has_nothing_wrong():
    assert (seen().wrong(), seen().keeps_up) == ([], True)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"feed": {"sent": {"t": 101}, "decided": 3}}, "were sent"),
        ({"feed": {"sent": {"t": 100}, "decided": 4}}, "wells crossed"),
        ({"account": Account({"t": 100}, {"processed": 99}, Counter(gas=3), [])}, "1 rows are not accounted for"),
        ({"account": Account({"t": 100}, {"processed": 100}, Counter(gas=3), ["i revision 2"])}, "two bodies"),
    ],
)
def test_what_is_lost_or_told_twice_fails_the_run(change, word):
    (wrong,) = seen(**change).wrong()
    assert word in wrong


def test_a_worker_that_falls_behind_does_not_keep_up():
    assert not seen(plain=[Sample(float(at), SIZE.records * at, 1e8, at / 2) for at in range(8)]).keeps_up


def test_a_smoke_run_accounts_for_everything(tmp_path):
    figures = quick("benchmarks.load", tmp_path, 300)[0]["figures"]
    assert figures["account"]["missing"] == 0 and figures["account"]["conflicts"] == []
    assert figures["account"]["opened"]["gas"] == figures["feed"]["decided"] > 0
    assert sum(figures["account"]["outcomes"].values()) == sum(figures["feed"]["sent"].values())
    assert [one["times"] for one in figures["feed"]["stretches"]] == [1.0, 3.0, 1.0]

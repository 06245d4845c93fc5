"""Recorder and player against the embedded broker."""

import contextlib
import errno
import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka
import kafka
import pytest

import replay.record
from replay import bag_segments
from replay.bag import BagWriter
from replay.group import GroupProgress
from replay.opening import open_recording
from replay.play import Player
from replay.record import record
from streams.batch import RawBatch
from streams.codec import encode
from streams.embedded.broker import EmbeddedBroker
from streams.errors import Mend
from streams.kafka import Producer, read_topic
from streams.kafka_clients import KAFKA_PYTHON_API
from streams.records import Asset, Period

START = 1_700_000_000_000
READINGS, FIXES = "city.sensor.readings", "city.vehicle.positions"


@pytest.fixture
def broker() -> Iterator[str]:
    with EmbeddedBroker({READINGS: 3, FIXES: 1, "city.registry": 1}) as embedded:
        yield embedded.bootstrap


def bag(path: Path, rows: int = 60) -> Path:
    with BagWriter(path) as writer:
        writer.registry([Asset("S0", "sensor", [Period(from_=0, city="340100")])], revision=1)
        for topic, field, late in ((READINGS, "sensor_id", 0), (FIXES, "vehicle_id", 1)):
            arrivals = [START + 10 * i + late for i in range(rows)]
            values: list[bytes | None] = [json.dumps({field: f"S{i % 7}", "ts": ts}).encode() for i, ts in enumerate(arrivals)]
            writer.write(RawBatch(topic, 0, list(range(rows)), arrivals, values, [b"S%d" % (i % 7) for i in range(rows)]))
    return path


def test_a_played_recording_recorded_again_is_the_same(tmp_path: Path, broker: str) -> None:
    with Producer(broker) as producer:
        player = Player(bag(tmp_path / "a"), broker, producer, group=None)
        assert player.send_registry() == 1
        assert player.run() == 120
    recorded = record(broker, tmp_path / "b", playback=True)
    assert recorded.records == {READINGS: 60, FIXES: 60, "city.registry": 1}
    again = open_recording(tmp_path / "b")
    found = {
        (arrival, value)
        for topic, part in again.partitions()
        if topic == READINGS
        for batch in again.read(topic, part)
        for arrival, value in zip(batch.arrivals, batch.values, strict=True)
    }
    original = next(open_recording(tmp_path / "a").read(READINGS, 0))
    assert found == set(zip(original.arrivals, original.values, strict=True))
    assert again.manifest.partitions[READINGS] == 3


def test_every_played_record_carries_its_arrival(tmp_path: Path, broker: str) -> None:
    with Producer(broker) as producer:
        Player(bag(tmp_path / "a"), broker, producer, group=None).run()
    headers = [dict(one.headers)["cw_arrival_ts"] for one in read_topic(broker, FIXES, headers=True)]
    assert headers == [b"%d" % (START + 10 * i + 1) for i in range(60)]


def test_a_speed_ends_after_the_seconds_it_was_given(tmp_path: Path, broker: str) -> None:
    with Producer(broker) as producer:
        sent = Player(bag(tmp_path / "a"), broker, producer, speed=0.01).run(seconds=0.3)
    assert 0 < sent < 120


def test_a_group_that_never_read_is_behind_by_everything(tmp_path: Path, broker: str) -> None:
    with Producer(broker) as producer:
        Player(bag(tmp_path / "a"), broker, producer, group=None).run()
    lag = GroupProgress(broker, "nobody")
    try:
        assert lag.behind([READINGS, FIXES]) == 120
    finally:
        lag.close()


def test_recording_ends_at_the_high_water(tmp_path: Path, broker: str) -> None:
    with Producer(broker) as producer:
        producer.send(READINGS, b"{}", key="S1")
        producer.flush_acknowledged()
    recorded = record(broker, tmp_path / "b", topics=[READINGS])
    assert (recorded.records, recorded.stopped_by) == ({READINGS: 1}, "high_water")


def full_once(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None] = lambda: None) -> None:
    """The disk is full when the first segment is to be written; what is kept free is enough for all of them."""
    write, tried = bag_segments.write_segment, iter([True])

    def limited(path: Path, tables: Any) -> None:
        if next(tried, False):
            meanwhile()
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, tables)

    monkeypatch.setattr(bag_segments, "write_segment", limited)


def fetched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first poll has records of two partitions."""
    begin = replay.record.blocking_consumer

    def consumer(*words: Any, **options: Any) -> Any:
        begun = begin(*words, **options)
        poll = begun.poll

        def both(**options: Any) -> dict[Any, list[Any]]:
            found: dict[Any, list[Any]] = {}
            while len(found) < 2:
                for home, messages in poll(**options).items():
                    found.setdefault(home, []).extend(messages)
            begun.poll = poll
            return found

        begun.poll = both
        return begun

    monkeypatch.setattr(replay.record, "blocking_consumer", consumer)


def send_at(broker: str, topic: str, times: Iterable[int], partition: int = 0) -> None:
    with Producer(broker) as producer:
        for at in times:
            producer.send(topic, b"{}", key="S1", partition=partition, timestamp_ms=at)
        producer.flush_acknowledged()


def test_a_full_disk_leaves_what_had_been_read(tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send_at(broker, READINGS, range(START, START + 10))
    full_once(monkeypatch)
    with pytest.raises(Mend, match=r"No space left on device: the recording holds what arrived until 20\d\d-"):
        record(broker, tmp_path / "b")
    kept = open_recording(tmp_path / "b").manifest
    assert (kept.counts, kept.last_arrival_ts, kept.committed) == ({READINGS: 10}, START + 9, {})
    assert kept.cut_ts is not None


def test_a_partition_that_begins_when_all_had_been_read_does_not_make_it_worthless(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at(broker, READINGS, range(START, START + 10))
    later = int(time.time() * 1000) + 60_000
    full_once(monkeypatch, lambda: send_at(broker, FIXES, [later]))
    with pytest.raises(Mend, match="the recording holds what arrived until"):
        record(broker, tmp_path / "b")
    kept = open_recording(tmp_path / "b").manifest
    assert (kept.counts, kept.cut_ts) == ({READINGS: 10}, later - 1)


def test_a_full_disk_cuts_in_front_of_what_was_read_and_not_written(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first partition fills the disk; what was fetched of the other one with it is missing."""
    send_at(broker, READINGS, range(START, START + 10))
    send_at(broker, FIXES, range(START + 5, START + 15))
    monkeypatch.setattr(replay.record, "BagWriter", partial(BagWriter, segment_rows=1))
    fetched_together(monkeypatch)
    full_once(monkeypatch)
    with pytest.raises(Mend, match="the recording holds what arrived until"):
        record(broker, tmp_path / "b", topics=[READINGS, FIXES])
    kept = open_recording(tmp_path / "b").manifest
    assert kept.counts == {READINGS: 5}
    assert (kept.cut_ts, kept.last_arrival_ts) == (START + 4, START + 4)


def test_a_full_disk_in_front_of_what_was_read_leaves_nothing(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at(broker, READINGS, range(START, START + 10))
    send_at(broker, READINGS, range(START - 5, START + 15), partition=1)
    monkeypatch.setattr(replay.record, "BagWriter", partial(BagWriter, segment_rows=1))
    fetched_together(monkeypatch)
    full_once(monkeypatch)
    with pytest.raises(Mend, match="nothing of the recording could be kept; make room"):
        record(broker, tmp_path / "b", topics=[READINGS])
    assert not list(tmp_path.iterdir())


def test_a_recording_from_now_on_begins_with_the_registry_as_it_stands(tmp_path: Path, broker: str) -> None:
    assets = [Asset(name, "sensor", [Period(from_=0, city=city)]) for name, city in (("S1", "1"), ("S2", "2"), ("S1", "3"))]
    with Producer(broker) as producer:
        for asset in assets:
            producer.send("city.registry", encode(asset), key=asset.asset_id)
        producer.send("city.registry", b"{", key="S3")
        producer.send("city.registry", encode(Asset("S4", "sensor", [])), key="S4")
        producer.send("city.registry", None, key="S4")
        producer.send(READINGS, b"{}", key="S1")
        producer.flush_acknowledged()
    record(broker, tmp_path / "b", from_now=True, seconds=0.1)
    kept = open_recording(tmp_path / "b")
    assert kept.manifest.counts == {}
    assert kept.manifest.registry_revision == 6
    assert [(asset.asset_id, asset.periods[0].city) for asset in kept.registry()] == [("S1", "3"), ("S2", "2")]


def test_a_recording_from_now_on_needs_no_registry(tmp_path: Path) -> None:
    with EmbeddedBroker({READINGS: 1}) as embedded:
        recorded = record(embedded.bootstrap, tmp_path / "b", topics=[READINGS], from_now=True, seconds=0.1)
    assert recorded.stopped_by == "seconds"


def test_recording_for_some_seconds_ends_in_good_order(tmp_path: Path, broker: str) -> None:
    recorded = record(broker, tmp_path / "b", topics=[READINGS], seconds=0.1)
    assert recorded.stopped_by == "seconds"
    assert open_recording(tmp_path / "b").manifest.counts == {}


def test_the_progress_of_the_group_is_kept(tmp_path: Path) -> None:
    with EmbeddedBroker({"city.signals": 2, READINGS: 1}) as embedded:
        with Producer(embedded.bootstrap) as producer:
            for _ in range(5):
                producer.send("city.signals", b"{}", key="340100")
            producer.flush_acknowledged()
        (place,) = {(one.partition, one.offset) for one in read_topic(embedded.bootstrap, "city.signals") if one.offset == 3}
        consumer = confluent_kafka.Consumer({"bootstrap.servers": embedded.bootstrap, "group.id": "workers"})
        home = confluent_kafka.TopicPartition("city.signals", place[0], 3)
        consumer.commit(offsets=[home], asynchronous=False)
        consumer.close()
        record(embedded.bootstrap, tmp_path / "b", group="workers")
        record(embedded.bootstrap, tmp_path / "c", group="others")
        record(embedded.bootstrap, tmp_path / "d", group="workers", topics=[READINGS])
    kept = [open_recording(tmp_path / name).manifest.committed for name in "bcd"]
    # In the other partition the group has committed nothing: it has finished nothing there.
    assert kept == [{"city.signals/0": 0, "city.signals/1": 0} | {f"city.signals/{place[0]}": 3}, {}, {}]


class NoUtf8(str):
    def encode(self, *_: object) -> bytes:  # type: ignore[override]
        return b"\xff\xfe"


def test_a_header_name_that_is_no_utf_8_costs_no_record(tmp_path: Path, broker: str) -> None:
    with contextlib.closing(
        kafka.KafkaProducer(bootstrap_servers=broker, api_version=KAFKA_PYTHON_API, linger_ms=50, enable_idempotence=False)
    ) as foreign:
        for number in range(5):
            headers = [("plain", b"1")] if number != 3 else [(NoUtf8("name"), b"2"), ("plain", b"1")]
            foreign.send(READINGS, b"%d" % number, key=b"k", partition=0, headers=headers)
        foreign.flush(10)
    assert record(broker, tmp_path / "b", topics=[READINGS]).records == {READINGS: 5}
    (batch,) = open_recording(tmp_path / "b").read(READINGS, 0)
    assert list(batch.values) == [b"0", b"1", b"2", b"3", b"4"]
    assert batch.headers is not None
    assert [*batch.headers[3]] == [("\ufffd\ufffd", b"2"), ("plain", b"1")]
    assert [*batch.headers[4]] == [("plain", b"1")]


def test_a_group_that_may_not_be_asked_costs_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> dict[tuple[str, int], int]:
        raise Mend("is not allowed", "group workers", "ask for the right to describe it")

    monkeypatch.setattr(GroupProgress, "committed", refused)
    with EmbeddedBroker({"city.signals": 1}) as embedded:
        with Producer(embedded.bootstrap) as producer:
            producer.send("city.signals", b"{}", key="340100")
            producer.flush_acknowledged()
        recorded = record(embedded.bootstrap, tmp_path / "b", group="workers")
    assert recorded.records == {"city.signals": 1}
    assert open_recording(tmp_path / "b").manifest.committed == {}


def test_an_unknown_topic_is_named(tmp_path: Path, broker: str) -> None:
    with pytest.raises(Mend, match=r"city\.nothing"):
        record(broker, tmp_path / "b", topics=["city.nothing"])


def test_truth_beside_the_records_is_found(tmp_path: Path, broker: str) -> None:
    path = bag(tmp_path / "a")
    (path / "truth.jsonl").write_text('{"hazard_id":"H1","category":"gas","from_ts":1,"to_ts":2}\n')
    with Producer(broker) as producer:
        assert [row["hazard_id"] for row in Player(path, broker, producer).truth()] == ["H1"]

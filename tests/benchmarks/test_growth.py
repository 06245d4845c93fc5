"""The growth benchmark: its city is laid out as Kafka would, all of its readings are processed, goals are judged as written."""

from __future__ import annotations

import argparse

import orjson
import pytest

from benchmarks import growth, growth_shard
from benchmarks.growth_feed import EVERY_MS, City, sensor
from streams.partitioner import partition_of


def test_every_sensor_of_a_partition_speaks_once_in_ten_seconds():
    city = City(40, 3)
    seen = set()
    for partition in range(3):
        own = {sensor(n) for n in range(40) if partition_of(sensor(n), 3) == partition}
        first, second = (city.batch(partition, at, len(own)) for at in (0, len(own)))
        for batch in (first, second):
            readings = [orjson.loads(value) for value in batch.values]
            assert {reading["sensor_id"] for reading in readings} == own == {key.decode() for key in batch.keys}
            assert max(r["ts"] for r in readings) - min(r["ts"] for r in readings) < EVERY_MS
        assert second.offsets[0] == first.offsets[-1] + 1
        seen |= own
    assert len(seen) == 40


@pytest.fixture
def small(monkeypatch):
    """A sample of a hundred readings; this process's collector is left as it is."""
    monkeypatch.setattr(growth_shard, "LEAST", 100)
    monkeypatch.setattr(growth_shard, "WARM_BATCH", 20)
    monkeypatch.setattr(growth_shard, "warm", lambda: None)

    def measure(**given):
        usual = {"sensors": 60, "partitions": 1, "batch": 20, "rules": "four", "warm": 2, "rounds": 2, "checkpoint": False}
        return growth_shard.measure(argparse.Namespace(**usual | given))

    return measure


def test_all_readings_of_all_partitions_are_processed(small):
    told = small(partitions=2)
    # Two of every sensor to warm up, then two samples of a hundred, in whole turns of two batches of twenty.
    assert told["readings"] == 120 + 2 * 120
    assert len(told["us"]) == 2 and min(told["us"]) > 0


def test_a_checkpoint_is_written_read_and_restored_and_weighed(small):
    told = small(checkpoint=True, rules="five")
    assert told["state_bytes"] == told["checkpoint"][0]["bytes"] / 60 > 100
    parts = ("capture_ms", "encode_ms", "write_ms")
    assert all(one["whole_ms"] == pytest.approx(sum(one[part] for part in parts)) for one in told["checkpoint"])


def test_growth_is_judged_by_the_medians_of_the_smallest_and_the_largest():
    figures = {
        "four sensors": {"1000": [2.0, 1.0, 9.0], "10000": [9.0], "100000": [2.5]},
        "five sensors": {"1000": [2.0], "100000": [3.0]},
    }
    four, five = growth.goal(figures, "sensors", 1.3)
    assert "1.25: met" in four and "1.50: MISSED" in five

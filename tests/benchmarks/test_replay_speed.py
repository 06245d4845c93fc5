"""The replay benchmark: the command, and the scans beside it, take every reading of the bag that is written for them."""

from __future__ import annotations

import pytest

from benchmarks import replay_scan, replay_speed
from benchmarks.replay_speed import replay, write_bag
from replay.bag import Bag

READINGS, SENSORS = 2_000, 50


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    path = tmp_path_factory.mktemp("bag") / "dense"
    return path, write_bag(path, READINGS, SENSORS)


def test_the_bag_holds_the_readings_and_their_sensors(dense):
    manifest = Bag(dense[0]).manifest
    assert manifest.counts == {"city.sensor.readings": READINGS}
    assert manifest.registry_rows == SENSORS


def test_the_command_takes_every_reading(dense, tmp_path):
    assert replay(dense[0], "two", tmp_path / "out", [])["readings"] == READINGS


def test_a_scan_finds_the_values_that_were_written(dense):
    readings, total = replay_scan.pyarrow(sorted(map(str, (dense[0] / "segments").iterdir())))
    assert (readings, total()) == (READINGS, dense[1])


def test_duckdb_finds_them_too(dense):
    pytest.importorskip("duckdb", reason="DuckDB is in the environment of the peers")
    readings, total = replay_scan.duckdb(sorted(map(str, (dense[0] / "segments").iterdir())))
    assert (readings, total()) == (READINGS, dense[1])


def test_a_replay_that_loses_a_reading_fails_the_run(monkeypatch):
    monkeypatch.setattr(replay_speed, "replay", lambda *_: {"readings": 49, "seconds": 1.0})
    with pytest.raises(RuntimeError, match="two took 49 of 50 readings"):
        replay_speed.measure([], readings=50, rounds=1, python=None, sensors=10)

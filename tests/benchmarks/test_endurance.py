"""Smoke runs of soak, takeover and back-pressure, and what they make of what they see. Times and sizes are not looked at."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.back_pressure import Backlog, Hang
from benchmarks.back_pressure import table as pressure_table
from benchmarks.soak import FILLED_DAYS, QUICK, Sample, Seen
from benchmarks.soak import table as soak_table
from benchmarks.soak_feed import START, Soak, strangers
from tests.benchmarks.smoke import quick


def days(grows: float) -> Seen:
    resident = [round(1e9 * (1 + grows * day)) for day in range(1, 43)]
    return Seen([Sample(day, 1_000 * day, day, size, 500, 50, 10, 1) for day, size in enumerate(resident, 1)], 9.0)


def test_growth_is_counted_once_the_longest_memories_are_full():
    assert days(0.0).growth("resident", FILLED_DAYS) == 0.0
    assert days(0.01).growth("resident", FILLED_DAYS) == pytest.approx(0.28 / 1.28, rel=0.01)


def test_the_soak_shows_its_weeks_and_what_grew():
    shown = soak_table(days(0.01), Soak(42.0, 1, 1, 1, 1, 1))
    assert [row[0] for row in shown.rows] == ["7", "14", "21", "28", "35", "42"]
    assert "resident memory +21.9%, state +0.0%" in shown.notes[0]


def test_strangers_come_in_order_and_never_again():
    wires = list(strangers(QUICK))
    assert all(one.arrival_ts <= two.arrival_ts for one, two in pairwise(wires))
    heard: dict[bytes, list[int]] = {}
    for wire in wires:
        heard.setdefault(wire.key or b"", []).append(wire.arrival_ts)
    assert len(heard) == 2 * (QUICK.strangers + QUICK.strangers // 10)
    assert all(times[-1] - times[0] < 120 * 60_000 and times[0] >= START for times in heard.values())


def test_a_soak_of_two_days(tmp_path):
    (shown,) = quick("benchmarks.soak", tmp_path, 300)
    samples = shown["figures"]["samples"]
    assert [one["day"] for one in samples] == [1, 2]
    assert all(one["resident"] > 0 and one["detect"] > 0 for one in samples)


def test_what_comes_and_what_waited_is_decided_whole(tmp_path):
    (shown,) = quick("benchmarks.back_pressure", tmp_path, 300)
    assert all(one["readings"] > 1_000 and one["peak"] > 0 for one in shown["figures"]["backlogs"])


def test_memory_that_grows_with_the_backlog_or_behind_a_full_outbox_is_missed():
    hung = Hang(10_040, 1e9, 1.3e9, 1e9, 60.0, 0, 100, 99)
    shown = pressure_table(Backlog(100, 1e9, 1e9, 1.0), Backlog(100, 1.2e9, 1e9, 3.0), hung, "here")
    assert [row[-1] for row in shown.rows if row[-1] != "–"] == ["MISSED", "MISSED", "met", "MISSED"]


def test_another_worker_takes_over(tmp_path):
    (shown,) = quick("benchmarks.takeover", tmp_path, 300)
    (seen,) = shown["figures"]["seen"]
    assert seen["shards"] > 20 and seen["held"] > 0
    for ((noticed, loaded, caught_up),) in seen["gaps"].values():
        assert 0 <= noticed <= loaded <= caught_up

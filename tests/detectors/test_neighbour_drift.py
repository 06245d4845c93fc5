from __future__ import annotations

import math
import random

import pytest

from detectors.base import Measures
from tests.detectors.one_series import OneSeries

HOUR, DAY = 3600.0, 86_400.0
MEMBERS = ("a", "b", "c", "d", "e")


def play(days: int, leaves: float = 0.0, from_day: int = 10, together: float = 0.0, **params: float) -> list[Measures]:
    """Five gauges an hour apart with a common rhythm and offsets of their own; "c" leaves by so much a day."""
    rng = random.Random(2)
    detector = OneSeries("neighbour_drift", **params)
    told = []
    for hour in range(days * 24):
        common = 3 * math.sin(2 * math.pi * hour / 24) + together * hour / 24
        for i, name in enumerate(MEMBERS):
            away = leaves * max(hour / 24 - from_day, 0.0) if name == "c" else 0.0
            told.append(detector.row(10 + i + common + away + rng.gauss(0, 0.2), hour * HOUR + i, member=name))
    return told


def test_neighbours_that_stay_together_measure_little() -> None:
    told = [float(one.measure[0]) for one in play(30)]
    assert all(math.isnan(value) for value in told[: 7 * 24 * 5]) and max(told[8 * 24 * 5 :]) < 1.5


def test_a_member_that_leaves_slowly_is_told_and_named() -> None:
    told = play(24, leaves=0.2)
    beyond = [i for i, one in enumerate(told) if one.measure[0] >= 3]
    assert 12 * 120 < beyond[0] < 20 * 120
    last = told[-1]
    assert last.carriers is not None and last.carriers(0) == ["c"]
    assert last.explain is not None and last.explain(0).startswith("c is +")


def test_what_all_do_together_says_nothing() -> None:
    assert max(float(one.measure[0]) for one in play(25, together=0.5)[8 * 120 :]) < 1.5


def test_one_alarm_is_the_groups_whoever_speaks() -> None:
    assert {round(float(one.measure[0]), 6) >= 3 for one in play(25, leaves=0.3)[-20:]} == {True}


def test_single_wild_readings_are_no_drift() -> None:
    rng = random.Random(5)
    detector = OneSeries("neighbour_drift")
    told = []
    for hour in range(20 * 24):
        for i, name in enumerate(MEMBERS):
            wild = 500.0 if name == "c" and hour > 240 and hour % 48 == 0 else 0.0
            told.append(float(detector.row(10 + i + wild + rng.gauss(0, 0.2), hour * HOUR + i, member=name).measure[0]))
    assert max(told[8 * 120 :]) < 3


def test_where_it_went_is_usual_after_a_month() -> None:
    told = play(60, leaves=50.0, from_day=0, adopt_s=20 * DAY, warmup_s=1e9)
    assert all(math.isnan(float(one.measure[0])) for one in told)
    rng = random.Random(2)
    detector = OneSeries("neighbour_drift", adopt_s=10 * DAY)
    measures = []
    for hour in range(40 * 24):
        for i, name in enumerate(MEMBERS):
            moved = 5.0 if name == "c" and hour >= 240 else 0.0
            measures.append(float(detector.row(10 + i + moved + rng.gauss(0, 0.2), hour * HOUR + i, member=name).measure[0]))
    assert max(measures[11 * 120 : 15 * 120]) > 3 and max(measures[30 * 120 :]) < 3


def test_with_two_neighbours_only_nothing_is_known() -> None:
    detector = OneSeries("neighbour_drift", warmup_s=DAY)
    told = [detector.row(1.0 + i, hour * HOUR + i, member=name) for hour in range(100) for i, name in enumerate("abc")]
    assert all(math.isnan(float(one.measure[0])) for one in told)


def test_an_offset_and_a_scale_of_the_quantity_change_nothing() -> None:
    rng = random.Random(2)
    plain, moved = OneSeries("neighbour_drift"), OneSeries("neighbour_drift")
    for hour in range(12 * 24):
        for i, name in enumerate(MEMBERS):
            value = 10 + i + rng.gauss(0, 0.2)
            one, two = (d.row(v, hour * HOUR + i, member=name) for d, v in ((plain, value), (moved, 40 + 8 * value)))
            assert two.measure[0] == pytest.approx(one.measure[0], rel=1e-6, abs=1e-6, nan_ok=True)

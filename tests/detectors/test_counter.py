from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.detectors.one_series import OneSeries

HOUR = 3600.0


def meter(steps: list[float], start: float = 100.0) -> list[tuple[float, float]]:
    """Readings an hour apart that rise by ``steps``."""
    readings, total = [(0.0, start)], start
    for i, step in enumerate(steps):
        total += step
        readings.append(((i + 1) * HOUR, total))
    return readings


def test_a_rate_is_the_rise_over_the_time_whatever_the_sampling() -> None:
    assert OneSeries("counter", say="rate").measures([(0, 100), (HOUR, 102), (3 * HOUR, 112)])[1:] == [2.0, 5.0]


def test_the_first_reading_says_nothing() -> None:
    assert math.isnan(OneSeries("counter").measures([(0, 5.0)])[0])


def test_an_exchanged_meter_is_a_reset_and_its_interval_has_no_rate() -> None:
    readings = [*meter([2.0] * 10), (11 * HOUR, 0.5), (12 * HOUR, 2.5)]
    lost = OneSeries("counter").measures(readings)
    rates = OneSeries("counter", say="rate").measures(readings)
    assert lost[-2] == pytest.approx(1 - 0.5 / 120) and lost[-1] == 0.0
    assert math.isnan(rates[-2]) and rates[-1] == 2.0


@pytest.mark.parametrize("capacity", [0.0, 10_000.0])
def test_a_dial_that_begins_anew_has_rolled_over_and_lost_nothing(capacity: float) -> None:
    readings = [*meter([3.0] * 10, 9_968.0), (11 * HOUR, 1.0), (12 * HOUR, 4.0)]
    assert set(OneSeries("counter", capacity=capacity).measures(readings)[1:]) == {0.0}
    assert OneSeries("counter", capacity=capacity, say="rate").measures(readings)[1:] == [3.0] * 12


def test_a_register_of_sixteen_bits_rolls_over() -> None:
    readings = [*meter([100.0] * 10, 64_500.0), (11 * HOUR, 64.0)]
    assert OneSeries("counter", say="rate").measures(readings)[-1] == 100.0


def test_a_fall_near_the_end_of_the_dial_that_would_be_a_flood_is_a_reset() -> None:
    readings = [*meter([1.0] * 10, 9_500.0), (11 * HOUR, 400.0)]
    assert OneSeries("counter").measures(readings)[-1] > 0.9


def test_one_wrong_reading_costs_a_reset_and_no_rate_of_thousands() -> None:
    readings = [*meter([2.0] * 10, 5_000.0), (11 * HOUR, 0.0), (12 * HOUR, 5_024.0), (13 * HOUR, 5_026.0)]
    assert OneSeries("counter", say="rate").measures(readings)[-2:] == [2.0, 2.0]


def test_rounding_down_is_no_reset() -> None:
    assert OneSeries("counter", jitter=0.01).measures([(0, 5.0), (HOUR, 4.995)])[-1] == 0.0


def test_readings_of_one_moment_are_taken_together() -> None:
    assert OneSeries("counter", say="rate").measures([(0, 100), (HOUR, 102), (HOUR, 103), (2 * HOUR, 106)])[-1] == 4.0


def test_an_unusual_rate_is_told_of_a_meter_that_always_rises() -> None:
    rng = random.Random(4)
    readings = meter([2 + rng.gauss(0, 0.2) for _ in range(200)] + [9.0])
    told = OneSeries("counter", say="unusual").measures(readings)
    assert told[-1] > 8 and max(value for value in told[:-1] if value == value) < 8


def test_a_reset_is_no_unusual_rate() -> None:
    readings = [*meter([2 + 0.1 * (i % 3) for i in range(200)]), (201 * HOUR, 1.0), (202 * HOUR, 3.1)]
    assert all(not value > 8 for value in OneSeries("counter", say="unusual").measures(readings))


def test_it_says_the_fall_in_words() -> None:
    detector = OneSeries("counter")
    detector.row(1200.0, 0)
    told = detector.row(3.0, HOUR)
    assert told.explain is not None and told.explain(0) == "the meter fell from 1200 to 3"


@given(
    st.lists(st.integers(0, 50), min_size=30, max_size=60),
    st.integers(0, 9_999),
    st.sampled_from([10_000.0, 65_536.0]),
)
def test_rates_add_up_to_what_was_counted_through_any_rollover(steps: list[int], start: int, capacity: float) -> None:
    total, readings = capacity - 1000.0 + start % 1000, []
    for i, step in enumerate([0, *steps]):
        total += step
        readings.append((i * HOUR, total % capacity))
    rates = OneSeries("counter", say="rate", capacity=capacity, most=1e6).measures(readings)
    assert sum(rate for rate in rates if rate == rate) == pytest.approx(sum(steps))

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detectors.one_series import OneSeries


def test_the_first_row_says_nothing() -> None:
    assert math.isnan(OneSeries("rate_of_change", window_s=600).measures([(0, 5.0)])[0])


def test_a_rise_is_measured_against_the_lowest_value_in_the_window() -> None:
    assert OneSeries("rate_of_change", window_s=600).measures([(0, 5.0), (100, 3.0), (300, 4.5)])[-1] == pytest.approx(1.5)


def test_a_value_older_than_the_window_does_not_count() -> None:
    assert OneSeries("rate_of_change", window_s=600).measures([(0, 1.0), (400, 5.0), (700, 5.5)])[-1] == pytest.approx(0.5)


def test_after_a_gap_longer_than_the_window_nothing_has_moved() -> None:
    assert OneSeries("rate_of_change", window_s=600).measures([(0, 1.0), (5000, 9.0)])[-1] == 0.0


def test_a_falling_value_has_not_risen() -> None:
    assert OneSeries("rate_of_change", window_s=600).measures([(0, 5.0), (60, 3.0)])[-1] == 0.0


def test_a_fall_is_measured_where_falls_are_watched() -> None:
    assert OneSeries("rate_of_change", window_s=300, motion="fall").measures([(0, 0.35), (120, 0.28)])[-1] == pytest.approx(
        0.07
    )


def test_either_takes_the_larger_motion() -> None:
    detector = OneSeries("rate_of_change", window_s=600, motion="either")
    assert detector.measures([(0, 5.0), (60, 6.0), (120, 2.0)])[-1] == pytest.approx(4.0)


def test_the_expected_value_is_the_one_it_moved_away_from() -> None:
    detector = OneSeries("rate_of_change", window_s=600)
    detector.row(3.0, 0)
    told = detector.row(9.0, 60)
    assert told.expected is not None
    assert told.expected.tolist() == [3.0]


def test_it_says_the_motion_in_words() -> None:
    detector = OneSeries("rate_of_change", window_s=600)
    detector.row(3.0, 0)
    told = detector.row(9.0, 60)
    assert told.explain is not None
    assert told.explain(0) == "rose from 3 to 9 in 60 s"


def test_a_rate_is_scaled_to_its_own_time() -> None:
    detector = OneSeries("rate_of_change", window_s=3600, per_s=600, min_span_s=60)
    assert detector.measures([(0, 10.0), (1800, 25.0)])[-1] == pytest.approx(5.0)


def test_a_step_shorter_than_the_span_is_no_rate() -> None:
    detector = OneSeries("rate_of_change", window_s=3600, per_s=600, min_span_s=60)
    assert detector.measures([(0, 10.0), (1, 25.0)])[-1] == 0.0


@given(st.lists(st.tuples(st.integers(60, 900), st.floats(-1e3, 1e3)), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_sparse_series_are_compared_exactly(rows: list[tuple[int, float]]) -> None:
    """At most one row a bucket (55 s of a 600 s window): the ring must equal the whole history."""
    times = np.cumsum([gap for gap, _ in rows]).tolist()
    values = [value for _, value in rows]
    measured = OneSeries("rate_of_change", window_s=600).measures(zip(times, values, strict=True))
    for k in range(1, len(rows)):
        inside = [values[i] for i in range(k) if times[k] - times[i] <= 600]
        assert measured[k] == pytest.approx(max(0.0, values[k] - min(inside, default=values[k])), abs=1e-9)


def test_a_fast_series_sees_nearly_the_whole_window() -> None:
    ramp = [(float(t), t / 600.0) for t in range(1800)]
    last = OneSeries("rate_of_change", window_s=600).measures(ramp)[-60:]
    assert all(10 / 11 <= measure <= 1.0 + 1e-9 for measure in last)

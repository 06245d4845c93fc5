from __future__ import annotations

from tests.detectors.one_series import OneSeries


def test_time_at_rest_is_measured_from_the_first_equal_row() -> None:
    assert OneSeries("stuck", min_rows=3).measures([(0, 1.0), (60, 1.0), (120, 1.0)]) == [0.0, 0.0, 120.0]


def test_a_move_begins_anew() -> None:
    assert OneSeries("stuck", min_rows=2).measures([(0, 1.0), (60, 1.0), (120, 2.0), (180, 2.0)]) == [0.0, 60.0, 0.0, 60.0]


def test_rows_may_be_counted_instead_of_seconds() -> None:
    assert OneSeries("stuck", min_rows=2, unit="rows").measures([(0, 1.0), (60, 1.0), (120, 1.0)]) == [0.0, 2.0, 3.0]


def test_movement_within_eps_is_rest() -> None:
    assert OneSeries("stuck", min_rows=2, eps=0.1).measures([(0, 1.0), (60, 1.05)])[-1] == 60.0


def test_slow_drift_is_not_rest() -> None:
    drift = [(60.0 * i, 1.0 + 0.06 * i) for i in range(50)]
    assert max(OneSeries("stuck", min_rows=2, eps=0.1).measures(drift)) <= 60.0


def test_a_value_that_may_rest_is_left_alone() -> None:
    assert set(OneSeries("stuck", min_rows=2, ignore_values=(0.0,)).measures([(i, 0.0) for i in range(50)])) == {0.0}


def test_it_says_how_long_in_words() -> None:
    detector = OneSeries("stuck", min_rows=2)
    detector.row(1.5, 0)
    told = detector.row(1.5, 60)
    assert told.explain is not None
    assert told.explain(0) == "1.5 unchanged in 2 readings over 60 s"

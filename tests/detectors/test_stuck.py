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


def test_a_coarse_signal_is_judged_by_its_own_longest_rest() -> None:
    detector = OneSeries("stuck", unit="times", min_rows=2, min_moves=10)
    steps = [(60.0 * i, float(i // 20 % 7)) for i in range(600)]
    assert max(value for value in detector.measures(steps) if value == value) <= 1.01
    frozen = detector.measures([(36_000 + 60.0 * i, 3.0) for i in range(100)])
    assert frozen[-1] > 4


def test_a_signal_that_was_always_constant_may_be_so_by_right() -> None:
    told = OneSeries("stuck", unit="times", min_moves=3).measures([(60.0 * i, 7.0) for i in range(1000)])
    assert not any(value > 0 for value in told)


def test_a_rest_that_was_reported_does_not_become_the_usual_one() -> None:
    detector = OneSeries("stuck", unit="times", min_rows=2, min_moves=10)
    detector.measures([(60.0 * i, float(i // 5 % 7)) for i in range(300)])
    detector.measures([(18_000 + 60.0 * i, 99.0) for i in range(500)])
    assert detector.measures([(48_000 + 60.0 * i, 50.0) for i in range(100)])[-1] > 4


def test_a_rest_against_its_own_history_says_so_in_words() -> None:
    detector = OneSeries("stuck", unit="times", min_rows=2, min_moves=3)
    detector.measures([(60.0 * i, float(i // 2)) for i in range(10)])
    told = [detector.row(99.0, 600 + 60.0 * i) for i in range(8)][-1]
    assert told.explain is not None
    assert told.explain(0) == "99 unchanged in 8 readings, until now at most 2 over 420 s"

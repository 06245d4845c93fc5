from __future__ import annotations

import numpy as np
import pytest

from tests.detectors.one_series import OneSeries


def noise(count: int, seed: int = 1, centre: float = 10.0, spread: float = 1.0) -> list[tuple[float, float]]:
    values = np.random.default_rng(seed).normal(centre, spread, count)
    return [(60.0 * i, float(v)) for i, v in enumerate(values)]


def then(rows: list[tuple[float, float]], values: list[float]) -> list[tuple[float, float]]:
    return [(60.0 * (len(rows) + i), value) for i, value in enumerate(values)]


def test_warm_up_rows_say_nothing() -> None:
    measures = OneSeries("robust_z", warmup=60).measures(noise(100))
    assert [m != m for m in measures] == [True] * 60 + [False] * 40


def test_noise_stays_within_six_deviations() -> None:
    assert max(OneSeries("robust_z").measures(noise(5000))[60:]) < 6


def test_a_jump_of_ten_deviations_measures_about_ten_deviations() -> None:
    detector = OneSeries("robust_z")
    detector.measures(noise(1000))
    # A mean absolute deviation of Gaussian noise is 0.8 standard deviations.
    assert detector.measures(then(noise(1000), [18.0]))[0] == pytest.approx(10, rel=0.15)


def test_outliers_in_one_row_of_ten_leave_the_centre_where_it_is() -> None:
    rows = [(at, value + 50 if i % 10 == 3 else value) for i, (at, value) in enumerate(noise(3000))]
    detector = OneSeries("robust_z", freeze=50)
    detector.measures(rows)
    assert float(detector.detector.state["centre"][0]) == pytest.approx(10, abs=1.0)


def test_a_constant_series_measures_zero() -> None:
    assert set(OneSeries("robust_z", warmup=10).measures([(i, 7.0) for i in range(100)])[10:]) == {0.0}


def test_one_quantum_of_a_coarse_signal_is_not_unusual() -> None:
    """A level in whole centimetres that flickers by one now and then."""
    rows = [(60.0 * i, 12.0 + (i % 37 == 0)) for i in range(2000)]
    assert max(OneSeries("robust_z").measures(rows)[200:]) < 4


def test_the_floor_keeps_a_still_series_from_exploding() -> None:
    detector = OneSeries("robust_z", warmup=10, floor=0.5)
    detector.measures([(i, 7.0) for i in range(100)])
    assert detector.measures([(100, 8.0)]) == [2.0]


def test_what_is_beyond_the_freeze_moves_nothing() -> None:
    detector = OneSeries("robust_z")
    rows = noise(500)
    detector.measures(rows)
    before = float(detector.detector.state["centre"][0]), float(detector.detector.state["scale"][0])
    detector.measures(then(rows, [1e4] * 50))
    assert (float(detector.detector.state["centre"][0]), float(detector.detector.state["scale"][0])) == before


def test_a_new_regime_is_adopted_after_enough_rows() -> None:
    detector = OneSeries("robust_z", adopt_after=100)
    rows = noise(500)
    detector.measures(rows)
    measures = detector.measures(then(rows, [value for _, value in noise(300, seed=2, centre=100.0)]))
    assert min(measures[:100]) > 8
    assert max(measures[110:]) < 8


def test_a_run_that_is_interrupted_is_no_regime() -> None:
    detector = OneSeries("robust_z", adopt_after=10)
    rows = noise(500)
    detector.measures(rows)
    measures = detector.measures(then(rows, ([100.0] * 9 + [10.0]) * 20))
    assert min(m for i, m in enumerate(measures) if i % 10 != 9) > 8


def test_only_the_watched_side_grows() -> None:
    detector = OneSeries("robust_z", side="below")
    rows = noise(500)
    detector.measures(rows)
    low, high = detector.measures(then(rows, [0.0, 20.0]))
    assert low > 8
    assert high < -8


def test_a_daily_rhythm_is_learned_as_usual() -> None:
    """A demand that swings by ten times its noise; the same value at the wrong hour is what must be seen."""
    rng = np.random.default_rng(3)
    rows = [(300.0 * i, float(10 + 5 * np.sin(2 * np.pi * i / 288) + rng.normal(0, 0.3))) for i in range(288 * 14)]
    seasonal, plain = OneSeries("robust_z", season="day", memory=3000), OneSeries("robust_z", memory=3000)
    seasonal.measures(rows)
    plain.measures(rows)
    at = 300.0 * (288 * 14 + 72)
    # Six hours into the cycle 15 is usual and 11 is not.
    assert seasonal.measures([(at, 11.0)])[0] > 3 > plain.measures([(at, 11.0)])[0]


def test_the_score_is_one_half_at_the_freeze() -> None:
    detector = OneSeries("robust_z", warmup=10, floor=1.0, freeze=8.0)
    detector.measures([(i, 7.0) for i in range(100)])
    told = detector.row(15.0, 100)
    assert told.score is not None
    assert told.score.tolist() == [0.5]


def test_it_says_value_and_expectation_in_words() -> None:
    detector = OneSeries("robust_z", warmup=10, floor=1.0)
    detector.measures([(i, 7.0) for i in range(100)])
    told = detector.row(15.0, 100)
    assert told.explain is not None
    assert told.explain(0) == "15 where about 7 was expected: 8.0 times the usual deviation"


def test_a_slot_weighs_less_than_512_bytes_with_its_daily_profile() -> None:
    assert OneSeries("robust_z", season="day").detector.state.bytes_per_slot <= 512

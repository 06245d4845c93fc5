from __future__ import annotations

import numpy as np

from detectors.accumulation import Accumulation, AccumulationParams
from detectors.series import Series
from streams.batch import Batch


def gauge(**params: float) -> Accumulation:
    detector = Accumulation(AccumulationParams(**{"window_s": 3600.0, **params}), [Series("R-1", "rain")])
    detector.grow(1)
    return detector


def sums(detector: Accumulation, *reports: tuple[float, float]) -> list[float]:
    found = []
    for minute, value in reports:
        zero, at = np.zeros(1, dtype=np.int32), np.array([round(minute * 60_000)])
        row = Batch("sensor", zero, at, at, at, zero, zero > 0, [None], {"value": np.array([value])})
        found.append(float(detector.measure(row).measure[0]))
    return found


def test_reports_within_the_window_add_up() -> None:
    assert sums(gauge(), (0, 1.0), (20, 2.0), (40, 3.0)) == [1.0, 3.0, 6.0]


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    assert sums(gauge(), (0, 5.0), (61, 1.0)) == [5.0, 1.0]


def test_a_long_gap_leaves_nothing_behind() -> None:
    assert sums(gauge(), (0, 5.0), (100_000, 1.0)) == [5.0, 1.0]


def test_values_below_the_least_do_not_count() -> None:
    assert sums(gauge(least=0.5), (0, 0.2), (1, -3.0), (2, 0.6)) == [0.0, 0.0, 0.6]


def test_a_report_without_a_number_says_nothing() -> None:
    assert np.isnan(sums(gauge(), (0, float("nan")))).all()


def test_an_older_report_does_not_bring_back_a_part_that_has_left() -> None:
    assert sums(gauge(), (0, 1.0), (120, 2.0), (0, 9.0), (120, 1.0))[-1] == 3.0


def test_while_it_rains_a_falling_sum_says_nothing() -> None:
    found = sums(gauge(dry_s=1800.0), (0, 20.0), (61, 1.0), (80, 0.0), (92, 0.0))
    assert found[0] == 20.0 and np.isnan(found[1]) and np.isnan(found[2]) and found[3] == 1.0

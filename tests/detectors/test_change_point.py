from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detectors.one_series import OneSeries

quick = settings(max_examples=8, deadline=None)


def noise(rows: int, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(10, 1, rows)


def told(values: Any, **params: Any) -> list[int]:
    """Rows at which a change is told."""
    measures = OneSeries("change_point", **params).measures((float(i), float(v)) for i, v in enumerate(values))
    return [i for i, measure in enumerate(measures) if measure >= 1]


def test_a_step_is_told_once_within_a_short_mean() -> None:
    values = noise(600)
    values[400:] += 4
    assert len(told(values)) == 1
    assert 400 <= told(values)[0] < 410


def test_the_way_back_is_told_as_the_next_change() -> None:
    values = noise(800)
    values[400:600] += 4
    rows = told(values)
    assert [400 <= rows[0] < 410, 600 <= rows[1] < 610, len(rows)] == [True, True, 2]


def test_noise_is_silent() -> None:
    assert told(noise(5000)) == []


def test_a_single_outlier_is_no_change() -> None:
    values = noise(600)
    values[400] += 12
    assert told(values) == []


def test_a_constant_series_has_no_change_and_its_first_move_is_learned() -> None:
    assert told([5.0] * 300) == []
    assert told([5.0] * 300 + [6.0] * 100) == []


def test_what_drifts_is_doubted_until_it_is_known() -> None:
    wander = 20 + np.cumsum(np.random.default_rng(3).normal(0, 1, 3000))
    assert told(wander) == []


def test_it_says_what_was_expected() -> None:
    detector = OneSeries("change_point")
    detector.measures((float(i), float(v)) for i, v in enumerate(noise(300)))
    said = [detector.row(30.0, 300.0 + i) for i in range(4)]
    row = next(m for m in said if m.measure[0] >= 1)
    assert row.expected is not None and abs(row.expected[0] - 10) < 1
    assert row.explain is not None and row.explain(0).startswith("changed: mean of 10 readings was about ")


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([-1e3, 0.01, 5.0]), by=st.sampled_from([-1e3, 0.0, 273.15]))
@quick
def test_other_units_change_no_measure(seed: int, scale: float, by: float) -> None:
    values = noise(300, seed)
    values[200:] += 5
    here, there = (
        OneSeries("change_point").measures((float(i), float(v)) for i, v in enumerate(x)) for x in (values, values * scale + by)
    )
    assert here == pytest.approx(there, rel=1e-6, abs=1e-9, nan_ok=True)


@given(seed=st.integers(0, 10**6), at=st.integers(41, 299))
@quick
def test_no_measure_depends_on_a_later_row(seed: int, at: int) -> None:
    values = noise(300, seed)
    here, there = (
        OneSeries("change_point").measures((float(i), float(v)) for i, v in enumerate(x)) for x in (values, values[:at])
    )
    assert np.array_equal(here[:at], there, equal_nan=True)
    assert math.isnan(here[0])

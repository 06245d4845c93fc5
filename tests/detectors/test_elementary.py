"""Own logarithms and exponentials: as good as numpy's, and the same for one number as for many."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import elementary

LOGARITHMS = {"log": np.log, "log2": np.log2, "log10": np.log10}
EXPONENTIALS = {"exp": np.exp, "expm1": np.expm1}
NAMES = [*LOGARITHMS, *EXPONENTIALS]


def bits(number: float) -> int:
    """NaN is one number, however its sign bit lies."""
    return int(np.float64(number).view(np.int64)) if number == number else -1


def units_apart(found: Any, true: Any) -> float:
    return float(np.max(np.abs(found - true) / np.spacing(np.abs(true))))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300, deadline=None)
@given(number=st.floats(width=64) | st.floats(-50, 50) | st.floats(0.5, 2.0))
@example(number=0.0)
@example(number=5e-324)
@example(number=-745.1)
@example(number=709.9)
@example(number=float("nan"))
@example(number=float("-inf"))
def test_one_number_and_many_have_the_same_bits(name: str, number: float) -> None:
    of_many: Callable[[Any], Any] = getattr(elementary, name)
    of_one: Callable[[float], float] = getattr(elementary, f"{name}_one")
    assert bits(of_one(number)) == bits(of_many(np.array([1.5, number]))[1])


@pytest.mark.parametrize("name", sorted(LOGARITHMS))
def test_logarithms_are_true_to_two_units_in_the_last_place(name: str) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([np.exp(rng.uniform(-740, 709, 20_000)), rng.uniform(0.5, 2.0, 20_000), [5e-324, 1.7e308]])
    assert units_apart(getattr(elementary, name)(x), LOGARITHMS[name](x)) <= 2


@pytest.mark.parametrize("name", sorted(EXPONENTIALS))
def test_exponentials_are_true_to_three_units_in_the_last_place(name: str) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-700, 700, 20_000), rng.uniform(-1, 1, 20_000), 10.0 ** rng.uniform(-300, 0, 20_000)])
    assert units_apart(getattr(elementary, name)(x), EXPONENTIALS[name](x)) <= 3


def test_what_has_no_logarithm_is_nan_or_infinite() -> None:
    found = elementary.log(np.array([0.0, -1.0, math.inf, math.nan]))
    np.testing.assert_array_equal(found, [-math.inf, math.nan, math.inf, math.nan])


def test_exponentials_end_in_nothing_and_in_infinity() -> None:
    assert elementary.exp(np.array([-800.0, -1e300, 710.0, math.inf, -math.inf])).tolist() == [0, 0, math.inf, math.inf, 0]
    assert elementary.expm1(np.array([-math.inf, 0.0])).tolist() == [-1.0, 0.0]


def test_smaller_and_larger_are_numpys() -> None:
    for a in (1.0, 2.0, math.nan, -math.inf):
        for b in (1.0, 2.0, math.inf):
            assert bits(elementary.least(a, b)) == bits(float(np.minimum(a, b)))
            assert bits(elementary.most(a, b)) == bits(float(np.maximum(a, b)))

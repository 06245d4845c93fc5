"""Stuck compiled and in numpy: the same bits, in one batch or in many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.stuck import Stuck, StuckParams
from tests.detectors.both_ways import agree, calm, long, rows

params = st.builds(
    StuckParams,
    eps=st.sampled_from([0.0, 0.5]),
    unit=st.sampled_from(["seconds", "rows", "times"]),
    min_rows=st.sampled_from([2, 5]),
    min_moves=st.sampled_from([1, 8]),
    ignore_values=st.sampled_from([(), (0.0,), (1.0, 40.0)]),
)


@settings(max_examples=150, deadline=None)
@given(params, rows, st.integers(0, 120))
def test_the_loop_and_numpy_give_the_same_bits(chosen: StuckParams, drawn: Any, cut: int) -> None:
    agree(Stuck, chosen, calm(20) + drawn, cut)


@pytest.mark.parametrize("unit", ["seconds", "rows", "times"])
def test_the_same_bits_after_thousands_of_rows(unit: Any) -> None:
    agree(Stuck, StuckParams(unit=unit, min_rows=2, ignore_values=(0.0,)), long(2), 3100)

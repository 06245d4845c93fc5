"""Rate of change compiled and in numpy: the same bits, in one batch or in many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rate_of_change import RateOfChange, RateOfChangeParams
from tests.detectors.both_ways import agree, calm, long, rows

params = st.builds(
    RateOfChangeParams,
    window_s=st.sampled_from([0.004, 60.0, 3600.0, 86_400.0]),
    motion=st.sampled_from(["rise", "fall", "either"]),
    per_s=st.sampled_from([None, 60.0, 600.0]),
    min_span_s=st.sampled_from([0.0, 30.0]),
)


@settings(max_examples=150, deadline=None)
@given(params, rows, st.integers(0, 120))
def test_the_loop_and_numpy_give_the_same_bits(chosen: RateOfChangeParams, drawn: Any, cut: int) -> None:
    agree(RateOfChange, chosen, calm(20) + drawn, cut)


@pytest.mark.parametrize("motion", ["rise", "fall", "either"])
@pytest.mark.parametrize("per_s", [None, 60.0])
def test_the_same_bits_after_thousands_of_rows(motion: Any, per_s: Any) -> None:
    agree(RateOfChange, RateOfChangeParams(window_s=7200, motion=motion, per_s=per_s), long(3, 3000), 1700)

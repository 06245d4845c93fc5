"""The numbers a burst is judged by; the counting is tested in tests/topologies/test_bursts.py."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.burst import BurstSettings, tail


@given(st.integers(1, 60), st.floats(0.001, 40))
def test_the_tail_is_the_poisson_one(count, mean):
    below = math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count))
    assert tail(count, mean) == pytest.approx(1 - below, abs=1e-9)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="min_count"):
        BurstSettings(min_count=1)

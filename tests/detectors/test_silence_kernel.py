"""Silence compiled and in numpy: the same bits, in one batch or in many, with ticks in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.silence import Silence, SilenceParams
from tests.detectors.both_ways import Row, Way, agree, agree_at_tick, batch_of, calm, long, rows

params = st.builds(
    SilenceParams,
    learn=st.booleans(),
    learn_rows=st.sampled_from([3, 20]),
    needed=st.sampled_from([0, 2]),
    repeat_s=st.sampled_from([1.0, 60.0]),
)


def _agree_with_ticks(chosen: SilenceParams, drawn: list[Row], size: int) -> int:
    """How many measures the ticks told; one tick behind every ``size`` rows, and one a while later."""
    loop, steps, spoken = Way(Silence, chosen, True), Way(Silence, chosen, False), 0
    batch = batch_of(drawn)
    late = np.zeros(len(batch), dtype=np.bool_)
    late[1:] = batch.ts[1:] < np.maximum.accumulate(batch.ts)[:-1]
    batch.late = late
    for start in range(0, len(batch), size):
        part = batch.cut(start, min(start + size, len(batch)))
        assert loop.show(part) == steps.show(part)
        for now in (int(part.arrival[-1]) + 1000, int(part.arrival[-1]) + 200_000):
            spoken += agree_at_tick(loop, steps, now)
        assert loop.state() == steps.state()
    return spoken


@settings(max_examples=100, deadline=None)
@given(params, rows, st.integers(0, 120))
def test_the_loop_and_numpy_give_the_same_bits(chosen: SilenceParams, drawn: Any, cut: int) -> None:
    agree(Silence, chosen, calm(20) + drawn, cut)


@settings(max_examples=60, deadline=None)
@given(params, rows, st.integers(1, 30))
def test_the_same_bits_with_ticks_in_between(chosen: SilenceParams, drawn: Any, size: int) -> None:
    _agree_with_ticks(chosen, calm(20) + drawn, size)


@pytest.mark.parametrize("learn", [False, True])
def test_the_same_bits_after_thousands_of_rows(learn: bool) -> None:
    assert _agree_with_ticks(SilenceParams(learn=learn, repeat_s=1.0), long(5), 50) > 100

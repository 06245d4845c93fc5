"""Robust z compiled and in numpy: the same bits, in one batch or in many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.robust_z import RobustZ, RobustZParams
from tests.detectors.both_ways import Way, agree, batch_of, calm, long, rows

params = st.builds(
    RobustZParams,
    warmup=st.just(10),
    memory=st.sampled_from([20.0, 100.0]),
    freeze=st.sampled_from([2.0, 8.0]),
    clip=st.sampled_from([3.0, 0.5]),
    adopt_after=st.sampled_from([5, 300]),
    floor=st.sampled_from([0.0, 0.25]),
    side=st.sampled_from(["both", "above", "below"]),
    season=st.sampled_from(["none", "day"]),
)


@settings(max_examples=150, deadline=None)
@given(params, rows, st.integers(0, 120))
def test_the_loop_and_numpy_give_the_same_bits(chosen: RobustZParams, drawn: Any, cut: int) -> None:
    agree(RobustZ, chosen, calm(50) + drawn, cut)


@settings(max_examples=50, deadline=None)
@given(params, rows)
def test_they_learn_the_same_from_rows_known_to_be_good(chosen: RobustZParams, drawn: Any) -> None:
    batch = batch_of(calm(50) + drawn)
    loop, steps = Way(RobustZ, chosen, True), Way(RobustZ, chosen, False)
    for way in (loop, steps):
        way.do(lambda detector: detector.teach(batch))
    assert loop.state() == steps.state()


@pytest.mark.parametrize("season", ["none", "day"])
@pytest.mark.parametrize("side", ["both", "below"])
def test_the_same_bits_after_thousands_of_rows(season: Any, side: Any) -> None:
    agree(RobustZ, RobustZParams(adopt_after=30, side=side, season=season), long(1), 2500)

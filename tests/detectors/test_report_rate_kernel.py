"""Report rate compiled and in numpy: the same bits, in one batch or in many, with its windows ending in between."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.report_rate import ReportRate, ReportRateParams
from streams.batch import Batch
from tests.detectors.both_ways import Row, Way, agree, agree_at_tick, batch_of, calm, long, rows

params = st.builds(
    ReportRateParams,
    window_s=st.sampled_from([10, 600, 7200]),
    side=st.sampled_from(["dropout", "burst"]),
    least=st.just(1.0),
    warmup=st.sampled_from([1, 3]),
    silent=st.just(2),
)


def _windows(batch: Batch, window_ms: int) -> list[tuple[Batch, int]]:
    """The batch cut where windows end, each piece with the time of the tick behind it."""
    window = batch.arrival // window_ms
    cuts = [0, *(np.flatnonzero(np.diff(window)) + 1).tolist(), len(batch)]
    return [(batch.cut(a, b), int(window[a] + 1) * window_ms) for a, b in pairwise(cuts) if a < b]


def _agree_by_windows(chosen: ReportRateParams, drawn: list[Row]) -> int:
    """How many measures the ticks told."""
    loop, steps, spoken = Way(ReportRate, chosen, True), Way(ReportRate, chosen, False), 0
    for part, end in _windows(batch_of(drawn), chosen.window_s * 1000):
        assert loop.show(part) == steps.show(part)
        spoken += agree_at_tick(loop, steps, end)
        assert loop.state() == steps.state()
    return spoken


@settings(max_examples=100, deadline=None)
@given(params, rows, st.integers(0, 120))
def test_the_loop_and_numpy_give_the_same_bits(chosen: ReportRateParams, drawn: Any, cut: int) -> None:
    agree(ReportRate, chosen, calm(20) + drawn, cut)


@settings(max_examples=100, deadline=None)
@given(params, rows)
def test_the_same_bits_with_windows_that_end(chosen: ReportRateParams, drawn: Any) -> None:
    _agree_by_windows(chosen, calm(20) + drawn)


@pytest.mark.parametrize("side", ["dropout", "burst"])
def test_the_same_bits_after_thousands_of_rows(side: Any) -> None:
    chosen = ReportRateParams(window_s=600, side=side, least=1.0, warmup=3, adopt_after=4)
    assert _agree_by_windows(chosen, long(4)) > 300

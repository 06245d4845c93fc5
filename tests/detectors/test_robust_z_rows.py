"""Robust z in plain numbers and in numpy: the same bits, in one batch or in many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import robust_z as module
from detectors.base import Series
from detectors.robust_z import RobustZ, RobustZParams
from streams.batch import Batch

SLOTS = 3
values = st.one_of(
    st.sampled_from([0.0, 1.0, 1.5, -2.0, 40.0, 1e6, 1e149, 1e-200, float("nan"), float("inf")]),
    st.floats(-10, 10, allow_nan=False),
)
rows = st.lists(st.tuples(st.integers(0, SLOTS - 1), values), min_size=1, max_size=120)
params = st.builds(
    RobustZParams,
    warmup=st.just(10),
    memory=st.sampled_from([20.0, 100.0]),
    freeze=st.sampled_from([2.0, 8.0]),
    adopt_after=st.sampled_from([5, 300]),
    floor=st.sampled_from([0.0, 0.25]),
    side=st.sampled_from(["both", "above", "below"]),
    season=st.sampled_from(["none", "day"]),
)


def _detector(chosen: RobustZParams) -> RobustZ:
    detector = RobustZ(chosen, [Series(f"S{i}") for i in range(SLOTS)])
    detector.grow(SLOTS)
    return detector


def _batch(drawn: Any) -> Batch:
    slot = np.array([one[0] for one in drawn], dtype=np.int32)
    ts = 1_700_000_000_000 + 900_000 * np.arange(len(drawn), dtype=np.int64)
    value = np.array([one[1] for one in drawn], dtype=np.float64)
    return Batch("sensor", slot, ts, ts, ts, slot * 0, slot < 0, [None] * len(drawn), {"value": value})


def _told(detector: RobustZ, batch: Batch) -> list[bytes]:
    found = detector.measure(batch)
    assert found.expected is not None and found.score is not None
    return [column.tobytes() for column in (found.measure, found.expected, found.score)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params, rows, st.integers(0, 120))
def test_rows_in_a_run_and_rounds_in_numpy_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, chosen: RobustZParams, drawn: Any, cut: int
) -> None:
    # A history without surprises first, so that the warm-up is over.
    drawn = [(i % SLOTS, float(i % 7)) for i in range(40)] + drawn
    batch = _batch(drawn)
    by_rows, in_numpy, cut_up = (_detector(chosen) for _ in range(3))
    monkeypatch.setattr(module, "_NARROW", 10**6)
    told = _told(by_rows, batch)
    pieces = [_told(cut_up, part) for part in (batch.cut(0, cut), batch.cut(cut, len(batch))) if len(part)]
    monkeypatch.setattr(module, "_NARROW", 0)
    assert told == _told(in_numpy, batch)
    assert told == [b"".join(parts) for parts in zip(*pieces, strict=True)]
    for name, held in in_numpy.snapshot().items():
        if name == "regime":  # of no meaning where nothing is beyond
            beyond = in_numpy.snapshot()["beyond"] > 0
            np.testing.assert_array_equal(by_rows.snapshot()[name][beyond], held[beyond])
        else:
            np.testing.assert_array_equal(by_rows.snapshot()[name], held)

"""Unusual in plain numbers and in numpy: the same bits, in one batch or in many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import unusual as module
from detectors.base import Series
from detectors.unusual import Unusual, UnusualParams
from streams.batch import Batch

SLOTS = 3
#: What numbers and times a series is made of before the drawn rows: noise, a coarse signal, a counter, almost nothing, much.
KINDS = ("noise", "coarse", "counter", "tiny", "huge")
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 40.0, 1e6, 9e29, 1e30, 1e-44, 5e-324, float("nan"), float("inf")]),
    st.floats(-10, 10, allow_nan=False),
)
#: A row: slot, value, seconds since the row before, and how many times it comes.
rows = st.lists(
    st.tuples(st.integers(0, SLOTS - 1), values, st.sampled_from([0.0, 0.1, 300.0, 90_000.0]), st.sampled_from([1, 1, 40])),
    min_size=1,
    max_size=30,
)
params = st.builds(
    UnusualParams,
    bound=st.sampled_from([1.0, 7.4]),
    noise_days=st.sampled_from([0.01, 150.0]),
    warmup=st.sampled_from([20, 60]),
    memory=st.sampled_from([100.0, 3000.0]),
    profile_days=st.sampled_from([1.0, 10.0]),
    quiet=st.sampled_from([1, 90]),
    adopt_after=st.sampled_from([30, 250]),
    freeze=st.sampled_from([2.0, 8.0]),
)


def history(kind: str, seed: int, count: int) -> list[float]:
    noise = np.random.default_rng(seed).standard_normal(count)
    made = {
        "noise": noise,
        "coarse": np.round(noise),
        "counter": np.cumsum(np.abs(noise)),
        "tiny": 1e-44 * noise,
        "huge": 1e29 * noise,
    }
    return made[kind].tolist()


def batch_of(kind: str, seed: int, step_s: float, drawn: Any) -> Batch:
    """A history without surprises on the first slots, so that the warm-up is over, and what was drawn."""
    # A counter is known as one after two hundred readings.
    count = 420 if kind == "counter" else 140
    shown = [(n % (SLOTS - 1), x, step_s) for n, x in enumerate(history(kind, seed, count))]
    shown += [(slot, value, passed) for slot, value, passed, times in drawn for _ in range(times)]
    slot = np.array([one[0] for one in shown], dtype=np.int32)
    ts = 1_700_000_000_000 + np.cumsum([round(1000 * one[2]) for one in shown])
    value = np.array([one[1] for one in shown], dtype=np.float64)
    return Batch("sensor", slot, ts, ts, ts, slot * 0, slot < 0, [None] * len(shown), {"value": value})


def detector(chosen: UnusualParams) -> Unusual:
    made = Unusual(chosen, [Series(f"S{i}") for i in range(SLOTS)])
    made.grow(SLOTS)
    return made


def told(shown: Unusual, batch: Batch) -> list[bytes]:
    found = shown.measure(batch)
    assert found.expected is not None
    assert found.score is not None
    assert found.explain is not None
    words = "\n".join(found.explain(i) for i in range(len(batch)))
    return [found.measure.tobytes(), found.expected.tobytes(), found.score.tobytes(), words.encode()]


def same_state(one: Unusual, other: Unusual) -> None:
    for name, held in one.snapshot().items():
        np.testing.assert_array_equal(other.snapshot()[name], held, name)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params, st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.sampled_from([0.5, 600.0]), rows, st.integers(1, 300))
def test_rows_in_a_run_and_rounds_in_numpy_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, chosen: UnusualParams, kind: str, seed: int, step_s: float, drawn: Any, cut: int
) -> None:
    batch = batch_of(kind, seed, step_s, drawn)
    parts = [part for part in (batch.cut(0, cut), batch.cut(cut, len(batch))) if len(part)]
    by_rows, in_numpy = detector(chosen), detector(chosen)
    monkeypatch.setattr(module, "_NARROW", 10**6)
    plain = [told(by_rows, part) for part in parts]
    monkeypatch.setattr(module, "_NARROW", 0)
    assert plain == [told(in_numpy, part) for part in parts]
    same_state(in_numpy, by_rows)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params, st.sampled_from(KINDS), st.integers(0, 2**32 - 1), rows)
def test_rows_known_to_be_good_are_learned_alike(
    monkeypatch: pytest.MonkeyPatch, chosen: UnusualParams, kind: str, seed: int, drawn: Any
) -> None:
    batch = batch_of(kind, seed, 600.0, drawn)
    by_rows, in_numpy = detector(chosen), detector(chosen)
    monkeypatch.setattr(module, "_NARROW", 10**6)
    by_rows.teach(batch)
    monkeypatch.setattr(module, "_NARROW", 0)
    in_numpy.teach(batch)
    same_state(in_numpy, by_rows)


def test_a_long_series_with_troubles_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until counts are brought back to one, alarms have faded, and a new regime was taken for normal."""
    rng, count, change = np.random.default_rng(5), 2200, 1500
    value = 50 + 20 * np.sin(2 * np.pi * np.arange(count) / 144) + rng.standard_normal(count)
    value[rng.integers(300, count, 20)] += 30
    value[change:] += 100
    ts = 1_700_000_000_000 + 600_000 * np.arange(count, dtype=np.int64)
    slot = np.zeros(count, dtype=np.int32)
    batch = Batch("sensor", slot, ts, ts, ts, slot, slot > 0, [None] * count, {"value": value})
    chosen = UnusualParams(memory=100.0)
    by_rows, in_numpy = detector(chosen), detector(chosen)
    plain = told(by_rows, batch)
    monkeypatch.setattr(module, "_NARROW", 0)
    assert plain == told(in_numpy, batch)
    same_state(in_numpy, by_rows)
    measure, expected = np.frombuffer(plain[0]), np.frombuffer(plain[1])
    assert measure[change] >= 1
    assert np.abs(expected[-144:] - value[-144:]).max() < 40
    assert by_rows.state["tail_weight"][0] < np.exp(count / 100)

"""Unusual compiled and in numpy: the same bits, in one batch or in many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.series import Series
from detectors.unusual import Unusual, UnusualParams
from streams import compiled
from streams.batch import Batch

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="nothing is compiled here")
SLOTS = 3
#: What numbers and times a series is made of before the drawn rows: noise, a coarse signal, a counter, almost nothing, much.
KINDS = ("noise", "coarse", "constant", "counter", "tiny", "huge")
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 40.0, 1e6, 9e29, 1e30, 1e-44, 5e-324, float("nan"), float("inf")]),
    st.floats(-10, 10, allow_nan=False),
)
#: Seconds since the row before; some rows are older than it.
steps = st.sampled_from([0.0, 0.1, 300.0, 90_000.0, -1000.0, 1e8])
#: A row: slot, value, seconds, and how many times it comes.
rows = st.lists(st.tuples(st.integers(0, SLOTS - 1), values, steps, st.sampled_from([1, 1, 40])), min_size=1, max_size=30)
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
seeds = st.integers(0, 2**32 - 1)


def history(kind: str, seed: int, count: int) -> list[float]:
    noise = np.random.default_rng(seed).standard_normal(count)
    made = {
        "noise": noise,
        "coarse": np.round(noise),
        "constant": 0 * noise,
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
    slot, value, passed = (np.array(column) for column in zip(*shown, strict=True))
    return batch(slot, 1_700_000_000_000 + np.cumsum(np.round(1000 * passed)), value)


def batch(slot: Any, ts: Any, value: Any) -> Batch:
    slot, ts = np.asarray(slot, np.int32), np.asarray(ts, np.int64)
    return Batch("sensor", slot, ts, ts, ts, slot * 0, slot < 0, [None] * len(slot), {"value": np.asarray(value, np.float64)})


class Shown:
    """The same rows, to a compiled detector and to one in numpy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chosen: UnusualParams, slots: int = SLOTS) -> None:
        self._monkeypatch = monkeypatch
        self.compiled, self.in_numpy = (Unusual(chosen, [Series(f"S{i}") for i in range(slots)]) for _ in range(2))
        self.compiled.grow(slots)
        self.in_numpy.grow(slots)

    def measure(self, whole: Batch, cuts: Sequence[int] = ()) -> dict[str, Any]:
        """What the compiled one tells of the batch in pieces, after it was compared with what the other tells of it at once."""
        edges = [0, *(cut for cut in cuts if cut < len(whole)), len(whole)]
        parts = [_told(self.compiled, whole.cut(*edge)) for edge in pairwise(edges)]
        told = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self._monkeypatch.setattr(compiled, "AVAILABLE", False)
        _same(told, _told(self.in_numpy, whole))
        self._monkeypatch.setattr(compiled, "AVAILABLE", True)
        self.same_state()
        return told

    def teach(self, part: Batch) -> None:
        self.compiled.teach(part)
        self._monkeypatch.setattr(compiled, "AVAILABLE", False)
        self.in_numpy.teach(part)
        self._monkeypatch.setattr(compiled, "AVAILABLE", True)
        self.same_state()

    def same_state(self) -> None:
        _same(self.compiled.snapshot(), self.in_numpy.snapshot())


def _told(detector: Unusual, part: Batch) -> dict[str, Any]:
    found = detector.measure(part)
    assert found.explain is not None
    words = np.array([found.explain(i) for i in range(len(part))])
    return {"measure": found.measure, "expected": found.expected, "score": found.score, "words": words}


def _same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, held in one.items():
        np.testing.assert_array_equal(other[name], held, name)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params, st.sampled_from(KINDS), seeds, st.sampled_from([0.5, 600.0]), rows, st.integers(1, 300))
def test_a_compiled_loop_and_rounds_in_numpy_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, chosen: UnusualParams, kind: str, seed: int, step_s: float, drawn: Any, cut: int
) -> None:
    Shown(monkeypatch, chosen).measure(batch_of(kind, seed, step_s, drawn), [cut])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params, st.sampled_from(KINDS), seeds, rows)
def test_rows_known_to_be_good_are_learned_alike(
    monkeypatch: pytest.MonkeyPatch, chosen: UnusualParams, kind: str, seed: int, drawn: Any
) -> None:
    shown = Shown(monkeypatch, chosen)
    shown.teach(batch_of(kind, seed, 600.0, drawn))
    shown.measure(batch_of(kind, seed, 600.0, drawn))


def test_a_long_series_with_troubles_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until counts are brought back to one, alarms have faded, and a new regime was taken for normal."""
    rng, count, change = np.random.default_rng(5), 2200, 1500
    value = 50 + 20 * np.sin(2 * np.pi * np.arange(count) / 144) + rng.standard_normal(count)
    value[rng.integers(300, count, 20)] += 30
    value[change:] += 100
    shown = Shown(monkeypatch, UnusualParams(memory=100.0), 1)
    told = shown.measure(batch(np.zeros(count), 1_700_000_000_000 + 600_000 * np.arange(count), value))
    assert told["measure"][change] >= 1
    assert np.abs(told["expected"][-144:] - value[-144:]).max() < 40
    assert shown.compiled.state["tail_weight"][0] < np.exp(count / 100)


def test_meters_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side: one that is a meter, one that begins anew, one that does so too often, one that falls early."""
    rng, count = np.random.default_rng(6), 900
    meters = np.cumsum(np.abs(rng.normal(5.0, 1.0, (count, 4))), axis=0)
    meters[500:, 1] -= meters[500, 1]
    for at in (300, 400, 500):
        meters[at:, 2] -= meters[at, 2]
    meters[60:, 3] -= 0.5 * meters[60, 3]
    meters[700, 0] += 1e4
    ts = np.repeat(1_700_000_000_000 + 300_000 * np.arange(count), 4)
    shown = Shown(monkeypatch, UnusualParams(), 4)
    shown.measure(batch(np.tile(np.arange(4), count), ts, meters.ravel()), range(97, 4 * count, 97))
    assert shown.compiled.state["kind"][:4].tolist() == [1, 1, 2, 1]
    assert shown.compiled.state["rows"][2] < count - 500 + 1


def test_noise_that_has_grown_is_adopted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, count = np.random.default_rng(4), 1500
    value = rng.standard_normal(count)
    value[600:] *= 30
    shown = Shown(monkeypatch, UnusualParams(adopt_after=60), 1)
    told = shown.measure(batch(np.zeros(count), 1_700_000_000_000 + 1_800_000 * np.arange(count), value))
    assert np.nanmax(told["measure"][600:700]) >= 1
    assert np.nanmax(told["measure"][-200:]) < 1


def test_a_forgotten_slot_begins_anew_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch, UnusualParams())
    shown.measure(batch_of("noise", 1, 600.0, [(2, 3.0, 300.0, 40)]))
    for detector in (shown.compiled, shown.in_numpy):
        detector.forget(np.array([1]))
        detector.grow(40)
    shown.measure(batch_of("coarse", 2, 600.0, [(1, 3.0, 300.0, 40)]))


def test_what_is_read_only_or_strided_is_read_like_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    part = batch_of("noise", 3, 600.0, [])
    table = np.stack([part.columns["value"], part.columns["value"]], axis=1)
    table.flags.writeable = part.ts.flags.writeable = False
    part.columns["value"] = table[:, 1]
    Shown(monkeypatch, UnusualParams()).measure(part)

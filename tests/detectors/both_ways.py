"""A detector's compiled loop beside its numpy steps: the same rows, the same bits, whatever is cut and repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from detectors.base import Detector, Measures
from detectors.series import Series
from streams import compiled
from streams.batch import Batch

SLOTS = 4
START = 1_700_000_000_000
Row = tuple[int, int, int, float]
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 40.0, 1e6, 1e149, -1e300, 1e-200, 5e-324, np.nan, np.inf, -np.inf]),
    st.floats(-10, 10, allow_nan=False),
    st.integers(-3, 3).map(float),
)
#: Rows of (slot, milliseconds of event time since the row before, milliseconds on the way, value); some come disordered.
rows = st.lists(
    st.tuples(
        st.integers(0, SLOTS - 1),
        st.sampled_from([0, 1, 900, 1000, 20_000, 900_000, 7_000_000, -1, -3000, -1_000_000]),
        st.sampled_from([0, 40, 2000, 90_000]),
        values,
    ),
    max_size=120,
)


def calm(count: int) -> list[Row]:
    """A history without surprises, so that warm-ups are over."""
    return [(i % SLOTS, 60_000, 40, float(i % 7)) for i in range(count)]


def long(seed: int, count: int = 6000) -> list[Row]:
    """What a year holds in small: noise, steps, rests, spikes, gaps, disorder, repetitions, and what is no number."""
    rng = np.random.default_rng(seed)
    centre, found = 10.0, list[Row]()
    for i in range(count):
        if rng.random() < 0.002:
            centre = float(rng.choice([0.0, 10.0, 55.5, -3.0, 1e7]))
        value = centre if i // 500 % 4 == 3 else round(centre + float(rng.normal()), int(rng.integers(0, 8)))
        if rng.random() < 0.03:
            value = float(rng.choice([np.nan, np.inf, 1e200, -1e6, 1e4, 0.0, -0.0]))
        gap = int(rng.choice([0, 1, 500, 60_000, 3_000_000 if rng.random() < 0.05 else 1000, -700]))
        found.append((int(rng.integers(0, SLOTS)), gap, int(rng.choice([0, 30, 5000])), value))
    return found


def batch_of(drawn: Sequence[Row], column: str = "value") -> Batch:
    table = [(START, 0, 0, 0.0), *drawn]
    ts = np.cumsum([one[1] for one in table])[1:] + START
    slot = np.array([one[0] for one in drawn], dtype=np.int32)
    arrival = np.maximum.accumulate(ts + np.array([one[2] for one in drawn], dtype=np.int64)) if drawn else ts
    value = np.array([one[3] for one in drawn], dtype=np.float64)
    offset = np.arange(len(drawn), dtype=np.int64)
    return Batch("sensor", slot, ts, arrival, offset, slot * 0, slot < 0, [None] * len(drawn), {column: value})


def series() -> list[Series]:
    """Of some the registry names the interval."""
    intervals = [None, 60.0, 1.0, None]
    return [Series(f"S{i}", "m", interval_s=intervals[i], report_after_s=7200.0 if i == 1 else None) for i in range(SLOTS)]


class Way:
    """A detector that is always shown its batches with its loop compiled, or never."""

    def __init__(self, kind: Callable[..., Detector[Any]], params: Any, is_compiled: bool) -> None:
        self._compiled = is_compiled
        self.detector = kind(params, series())
        self.detector.grow(SLOTS)
        self.detector.changed(range(SLOTS))

    def show(self, batch: Batch) -> list[bytes]:
        """Bytes of measure, expectation and score, and what is said of rows, all but one in fifty of a long batch skipped."""
        with mock.patch.object(compiled, "AVAILABLE", self._compiled), np.errstate(all="ignore"):
            told = self.detector.measure(batch)
            return [*_columns(told), *_words(told, max(len(batch) // 200, 1))]

    def do(self, act: Callable[[Detector[Any]], Any]) -> Any:
        with mock.patch.object(compiled, "AVAILABLE", self._compiled), np.errstate(all="ignore"):
            return act(self.detector)

    def state(self) -> dict[str, Any]:
        """Snapshot, arrays as bytes."""
        saved = self.detector.snapshot()
        return {name: part.tobytes() if isinstance(part, np.ndarray) else part for name, part in saved.items()}


def _columns(told: Measures) -> list[bytes]:
    return [b"" if column is None else column.tobytes() for column in (told.measure, told.expected, told.score)]


def _words(told: Measures, step: int) -> list[bytes]:
    if told.explain is None:
        return []
    return [told.explain(i).encode() for i in range(0, len(told.measure), step) if told.measure[i] == told.measure[i]]


def agree(kind: Callable[..., Detector[Any]], params: Any, drawn: Sequence[Row], cut: int, column: str = "value") -> None:
    """The batch in one and cut in two, compiled and in numpy, says the same bits and leaves the same state."""
    batch = batch_of(drawn, column)
    loop, steps = Way(kind, params, True), Way(kind, params, False)
    assert loop.show(batch) == steps.show(batch)
    assert loop.state() == steps.state()
    loop_cut, steps_cut = Way(kind, params, True), Way(kind, params, False)
    for part in (batch.cut(0, cut), batch.cut(cut, len(batch))):
        assert loop_cut.show(part) == steps_cut.show(part)
    assert loop_cut.state() == steps_cut.state() == loop.state()


def agree_at_tick(loop: Way, steps: Way, now: int) -> int:
    """Both ways are due at the same time and tell the same bits at ``now``; how many measures that were."""
    told = [way.do(lambda detector: (detector.due(), detector.tick(now))) for way in (loop, steps)]
    assert told[0][0] == told[1][0]
    said = [b"" if measures is None else measures.measure.tobytes() for _, measures in told]
    assert said[0] == said[1]
    return len(said[0]) // 8

"""Silence of a whole stream of which nothing need be registered (PLT-01; D9: no data is never "normal").

The runner shows the first record of every ten seconds that was not long on its way; what is measured is the time since the last
of them, once it is longer than this stream has any reason for: ``after_s``, ``factor`` × its median gap, and ``longest`` × the
longest gap of about the last day. The longest gap is what a hotline's evening needs: its median stays that of the day.

A stream that never came closer together than ``usual_s`` is sparse, and its silence says nothing; neither does that of one that
has been heard less than ``rows`` times. A gap that was reported is not learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Columns, Detector, Measures, Params, register
from detectors.series import Series
from streams.batch import Batch, Float64, Int64

_NEVER = np.iinfo(np.int64).min
_FOREVER = np.iinfo(np.int64).max
#: Each gap moves the learned median by this share, as in detectors.silence.
_MEDIAN_STEP = 0.02


class StreamSilenceParams(Params, frozen=True):
    """``after_s``: silence never reported earlier; ``forget_s``: in which the longest gap seen loses half of its length."""

    after_s: Annotated[float, Meta(gt=0)] = 600.0
    factor: Annotated[float, Meta(ge=1)] = 20.0
    longest: Annotated[float, Meta(ge=1)] = 3.0
    usual_s: Annotated[float, Meta(gt=0)] = 60.0
    rows: Annotated[int, Meta(ge=2)] = 20
    forget_s: Annotated[float, Meta(gt=0)] = 86_400.0


@register
class StreamSilence(Detector[StreamSilenceParams]):
    """Measure: 0 on a row; on a tick, the seconds since the last row, of a stream silent for longer than it has reason to."""

    name: ClassVar[str] = "stream_silence"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "vehicle", "video", "hotline"})
    of_stream: ClassVar[bool] = True
    Params: ClassVar[type[Params]] = StreamSilenceParams

    def __init__(self, params: StreamSilenceParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._due = _FOREVER

    def columns(self) -> Columns:
        return Columns(
            last=(np.int64, _NEVER),
            next=(np.int64, _FOREVER),
            gap=(np.float64, np.nan),
            longest=(np.float64, 0.0),
            rows=(np.int32, 0),
        )

    def measure(self, batch: Batch) -> Measures:
        slot, state = batch.slot, self.state
        before = state["last"][slot]
        last = np.maximum(before, batch.arrival)
        gap = np.where(before == _NEVER, 0, last - np.where(before == _NEVER, last, before)) / 1000.0
        self._learn(slot, gap)
        state["last"][slot] = last
        state["rows"][slot] = np.minimum(state["rows"][slot], 2**30) + 1
        after = self._after(slot)
        watched = (state["rows"][slot] >= self.params.rows) & (state["gap"][slot] <= self.params.usual_s)
        due = np.where(watched, last + np.round(after * 1000).astype(np.int64), _FOREVER)
        state["next"][slot] = due
        if len(slot):
            self._due = min(self._due, int(due.min()))
        return Measures(np.zeros(len(slot)), explain=lambda i: "the stream is heard again")

    def _learn(self, slot: NDArray[Any], gap: Float64) -> None:
        state, params = self.state, self.params
        median, longest = state["gap"][slot], state["longest"][slot]
        reported = (state["next"][slot] != _FOREVER) & (gap > self._after(slot))
        learns = (gap > 0) & ~reported
        moved = np.where(np.isnan(median), gap, median * np.where(gap > median, 1 + _MEDIAN_STEP, 1 / (1 + _MEDIAN_STEP)))
        state["gap"][slot] = np.where(learns, moved, median)
        kept = longest * np.exp2(-np.minimum(gap, 1e9) / params.forget_s)
        state["longest"][slot] = np.where(learns, np.maximum(kept, gap), longest)

    def _after(self, slot: NDArray[Any]) -> Float64:
        """Seconds of silence beyond which a stream is reported."""
        state, params = self.state, self.params
        usual = np.where(np.isnan(state["gap"][slot]), 0.0, state["gap"][slot])
        after = np.maximum(params.factor * usual, params.longest * state["longest"][slot])
        bounded: Float64 = np.minimum(np.maximum(after, params.after_s), 1e9)
        return bounded

    def due(self) -> int | None:
        return None if self._due == _FOREVER else self._due

    def tick(self, now: int) -> Measures | None:
        if now < self._due:
            return None
        state, size = self.state, self.state.size
        slots: NDArray[np.intp] = np.flatnonzero(state["next"][:size] <= now)
        after = self._after(slots)
        # Told once: a row sets the next time.
        state["next"][slots] = _FOREVER - 1
        self._due = int(state["next"][:size].min()) if size else _FOREVER
        if self._due >= _FOREVER - 1:
            self._due = _FOREVER
        if not len(slots):
            return None
        silent = (now - state["last"][slots]) / 1000.0
        usual = state["gap"][slots].copy()

        def explain(i: int) -> str:
            return f"nothing heard for {silent[i]:.0f} s, usually every {max(usual[i], 1.0):.0f} s"

        return Measures(silent, expected=after, slot=slots.astype(np.int32), explain=explain)

    def heard(self, slot: int) -> int | None:
        """Newest arrival (ms) of a slot; None before its first."""
        last = int(self.state["last"][slot])
        return None if last == _NEVER else last

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        next_: Int64 = self.state["next"][: self.state.size]
        self._due = int(next_.min()) if len(next_) else _FOREVER
        if self._due >= _FOREVER - 1:
            self._due = _FOREVER

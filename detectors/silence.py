"""Silence: how long a series that ought to speak has said nothing (D9: no data is never "normal").

Three numbers per feed: the expected interval, report after, give up after. This detector uses the first two; giving up is
the shard's matter, which forgets the series. Time here is arrival time: a device that sends old readings is not silent.

* Report after: the registry's ``report_after_s``, else ``factor`` × the registry's ``interval_s``, else, where ``learn``
  says so, ``factor`` × the median interval seen so far. A series with none of these is not watched.
* A *registered* series is watched from the first tick the shard sees after it was told of it, so one that was never heard
  is reported too. Others are watched from their first row.
* A row measures 0 and so ends the alarm; a silent series is measured again every ``repeat_s``, so that longer silence can
  reach a more severe level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Columns, Detector, Measures, Params, Series, register
from streams.batch import Batch, Int32, Int64

_NEVER = np.iinfo(np.int64).min
_FOREVER = np.iinfo(np.int64).max
#: Each arrival moves the learned median up or down by this share: 35 rows from a factor 2 off, blind to single gaps.
_MEDIAN_STEP = 0.02


class SilenceParams(Params, frozen=True):
    """``factor``: times the interval. ``learn``: for series of which the registry says nothing, after ``learn_rows`` rows."""

    factor: Annotated[float, Meta(ge=1)] = 3.0
    learn: bool = False
    learn_rows: Annotated[int, Meta(ge=3)] = 20
    repeat_s: Annotated[float, Meta(ge=1)] = 60.0


@register
class Silence(Detector[SilenceParams]):
    """Measure: 0 on a row; on a tick, the seconds since the last arrival, of series silent for longer than theirs."""

    name: ClassVar[str] = "silence"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "group", "vehicle", "video"})
    Params: ClassVar[type[Params]] = SilenceParams
    takes_late: ClassVar[bool] = True

    def __init__(self, params: SilenceParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._repeat_ms = round(params.repeat_s * 1000)
        #: Lower bound of every ``next``: rows only move a slot's own later, so it is found anew only by a tick.
        self._due = _FOREVER
        self._waiting = False

    def columns(self) -> Columns:
        return Columns(
            last=(np.int64, _NEVER),
            next=(np.int64, _FOREVER),
            after=(np.int64, 0),
            waits=(np.bool_, False),
            interval=(np.float64, np.nan),
            rows=(np.int32, 0),
        )

    def changed(self, slots: Sequence[int]) -> None:
        for slot in slots:
            series = self.series[slot]
            after = series.report_after_s
            if after is None and series.interval_s is not None:
                after = self.params.factor * series.interval_s
            state = self.state
            told = 0 if after is None or not 0 < after < 1e9 else max(round(after * 1000), 1)
            if told == 0 and state["rows"][slot] and self.params.learn:
                told = int(self._learned(np.array([slot], dtype=np.int32))[0])
            state["after"][slot] = told
            last = int(state["last"][slot])
            state["next"][slot] = last + told if told and last != _NEVER else _FOREVER
            state["waits"][slot] = bool(told) and last == _NEVER and series.registered
            self._waiting |= bool(state["waits"][slot])
            self._due = min(self._due, int(state["next"][slot]))

    def measure(self, batch: Batch) -> Measures:
        slot, state = batch.slot, self.state
        last = np.maximum(state["last"][slot], batch.arrival)
        after = state["after"][slot]
        if self.params.learn:
            after = self._learn(slot, last, after)
        due = np.where(after > 0, last + after, _FOREVER)
        state["last"][slot] = last
        state["next"][slot] = due
        state["waits"][slot] = False
        if len(slot):
            self._due = min(self._due, int(due.min()))
        return Measures(np.zeros(len(slot)), explain=lambda i: "heard again")

    def _learn(self, slot: Int32, last: Int64, after: Int64) -> Int64:
        """Median interval by small steps; ``after`` follows it where the registry says nothing."""
        state = self.state
        before, interval = state["last"][slot], state["interval"][slot]
        # An interval of 0 (an array, or one poll of many readings) is no interval.
        gap = np.where(before == _NEVER, 0, last - np.where(before == _NEVER, last, before)) / 1000.0
        moved = np.where(np.isnan(interval), gap, interval * np.where(gap > interval, 1 + _MEDIAN_STEP, 1 / (1 + _MEDIAN_STEP)))
        counts = gap > 0
        state["interval"][slot] = np.where(counts, moved, interval)
        state["rows"][slot] = np.where(counts, np.minimum(state["rows"][slot], 2**30) + 1, state["rows"][slot])
        told = np.array([self._told(int(s)) for s in slot], dtype=np.bool_)
        after = np.where(told, after, self._learned(slot))
        state["after"][slot] = after
        return after

    def _told(self, slot: int) -> bool:
        series = self.series[slot]
        return series.report_after_s is not None or series.interval_s is not None

    def _learned(self, slot: Int32) -> Int64:
        enough = self.state["rows"][slot] >= self.params.learn_rows
        interval = np.where(enough, self.state["interval"][slot], 0.0)
        return np.round(np.minimum(interval, 1e9) * self.params.factor * 1000.0).astype(np.int64)

    def due(self) -> int | None:
        if self._waiting:
            return 0
        return None if self._due == _FOREVER else self._due

    def tick(self, now: int) -> Measures | None:
        state, size = self.state, self.state.size
        if self._waiting:
            waits = np.flatnonzero(state["waits"][:size])
            state["last"][waits] = now
            state["next"][waits] = now + state["after"][waits]
            state["waits"][waits] = False
            self._waiting = False
            if len(waits):
                self._due = min(self._due, int(state["next"][waits].min()))
        if now < self._due:
            return None
        slots: NDArray[np.intp] = np.flatnonzero(state["next"][:size] <= now)
        state["next"][slots] = now + self._repeat_ms
        self._due = int(state["next"][:size].min()) if size else _FOREVER
        if not len(slots):
            return None
        silent = (now - state["last"][slots]) / 1000.0
        after = state["after"][slots] / 1000.0

        def explain(i: int) -> str:
            return f"silent for {silent[i]:.0f} s, to be reported after {after[i]:.0f} s"

        return Measures(silent, expected=after, slot=slots.astype(np.int32), explain=explain)

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        size = self.state.size
        self._due = int(self.state["next"][:size].min()) if size else _FOREVER
        self._waiting = bool(self.state["waits"][:size].any())

"""Report rate: how many reports of a series come in a stretch of time, against how many usually do: dropouts and bursts.

A radio that loses every third message is never silent for long, so :mod:`detectors.silence` says nothing, and its readings look
normal; a device that sends a hundred times as often floods its neighbours. Both show in the count of reports per ``window_s``
of arrival time. What is usual is the registry's interval where it names one, and learned otherwise: the mean count of the
windows, none of which counts for more than twice what is usual, and those beyond ``freeze`` for nothing until they are
``adopt_after`` running.

Counts scatter by themselves, so a window is spoken of only where its count lies at least ``least`` standard deviations of a
Poisson count from the usual one (after Anscombe's square root, *Biometrika* 1948); others measure what is usual.

One long gap is a silence and no loss: a dropout is judged by what is missing beside the longest gap of the window, so that the
outage of a gateway is not told once more by every device behind it. Who sends what cannot be used (a sentinel, say) makes no
gap and loses reports all the same, be it all of them. A window in which nothing came says nothing, and after ``silent`` of them
the series is left to the detector of silence. A series that may be silent for longer than a window (``report_after_s``) loses
nothing by being so: its dropouts are not judged.

Do not use it for events that come in bursts by nature (calls: :mod:`detectors.burst`), nor with windows in which fewer than
some ten reports are usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors import report_rate_kernel as kernel
from detectors.base import Columns, Detector, Measures, Params, register
from detectors.report_rate_kernel import FOREVER
from detectors.series import Series
from detectors.small import beside
from streams import compiled
from streams.batch import Batch, Bool, Float64, Int32, Int64, rounds

_NEVER = np.iinfo(np.int64).min


class ReportRateParams(Params, frozen=True):
    """``window_s``: whole seconds a window. ``side``: ``dropout`` measures the share of the usual reports that is missing
    (0 to 1), ``burst`` how many times the usual number came. ``least``: in standard deviations of the count.

    ``warmup``, ``memory``, ``adopt_after``, ``silent``: windows. ``freeze``: counts beyond this factor either way are not
    learned from.
    """

    window_s: Annotated[int, Meta(ge=1, le=7 * 86400)] = 3600
    side: Literal["dropout", "burst"] = "dropout"
    least: Annotated[float, Meta(ge=1)] = 4.0
    warmup: Annotated[int, Meta(ge=1)] = 6
    memory: Annotated[float, Meta(ge=2)] = 100.0
    freeze: Annotated[float, Meta(gt=1)] = 1.5
    adopt_after: Annotated[int, Meta(ge=2)] = 48
    silent: Annotated[int, Meta(ge=1)] = 3


@register
class ReportRate(Detector[ReportRateParams]):
    """Measure: once a window, at its end (for bursts also on the row that makes it one): missing share, or times the usual."""

    name: ClassVar[str] = "report_rate"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "vehicle", "video"})
    Params: ClassVar[type[Params]] = ReportRateParams
    #: A report is one however late it comes.
    takes_late: ClassVar[bool] = True
    #: What cannot be used is no report, but ends a gap.
    takes_unmeasured: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    compiled: ClassVar[bool] = True

    def __init__(self, params: ReportRateParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._window_ms = int(params.window_s) * 1000
        #: What :func:`detectors.report_rate_kernel.rows` takes first, in its order and of its types.
        self._fixed = (self._window_ms, params.side == "burst", int(params.warmup), float(params.least))
        #: The registry's interval and longest silence (s) of each slot, 0 where it names none.
        self._facts = Columns(interval=(np.float64, 0.0), granted=(np.float64, 0.0))
        #: End of the window that is open, of all slots together: windows stand on one grid.
        self._end = FOREVER

    def columns(self) -> Columns:
        return Columns(
            # End of the open window; where the slot was first heard inside it, the window is not counted.
            end=(np.int64, FOREVER),
            count=(np.int64, 0),
            # Newest arrival, and the longest stretch without one inside the open window, in ms.
            last=(np.int64, _NEVER),
            gap=(np.int64, 0),
            whole=(np.bool_, False),
            usual=(np.float64, 0.0),
            windows=(np.int32, 0),
            beyond=(np.int32, 0),
            beyond_mean=(np.float64, 0.0),
            empty=(np.int32, 0),
        )

    def grow(self, size: int) -> None:
        super().grow(size)
        self._facts.grow(size)

    def changed(self, slots: Sequence[int]) -> None:
        for slot in slots:
            facts = self.series[slot]
            self._facts["interval"][slot] = facts.interval_s or 0.0
            self._facts["granted"][slot] = facts.report_after_s or 0.0

    def measure(self, batch: Batch) -> Measures:
        slot, arrival, usable, state = batch.slot, batch.arrival, _usable(batch), self.state
        told = np.full((3, len(batch)), np.nan)
        if compiled.AVAILABLE:
            intervals = self._facts["interval"]
            earliest = kernel.rows(*self._fixed, slot, arrival, usable, told, intervals, *state.all()[:7])
            self._end = min(self._end, earliest)
        else:
            for piece in rounds(slot):
                self._count(slot[piece], arrival[piece], usable[piece])
                if self.params.side == "burst":
                    told[:, piece] = self._so_far(slot[piece], usable[piece]).T
        if self.params.side == "dropout":
            return Measures(told[0])
        return Measures(told[0], told[1], explain=lambda i: self._words(int(told[2, i]), float(told[1, i])))

    def _count(self, slot: Int32, arrival: Int64, usable: Bool) -> None:
        state = self.state
        end, last = state["end"][slot], state["last"][slot]
        opens = end == FOREVER
        if opens.any():
            end[opens] = (arrival[opens] // self._window_ms + 1) * self._window_ms
            state["end"][slot] = end
        state["count"][slot] += usable
        state["gap"][slot] = self._longest(slot, end, last, arrival)
        state["last"][slot] = np.maximum(last, arrival)
        self._end = min(self._end, int(end.min()))

    def _so_far(self, slot: Int32, usable: Bool) -> Float64:
        """(measure, usual number, number so far) of the windows that are open, as on a row of each: shape (rows, 3)."""
        count, usual = self.state["count"][slot], self._usual(slot)
        told = self._measured(count, usual)
        return beside(
            np.where(usable & self.state["whole"][slot] & (told > 1.0), told, np.nan), usual, count.astype(np.float64)
        )

    def _usual(self, slot: NDArray[Any]) -> Float64:
        """Reports a window by the registry's interval, else as learned; NaN before ``warmup`` windows."""
        learned = np.where(self.state["windows"][slot] >= self.params.warmup, self.state["usual"][slot], np.nan)
        told = self._facts["interval"][slot]
        named = (told > 0) & (told < kernel.LONGEST_S)
        usual = np.where(named, np.divide(self.params.window_s, told, out=np.ones(len(slot)), where=named), learned)
        if self.params.side == "dropout":
            usual = np.where(self._facts["granted"][slot] > self.params.window_s, np.nan, usual)
        return usual

    def _gap(self, slot: NDArray[Any], until: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """The longest stretch of the open window without a report, if the next one comes at ``until`` (ms)."""
        return self._longest(slot, self.state["end"][slot], self.state["last"][slot], until)

    def _longest(
        self, slot: NDArray[Any], end: NDArray[np.int64], last: NDArray[np.int64], until: NDArray[np.int64] | int
    ) -> NDArray[np.int64]:
        longest: NDArray[np.int64] = np.maximum(self.state["gap"][slot], until - np.maximum(last, end - self._window_ms))
        return longest

    def _beside(self, slot: NDArray[Any], usual: Float64, now: int) -> Float64:
        """Of the usual reports, those that would not have come in the longest gap of the window that ends by ``now``."""
        if self.params.side == "burst":
            return usual
        gap = self._gap(slot, np.minimum(now, self.state["end"][slot]))
        usually = np.divide(self._window_ms, usual, out=np.zeros(len(usual)), where=usual > 0)
        return usual * (1.0 - np.clip((gap - usually) / self._window_ms, 0.0, 1.0))

    def _measured(self, count: NDArray[Any], usual: Float64) -> Float64:
        """What a window with this count measures; NaN where nothing is usual yet."""
        known = np.where(np.isnan(usual), 0.0, usual)
        away = 2.0 * (np.sqrt(count + 0.375) - np.sqrt(known + 0.375))
        if self.params.side == "dropout":
            share = 1.0 - np.divide(count, known, out=np.ones(len(count)), where=known > 0)
            told = np.where(away <= -self.params.least, np.clip(share, 0.0, 1.0), 0.0)
        else:
            times = np.divide(count, known, out=np.ones(len(count)), where=known > 0)
            told = np.where(away >= self.params.least, np.minimum(times, kernel.MOST), 1.0)
        return np.where(np.isnan(usual), np.nan, told)

    def due(self) -> int | None:
        return None if self._end == FOREVER else self._end

    def soonest(self, batch: Batch) -> Int64:
        """The end of the row's window."""
        ends: Int64 = (batch.arrival // self._window_ms + 1) * self._window_ms
        return ends

    def tick(self, now: int) -> Measures | None:
        if now < self._end:
            return None
        state, size = self.state, self.state.size
        slots: NDArray[np.intp] = np.flatnonzero(state["end"][:size] <= now)
        count, whole = state["count"][slots], state["whole"][slots]
        # Anything came, usable or not.
        alive = (count > 0) | (state["last"][slots] >= state["end"][slots] - self._window_ms)
        usual = self._usual(slots)
        told = self._measured(count, self._beside(slots, usual, now))
        self._learn(slots, count, whole)
        empty = np.where(alive, 0, state["empty"][slots] + 1)
        gone = empty >= self.params.silent
        state["empty"][slots] = np.where(gone, 0, empty)
        state["count"][slots] = state["gap"][slots] = 0
        state["whole"][slots] = ~gone
        # Ticks may come late (a stream that paused): the window that is open now is the one that holds ``now``.
        state["end"][slots] = np.where(gone, FOREVER, (now // self._window_ms + 1) * self._window_ms)
        self._end = int(state["end"][:size].min()) if size else FOREVER
        measure = np.where(whole & alive, told, np.nan)
        spoken = np.flatnonzero(~np.isnan(measure))
        if not len(spoken):
            return None

        def explain(i: int) -> str:
            return self._words(int(count[spoken[i]]), float(usual[spoken[i]]))

        return Measures(measure[spoken], usual[spoken], slot=slots[spoken].astype(np.int32), explain=explain)

    def _learn(self, slots: NDArray[np.intp], count: NDArray[Any], whole: NDArray[np.bool_]) -> None:
        state, params = self.state, self.params
        usual, windows, beyond = state["usual"][slots], state["windows"][slots], state["beyond"][slots]
        counts = whole & (count > 0)
        warm = windows >= params.warmup
        away = counts & warm & ((count > params.freeze * usual + 1) | (count < usual / params.freeze - 1))
        run = np.where(away, beyond + 1, np.where(counts, 0, beyond))
        held = np.where(beyond > 0, state["beyond_mean"][slots], 0.0)
        mean = np.where(away, held + (count - held) / np.maximum(run, 1), held)
        adopt = run >= params.adopt_after
        learns = counts & ~away
        seen = np.where(warm, np.minimum(count, 2 * usual + 1), count)
        step = np.where(learns, (seen - usual) / np.minimum(windows + 1.0, params.memory), 0.0)
        state["usual"][slots] = np.where(adopt, mean, usual + step)
        state["windows"][slots] = np.where(learns, np.minimum(windows, 2**30) + 1, windows)
        state["beyond"][slots] = np.where(adopt, 0, run)
        state["beyond_mean"][slots] = np.where(adopt, 0.0, mean)

    def _words(self, count: int, usual: float) -> str:
        return f"{count} reports in {self.params.window_s} s, usually {usual:.0f}"

    def forget(self, slots: NDArray[Any]) -> None:
        super().forget(slots)
        size = self.state.size
        self._end = int(self.state["end"][:size].min()) if size else FOREVER

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        size = self.state.size
        self._end = int(self.state["end"][:size].min()) if size else FOREVER


def _usable(batch: Batch) -> NDArray[np.bool_]:
    """Rows that hold a number; the others are only signs of life."""
    usable = np.zeros(len(batch), dtype=np.bool_)
    for column in batch.columns.values():
        usable |= column == column
        if usable.all():
            break
    return usable

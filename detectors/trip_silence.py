"""Trip silence: a loaded truck that was under way and is heard no more (domain.md MUC-06: offline 10 min during an open trip).

A terminal that falls silent in the yard is a device to repair; one that falls silent with a load on the road may have been
switched off so that nobody sees where it goes. The measure is the seconds since the last arrival, of a truck whose last fix
said loaded and moving; any record ends it, also one without a position (a tunnel). Do not use it for terminals that report
only when they stop, nor for trucks whose load nobody measures: unknown load is no trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta

from detectors import fixes
from detectors.base import Columns, Detector, Measures, Params, Snapshot, register
from detectors.series import Series
from streams.batch import Batch, Bool, Int64

_FOREVER = np.iinfo(np.int64).max


class TripSilenceParams(Params, frozen=True):
    """``after_s``: silence that is told; ``above_kmh``: under way. A truck whose registered interval is longer than half of
    ``after_s`` is not judged: it would be silent by habit. ``stream_s``: while the whole stream has been quiet for so long,
    nobody vanishes, and what was not heard meanwhile does not count."""

    after_s: Annotated[float, Meta(ge=1)] = 600.0
    above_kmh: Annotated[float, Meta(ge=0)] = 5.0
    repeat_s: Annotated[float, Meta(ge=1)] = 60.0
    stream_s: Annotated[float, Meta(ge=1)] = 120.0
    only_kinds: tuple[str, ...] = ("muck_truck",)


@register
class TripSilence(Detector[TripSilenceParams]):
    """State per truck: last arrival, when silence is due (0: not under way).

    >>> detector = TripSilence(TripSilenceParams(), [Series("T1", stream="vehicle", kind="muck_truck")]); detector.grow(1)
    >>> zero, at = np.zeros(1, dtype=np.int32), np.array([1_000])
    >>> columns = {"speed_kmh": np.array([40.0]), "load": np.array([2.0])}
    >>> detector.measure(Batch("vehicle", zero, at, at, at, zero, zero > 0, [None], columns)).measure.tolist()
    [0.0]
    >>> detector.tick(601_000).measure.tolist()
    [600.0]
    """

    name: ClassVar[str] = "trip_silence"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    Params: ClassVar[type[Params]] = TripSilenceParams
    takes_late: ClassVar[bool] = True
    takes_unmeasured: ClassVar[bool] = True
    feels_pulse: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def __init__(self, params: TripSilenceParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._due = _FOREVER
        self._after_ms = round(params.after_s * 1000)
        #: When the stream was last known to be quiet as a whole.
        self._quiet = 0

    def columns(self) -> Columns:
        return Columns(last=(np.int64, 0), next=(np.int64, _FOREVER), trip=(np.bool_, False))

    def measure(self, batch: Batch) -> Measures:
        state, slot = self.state, batch.slot
        load, speed = fixes.column(batch, "load"), fixes.column(batch, "speed_kmh")
        told = ~np.isnan(load) & ~np.isnan(speed) & ~batch.late
        under_way = told & (load >= fixes.LOAD_HALF) & (speed > self.params.above_kmh)
        moving = np.flatnonzero(under_way)
        under_way[moving] = self._judged(batch.take(moving))
        # Of several rows of a truck the last one stays.
        state["trip"][slot[told]] = under_way[told]
        np.maximum.at(state["last"], slot, batch.arrival)
        due = np.where(state["trip"][slot], state["last"][slot] + self._after_ms, _FOREVER)
        state["next"][slot] = due
        if len(slot):
            self._due = min(self._due, int(due.min()))
        return Measures(np.zeros(len(batch)), explain=lambda row: "heard again")

    def _judged(self, batch: Batch) -> Bool:
        """Rows of trucks that are not silent by habit."""
        paced = [self._paced(each) for each in batch.slot.tolist()]
        return fixes.of_kinds(batch, self.series, self.params.only_kinds) & np.array(paced, dtype=np.bool_)

    def _paced(self, slot: int) -> bool:
        interval = self.series[slot].interval_s
        return interval is None or interval <= self.params.after_s / 2

    def soonest(self, batch: Batch) -> Int64:
        """A silence after the row."""
        return batch.arrival + self._after_ms

    def due(self) -> int | None:
        return None if self._due == _FOREVER else self._due

    def tick(self, now: int) -> Measures | None:
        if now < self._due:
            return None
        state, size = self.state, self.state.size
        slots = np.flatnonzero(state["next"][:size] <= now)
        state["next"][slots] = now + round(self.params.repeat_s * 1000)
        self._due = int(state["next"][:size].min()) if size else _FOREVER
        if not len(slots):
            return None
        if self.pulse is not None and now - self.pulse > self.params.stream_s * 1000:
            self._quiet = now
            return None
        silent = (now - np.maximum(state["last"][slots], self._quiet)) / 1000.0
        return Measures(
            silent, slot=slots.astype(np.int32), explain=lambda i: f"silent for {silent[i]:.0f} s with a load on the road"
        )

    def snapshot(self) -> Snapshot:
        return super().snapshot() | {"quiet": self._quiet}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self._quiet = int(saved["quiet"])
        size = self.state.size
        self._due = int(self.state["next"][:size].min()) if size else _FOREVER

"""Silence: how long a series that ought to speak has said nothing (D9: no data is never "normal").

Three numbers per feed: the expected interval, report after, give up after. This detector uses the first two; giving up is
the shard's matter, which forgets the series. Time here is arrival time: a device whose clock is slow is not silent. But a
single row that was on its way for longer than the time to report, where its series was quicker before, tells nothing of now.

* Report after: the registry's ``report_after_s``, else ``factor`` × the registry's ``interval_s``, else, where ``learn``
  says so, ``factor`` × the median interval seen so far. A series with none of these is not watched.
* A *registered* series is watched from the first tick the shard sees after it was told of it, so one that was never heard
  is reported too. Others are watched from their first row.
* A row measures 0 and so ends the alarm; a silent series is measured again every ``repeat_s``, so that longer silence can
  reach a more severe level.
* With ``needed`` above 0 each silence says whose it is (:mod:`detectors.neighbours`): the device's own, or one of its gateway's
  or its whole stream's, because the neighbours' reports that were due did not come either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors import silence_kernel as kernel
from detectors.base import Columns, Detector, Measures, Params, Snapshot, register
from detectors.neighbours import Gateways, Neighbours, whose
from detectors.series import Series
from detectors.silence_kernel import FOREVER, MEDIAN_STEP, NEVER, UNKNOWN
from detectors.slot_records import SlotRecords
from streams import compiled
from streams.batch import Batch, Bool, Float64, Int32, Int64, rounds


class SilenceParams(Params, frozen=True):
    """``factor``: times the interval. ``learn``: for series of which the registry says nothing, after ``learn_rows`` rows.

    ``stream_s`` above 0: while the whole stream has been quiet for so long, nothing is told of a series, and what was not
    heard meanwhile does not count: for silences that are a hazard of their own, where nobody folds those of an outage.

    ``needed``: reports of neighbours (and its own) that must have been due before a silence is told to be that of the
    gateway or the stream, 0: never told. ``heard_share``: at most this share of them came.
    """

    factor: Annotated[float, Meta(ge=1)] = 3.0
    learn: bool = False
    learn_rows: Annotated[int, Meta(ge=3)] = 20
    repeat_s: Annotated[float, Meta(ge=1)] = 60.0
    #: Metrics that are reported when something happens: an interval is no promise there, only ``report_after_s`` is.
    eventful: tuple[str, ...] = ()
    needed: Annotated[int, Meta(ge=0)] = 0
    heard_share: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    stream_s: Annotated[float, Meta(ge=0)] = 0.0


@register
class Silence(Detector[SilenceParams]):
    """Measure: 0 on a row; on a tick, the seconds since the last arrival, of series silent for longer than theirs."""

    name: ClassVar[str] = "silence"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "group", "vehicle", "video"})
    Params: ClassVar[type[Params]] = SilenceParams
    takes_late: ClassVar[bool] = True
    takes_unmeasured: ClassVar[bool] = True
    feels_pulse: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    #: 2: rows long on their way no longer end a silence. 3: rows of a device under maintenance do.
    revision: ClassVar[int] = 3
    state: SlotRecords

    def __init__(self, params: SilenceParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._repeat_ms = round(params.repeat_s * 1000)
        #: Lower bound of every ``next``: rows only move a slot's own later, so it is found anew only by a tick.
        self._due = FOREVER
        self._waiting = False
        #: What :meth:`_least_after` found last; None where facts have changed since.
        self._least: int | None = None
        #: When the stream was last known to be quiet as a whole.
        self._quiet = 0
        #: Series that take part in the judgement of their neighbours; follows from ``series``.
        self._gateways = Gateways()
        #: Of which slots the registry says how long they may be silent.
        self._facts = Columns(named=(np.bool_, False))
        #: What :func:`detectors.silence_kernel.rows` takes first, in its order and of its types.
        self._fixed = (bool(params.learn), int(params.learn_rows), float(params.factor))

    def columns(self) -> SlotRecords:
        return SlotRecords(
            last=(np.int64, NEVER),
            next=(np.int64, FOREVER),
            after=(np.int64, 0),
            waits=(np.bool_, False),
            # Newest event time; how long the newest row was on its way; the interval the registry names, 0 where it does not.
            spoke=(np.int64, NEVER),
            age=(np.int64, UNKNOWN),
            every=(np.int64, 0),
            interval=(np.float64, np.nan),
            rows=(np.int32, 0),
        )

    def grow(self, size: int) -> None:
        super().grow(size)
        self._facts.grow(size)

    def changed(self, slots: Sequence[int]) -> None:
        self._least = None
        which = np.asarray(slots, dtype=np.int32)
        facts = [self.series[slot] for slot in slots]
        state, rows = self.state, self.state["rows"][which].tolist()
        told = [self._by_registry(series) for series in facts]
        if self.params.learn:
            for place, count in enumerate(rows):
                if count and told[place] == 0:
                    told[place] = int(self._learned(which[place : place + 1])[0])
        for slot, series, ms in zip(slots, facts, told, strict=True):
            self._take_part(slot, series, ms)
        after, last = np.array(told, dtype=np.int64), state["last"][which]
        self._facts["named"][which] = [one.report_after_s is not None or one.interval_s is not None for one in facts]
        state["after"][which] = after
        state["next"][which] = due = np.where((after > 0) & (last != NEVER), last + after, FOREVER)
        registered = np.array([one.registered for one in facts], dtype=np.bool_)
        state["waits"][which] = waits = (after > 0) & (last == NEVER) & registered
        self._waiting |= bool(waits.any())
        self._due = min(self._due, int(due.min(initial=FOREVER)))

    def _by_registry(self, series: Series) -> int:
        """Silence to report (ms) by the registry; 0 where it says nothing of it."""
        after = series.report_after_s
        if after is None and series.interval_s is not None and series.metric not in self.params.eventful:
            after = self.params.factor * series.interval_s
        return 0 if after is None or not 0 < after < 1e9 else max(round(after * 1000), 1)

    def _take_part(self, slot: int, series: Series, after: int) -> None:
        every = series.interval_s if series.interval_s is not None else after / 1000.0 / self.params.factor
        takes_part = bool(self.params.needed) and series.registered and after > 0 and 0 < every < 1e9
        self.state["every"][slot] = max(round(every * 1000), 1) if takes_part else 0
        if takes_part:
            self._gateways.put(slot, series.gateway)
        else:
            self._gateways.drop([slot])

    def measure(self, batch: Batch) -> Measures:
        slot, ts, arrival, late = batch.slot, batch.ts, batch.arrival, batch.late
        measure = np.empty(len(batch))
        if compiled.AVAILABLE:
            named = self._facts["named"]
            earliest = kernel.rows(*self._fixed, slot, ts, arrival, late, measure, named, self.state.near(slot))
            self._due = min(self._due, earliest)
        else:
            for some in rounds(slot):
                measure[some] = self._hear(slot[some], ts[some], arrival[some], late[some])
        return Measures(measure, explain=lambda i: "heard again")

    def _hear(self, slot: Int32, ts: Int64, arrival: Int64, late: Bool) -> Float64:
        """Measures of rows of distinct slots."""
        state = self.state
        after = state["after"][slot]
        age = np.maximum(arrival - ts, 0)
        tells = age <= np.where(after > 0, after, UNKNOWN) + state["age"][slot]
        state["age"][slot] = np.where(late, state["age"][slot], age)
        state["spoke"][slot] = np.maximum(state["spoke"][slot], np.minimum(ts, arrival))
        if tells.any():
            self._told(slot[tells], arrival[tells])
        return np.where(tells, 0.0, np.nan)

    def _told(self, slot: Int32, arrival: Int64) -> None:
        """Rows that tell of now."""
        state = self.state
        last = np.maximum(state["last"][slot], arrival)
        after = state["after"][slot]
        if self.params.learn:
            after = self._learn(slot, last, after)
        due = np.where(after > 0, last + after, FOREVER)
        state["last"][slot] = last
        state["next"][slot] = due
        state["waits"][slot] = False
        self._due = min(self._due, int(due.min()))

    def _learn(self, slot: Int32, last: Int64, after: Int64) -> Int64:
        """Median interval by small steps; ``after`` follows it where the registry says nothing."""
        state = self.state
        before, interval = state["last"][slot], state["interval"][slot]
        # An interval of 0 (an array, or one poll of many readings) is no interval.
        gap = np.where(before == NEVER, 0, last - np.where(before == NEVER, last, before)) / 1000.0
        moved = np.where(np.isnan(interval), gap, interval * np.where(gap > interval, 1 + MEDIAN_STEP, 1 / (1 + MEDIAN_STEP)))
        counts = gap > 0
        state["interval"][slot] = np.where(counts, moved, interval)
        state["rows"][slot] = np.where(counts, np.minimum(state["rows"][slot], 2**30) + 1, state["rows"][slot])
        after = np.where(self._facts["named"][slot], after, self._learned(slot))
        state["after"][slot] = after
        return after

    def _learned(self, slot: Int32) -> Int64:
        enough = self.state["rows"][slot] >= self.params.learn_rows
        interval = np.where(enough, self.state["interval"][slot], 0.0)
        return np.round(np.minimum(interval, 1e9) * self.params.factor * 1000.0).astype(np.int64)

    def due(self) -> int | None:
        if self._waiting:
            return 0
        return None if self._due == FOREVER else self._due

    def soonest(self, batch: Batch) -> Int64:
        """A silence after the row; where the time to report is being learned, it may shrink to nothing meanwhile."""
        least = self._least_after()
        if least and int(batch.arrival[0]) + least > int(batch.arrival.max()):
            # The city is calm for longer than the batch is: no row need be asked.
            return batch.arrival + least
        slot, after = batch.slot, self.state["after"][batch.slot]
        if self.params.learn:
            after = np.where(self._facts["named"][slot], after, 1)
        due: Int64 = batch.arrival + after
        return due if after.all() else np.where(after > 0, due, FOREVER)

    def _least_after(self) -> int:
        """The shortest time to report of any series (ms); 0 where one is being learned, or none is known."""
        if self._least is None:
            size = self.state.size
            after = self.state["after"][:size]
            learned = self.params.learn and not self._facts["named"][:size].all()
            shortest = int(after.min(initial=FOREVER, where=after > 0))
            self._least = 0 if learned or shortest == FOREVER else shortest
        return self._least

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
        self._due = int(state["next"][:size].min()) if size else FOREVER
        if not len(slots):
            return None
        stream_ms = self.params.stream_s * 1000
        if stream_ms and self.pulse is not None and now - self.pulse > stream_ms:
            self._quiet = now
            return None
        silent = (now - np.maximum(state["last"][slots], self._quiet)) / 1000.0
        after = state["after"][slots] / 1000.0

        def explain(i: int) -> str:
            return f"silent for {silent[i]:.0f} s, to be reported after {after[i]:.0f} s"

        return Measures(silent, expected=after, slot=slots.astype(np.int32), explain=explain, outage=self._judge(now, slots))

    def _judge(self, now: int, silent: NDArray[np.intp]) -> Callable[[int], str | None] | None:
        """Whose silence each of ``silent`` is; reckoned only where somebody asks."""
        if not self.params.needed:
            return None
        around: list[tuple[Neighbours, NDArray[np.intp]]] = []

        def outage(i: int) -> str | None:
            slot = int(silent[i])
            if not self.state["every"][slot]:
                return None
            if not around:
                state, slots = self.state, np.flatnonzero(self.state["every"][: self.state.size])
                columns = (state[name][slots] for name in ("last", "spoke", "every", "after"))
                around.append((Neighbours(now, *columns), slots))
            neighbours, slots = around[0]
            gateway = self._gateways.of(slot)
            members = None if gateway is None else np.searchsorted(slots, self._gateways.members(gateway))
            own = int(np.searchsorted(slots, slot))
            return whose(neighbours, own, members, needed=self.params.needed, share=self.params.heard_share)

        return outage

    def forget(self, slots: NDArray[Any]) -> None:
        super().forget(slots)
        self._gateways.drop([int(slot) for slot in slots])

    def snapshot(self) -> Snapshot:
        return super().snapshot() | {"quiet": self._quiet}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self._least = None
        self._quiet = int(saved["quiet"])
        size = self.state.size
        self._due = int(self.state["next"][:size].min()) if size else FOREVER
        self._waiting = bool(self.state["waits"][:size].any())

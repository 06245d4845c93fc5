"""Unusual: the default anomaly detector for any single series. It needs no settings and explains itself.

A reading is compared with what the series usually is at this time of day (:mod:`detectors.day_profile`), at an hour and at
ten minutes. Five deviations are ranked among their own past ones (:mod:`detectors.tails`): the two residuals, their short
mean, their spread, and a long mean. The *evidence* of a row is three times the weighted mean rarity (−log10 of the tail rank)
of the first four, one more where the value is beyond anything seen, or 2.2 times the rarity of the long mean, whichever is
more. An alarm takes both: evidence above ``bound``, and a deviation that Gaussian noise of the same pace would reach once in
``noise_days`` days (:mod:`detectors.pace`); so light-tailed noise is quiet, and heavy tails are judged by their own rank.
:mod:`detectors.episodes` tells each trouble once and decides what is learned. Counters are judged by their rate
(:mod:`detectors.counter_steps`).

What follows is numpy: it runs where nothing can be compiled, and says what is right. Else a compiled loop runs
(:mod:`detectors.unusual_kernel`), with the same bits. Cost: ``python -m benchmarks.detector_speed --only unusual``; under 2 kB
a slot. Not for quantities for which a standard names a bound (:mod:`detectors.threshold`), nor for events that are rare by
nature, and not for what only several sensors together can show.
Source: own; its parts are Huber's clipped mean (1964), empirical tail ranks and one alarm per episode. docs/detectors.md says
how the numbers were chosen and what it scores on the Numenta Anomaly Benchmark, category by category.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from detectors import counter_steps, day_profile, episodes, pace, tails, unusual_state
from detectors import unusual_params as fixed
from detectors.base import Detector, Measures, Params, register
from detectors.elementary import exp, log10
from detectors.series import Series
from detectors.slot_records import SlotRecords
from detectors.small import beside, bounded
from detectors.unusual_kernel import by_rows
from detectors.unusual_params import UnusualParams
from detectors.unusual_told import Told
from streams import compiled
from streams.batch import Batch, Bool, Float64, Int32, Int64, rounds

__all__ = ["Unusual", "UnusualParams"]

_WEIGHTS = np.array(fixed.WEIGHTS)
#: Hour and ten minutes have a residual each; the short mean is one of the second.
_OF_SIZES = np.array([0, 1, 1])


@register
class Unusual(Detector[UnusualParams]):
    """Measure: how strong the departure is, 1 where it is unusual (also while an episode goes on); NaN during warm-up.

    ``score`` is 0.5 or more in the one row that is told, and below in every other.
    """

    name: ClassVar[str] = "unusual"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "vehicle", "video"})
    Params: ClassVar[type[Params]] = UnusualParams
    repeats: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    revision: ClassVar[int] = 2

    state: SlotRecords

    def __init__(self, params: UnusualParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._fixed = params.fixed()

    def columns(self) -> SlotRecords:
        return SlotRecords(**unusual_state.COLUMNS)

    def measure(self, batch: Batch) -> Measures:
        return self._shown(batch, good=False)

    def teach(self, batch: Batch) -> None:
        """Learn rows that somebody knows to be good: nothing is unusual, nothing is frozen."""
        self._shown(batch, good=True)

    def _shown(self, batch: Batch, good: bool) -> Measures:
        """Rows of any slots, in the order of the log."""
        column = batch.columns.get(self.params.column)
        if column is None:
            told = Told.nothing(len(batch))
            return Measures(told.measure, told.expected, told.score)
        if compiled.AVAILABLE:
            told = self._looped(batch, column, good)
        else:
            told = Told.nothing(len(batch))
            for piece in rounds(batch.slot):
                self._round(told, piece[np.abs(column[piece]) < fixed.LARGEST], batch, column, good)
        return Measures(told.measure, told.expected, told.score, lambda i: told.sentence(i, float(column[i])))

    def _looped(self, batch: Batch, column: Float64, good: bool) -> Told:
        # Copies: what is read-only, or strided, would be another type, and compiled once more.
        slot, ts, value = np.array(batch.slot, np.int32), np.array(batch.ts, np.int64), np.array(column, np.float64)
        room = Told.room(len(slot))
        by_rows(self.state.near(slot), self.state.blank, slot, ts, value, good, *room, *self._fixed)
        return Told.of(*room)

    def _round(self, told: Told, rows: Int64, batch: Batch, column: Float64, good: bool) -> None:
        """Rows of distinct slots, all of them with a value."""
        slot, ts, value = batch.slot[rows], batch.ts[rows], column[rows]
        a_day, age, gap, passed = pace.advance(self.state, slot, ts)
        x, last, anew = counter_steps.advance(self.state, slot, passed, value)
        if anew.any():
            unusual_state.begin_anew(self.state, slot[anew], ts[anew])
            age = np.where(anew, 0.0, age)
        judged = x == x
        if not judged.all():
            rows, slot, ts, value, x, last = (part[judged] for part in (rows, slot, ts, value, x, last))
            a_day, age, gap, passed = (part[judged] for part in (a_day, age, gap, passed))
        part = self._judge(slot, ts, x, a_day, age, gap, good)
        counts = self.state["kind"][slot] == counter_steps.COUNTER
        # What a counter is expected to show is its last value and the usual rate since.
        expected = np.where(counts, last + part.expected * passed, part.expected)
        told.put(rows, part._replace(expected=expected))

    def _judge(self, slot: Int32, ts: Int64, x: Float64, a_day: Float64, age: Float64, gap: Float64, good: bool) -> Told:
        state, params = self.state, self.params
        anchor = state["anchor"][slot]
        first = anchor != anchor
        anchor = np.where(first, x, anchor)
        state["anchor"][slot] = anchor
        x_off = x - anchor
        at = day_profile.bins(ts)
        hour, ten = day_profile.expected(state, slot, at)
        away = beside(x_off - hour, x_off - ten)
        scale = state["scale"][slot].astype(np.float64)
        rows = state["rows"][slot]
        # A scale below the last digits of the value is rounding, not movement.
        digits = np.abs(x) * 1e-12
        ready = (rows >= fixed.FIRST_ROWS) & (scale.min(axis=1) > digits)
        q = np.divide(away, scale, out=np.zeros_like(away), where=ready[:, None])
        raw = self._channels(slot, q, gap, ready)
        ranked = tails.Ranked(state, slot, raw, params.memory)
        evidence, channel, far, beyond = self._evidence(slot, x_off, ranked, raw, scale, rows, a_day, age)
        bound = params.bound + fixed.BRISKER * bounded(log10(a_day / fixed.BRISK), 0.0, 1.0)
        speaks = ready & (rows >= params.warmup)
        if good:
            evidence = np.zeros_like(evidence)
        short = np.where(ready, state["short"][slot].astype(np.float64), 0.0)
        seen = episodes.Judged(
            state,
            slot,
            ts,
            evidence,
            bound,
            ready & (far >= 1.0),
            short,
            q[:, 1],
            speaks,
            params.quiet,
            params.adopt_after,
        )
        # On its first day a series learns everything: what it has seen is not yet what is usual.
        young = (age < 1.0) | good
        self._learn(slot, at, x_off, ten, away, scale, rows, ready, a_day, seen, ranked, young, good)
        self._bounds(slot, x_off, x)

        strength = np.minimum(evidence / seen.bound, far)
        score = strength / (1.0 + strength)
        score = np.where(seen.told, np.maximum(score, 0.5), np.minimum(score, 0.45))
        on = seen.unusual | ((seen.running > 0) & (far >= 1.0))
        measure = np.where(on, np.maximum(strength, 1.0), np.minimum(strength, 0.99))
        silent = rows < params.warmup
        return Told(
            np.where(silent, np.nan, measure),
            np.where(silent, np.nan, anchor + ten),
            np.where(silent, np.nan, score),
            ranked.rarity[np.arange(len(slot)), channel],
            channel,
            beyond,
            np.where(seen.unusual, seen.since, ts),
        )

    def _channels(self, slot: Int32, q: Float64, gap: Float64, ready: Bool) -> Float64:
        """Advance the running means of the ready rows and give the five deviations, in scales."""
        state = self.state
        judged = state["judged"][slot]
        ten = q[:, 1]
        capped = bounded(ten, -fixed.CAP, fixed.CAP)
        share = 1.0 / np.minimum(judged + 1.0, fixed.SHORT)
        # Over a gap the means go back to rest, as if the missing readings had been ordinary ones.
        missed = np.where(ready, bounded(gap - 3.0, 0.0, 1e6), 0.0)
        rest, rest_long = exp(missed * fixed.LN_REST), exp(missed * fixed.LN_REST_LONG)
        short = state["short"][slot].astype(np.float64) * rest
        short = short + (capped - short) * share
        spread = 1.0 + (state["spread"][slot].astype(np.float64) - 1.0) * rest
        spread = spread + (np.abs(capped) - spread) * share
        long = state["long"][slot].astype(np.float64) * rest_long
        long = long + (bounded(ten, -fixed.CAP / 2, fixed.CAP / 2) - long) / np.minimum(judged + 1.0, fixed.LONG)
        which = slot[ready]
        state["short"][which], state["spread"][which], state["long"][which] = short[ready], spread[ready], long[ready]
        state["judged"][which] = np.minimum(judged[ready], 2**30) + 1
        return np.where(ready[:, None], beside(q[:, 0], ten, short, spread - 1.0, long), 0.0)

    def _evidence(
        self,
        slot: Int32,
        x_off: Float64,
        ranked: tails.Ranked,
        raw: Float64,
        scale: Float64,
        rows: Int32,
        a_day: Float64,
        age: Float64,
    ) -> tuple[Float64, Int64, Float64, Bool]:
        """(evidence, channel that says most, distance in units of what noise reaches, beyond anything seen) of each row."""
        state, params = self.state, self.params
        parts = ranked.rarity[:, :4] * _WEIGHTS
        parts[:, tails.SPREAD] *= raw[:, tails.SPREAD] > 0
        x32 = x_off.astype(np.float32)
        beyond = (rows > 0) & ((x32 > state["high"][slot]) | (x32 < state["low"][slot]))
        fast = ((parts[:, 0] + parts[:, 1]) + parts[:, 2]) + parts[:, 3] + fixed.BEYOND_SEEN * beyond
        slow = fixed.LONG_WEIGHT * ranked.rarity[:, tails.LONG]
        by_long = slow > fast
        channel = np.where(by_long, tails.LONG, parts.argmax(axis=1))
        # Short histories know no rare ranks: what they can say counts for more.
        known = log10(np.minimum(rows, params.memory) + 1.0) / log10(np.array(params.memory + 1.0))
        evidence = np.maximum(fast, slow) / (0.5 + 0.5 * known)

        # One quantum of a coarse signal is no distance, however rare it is.
        unit = ranked.scale[:, :2] * scale * 1.25
        quantum = state["quantum"][slot].astype(np.float64)[:, None]
        fine = np.divide(unit, quantum, out=np.ones_like(unit), where=unit < quantum)
        sizes = ranked.size[:, :3] * fine[:, _OF_SIZES]
        demand = bounded(fixed.FIRST_DAY - (fixed.FIRST_DAY - 1.0) * (age - 1.0), 1.0, fixed.FIRST_DAY)
        # Readings faster than ten minutes lean on each other, and real trouble is far off: their noise gets a wider berth.
        noise = pace.reach(a_day * params.noise_days * np.square(np.maximum(1.0, a_day / fixed.LEANING)))
        far = sizes.max(axis=1) * fixed.SIGMAS / noise
        # A mean of a hundred rows has a thirtieth of the chances to stray.
        far_long = ranked.size[:, tails.LONG] * fixed.SIGMAS / pace.reach(a_day * params.noise_days * 3.0 / fixed.LONG)
        return evidence, channel, np.where(by_long, np.maximum(far, far_long), far) / demand, beyond

    def _learn(
        self,
        slot: Int32,
        at: Int64,
        x_off: Float64,
        ten: Float64,
        away: Float64,
        scale: Float64,
        rows: Int32,
        ready: Bool,
        a_day: Float64,
        seen: episodes.Judged,
        ranked: tails.Ranked,
        young: Bool,
        good: bool,
    ) -> None:
        state, params = self.state, self.params
        learned = (seen.running <= episodes.LEARNED_ROWS) | young
        counted = ready & learned
        ranked.count(state, slot, params.memory, counted, counted)
        size = np.abs(away)
        limit = np.where(ready[:, None], fixed.CLIP * scale, np.inf)
        frozen = ready & seen.unusual & (not good) & (size[:, 1] > params.freeze * scale[:, 1])
        take = learned & ~frozen
        day_profile.learn(
            state, slot, at, x_off, ten, bounded(away[:, 1], -limit[:, 1], limit[:, 1]), a_day, params.profile_days, take
        )
        moves = learned & ~(ready & seen.unusual & (not good)) & (rows > 0)
        share = 1.0 / np.minimum(np.maximum(rows[moves], 1), fixed.SCALE_ROWS)
        state["scale"][slot[moves]] += (np.minimum(size, limit)[moves] - scale[moves]) * share[:, None]
        state["rows"][slot] = np.where(learned, np.minimum(rows, 2**30) + 1, rows)
        if seen.adopt.any():
            new = seen.adopt
            unusual_state.adopt(state, slot[new], seen.by[new] * scale[new, 1], seen.wider[new], params.freeze)

    def _bounds(self, slot: Int32, x_off: Float64, x: Float64) -> None:
        """Lowest and highest seen, and the smallest step between two readings that ever was."""
        state = self.state
        state["low"][slot] = np.minimum(state["low"][slot], x_off)
        state["high"][slot] = np.maximum(state["high"][slot], x_off)
        step = np.abs(x - state["previous"][slot])
        state["previous"][slot] = x
        state["quantum"][slot] = np.where(step > 0, np.minimum(state["quantum"][slot], step), state["quantum"][slot])

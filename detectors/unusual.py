"""Unusual: the default anomaly detector for any single series. It needs no settings and explains itself.

A reading is compared with what the series usually is at this time of day (:mod:`detectors.day_profile`), at an hour and at
ten minutes. Five deviations are ranked among their own past ones (:mod:`detectors.tails`): the two residuals, their short
mean, their spread, and a long mean. The *evidence* of a row is three times the weighted mean rarity (−log10 of the tail rank)
of the first four, one more where the value is beyond anything seen, or 2.2 times the rarity of the long mean, whichever is
more. An alarm takes both: evidence above ``bound``, and a deviation that Gaussian noise of the same pace would reach once in
``noise_days`` days (:mod:`detectors.pace`); so light-tailed noise is quiet, and heavy tails are judged by their own rank.
:mod:`detectors.episodes` tells each trouble once and decides what is learned. Counters are judged by their rate
(:mod:`detectors.counter_steps`).

Cost: 3 to 4 µs a reading in batches of a thousand, under 2 kB a slot. Not for quantities for which a standard names a bound
(:mod:`detectors.threshold`), nor for events that are rare by nature, and not for what only several sensors together can show.
Source: own; its parts are Huber's clipped mean (1964), empirical tail ranks and one alarm per episode. docs/detectors.md says
how the numbers were chosen and what it scores on the Numenta Anomaly Benchmark, category by category.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta

from detectors import counter_steps, day_profile, episodes, pace, tails
from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch, Bool, Float64, Int32, Int64

#: Weights of hour, ten minutes, short mean and spread in the evidence, scaled to a sum of three.
_WEIGHTS = np.array([1.0, 1.0, 1.75, 0.5]) * 3.0 / 4.25
_LONG_WEIGHT = 2.18
_BEYOND_SEEN = 1.0
#: Readings a day from which on each ten times more readings ask for two more of evidence, up to two more.
_BRISK = 288.0
_BRISKER = 2.0
_LEANING = 144.0
#: Rows of the short mean and of the spread, and of the long mean.
_SHORT, _LONG = 12.0, 100.0
#: A single row counts in the short mean as at most so many scales, in the long mean as at most half of it.
_CAP = 8.0
#: Learned rows before a scale means anything.
_FIRST_ROWS = 20
#: A row further off than this is clipped when learned from; beyond the freeze an unusual row is not learned from at all.
_CLIP = 10.0
_SCALE_ROWS = 10_000.0
#: Mean absolute deviation of Gaussian noise, in standard deviations.
_SIGMAS = 0.798
#: On its first day a series has no rhythm yet and must be this much further off; on its second day the less the later.
_FIRST_DAY = 1.7
#: No quantity of a city is beyond it, and differences stay within 32 bits.
_LARGEST = 1e30

_LEARNED = {
    "anchor": (np.float64, np.nan),
    "previous": (np.float64, np.nan),
    "low": (np.float32, np.inf),
    "high": (np.float32, -np.inf),
    "quantum": (np.float32, np.inf),
    "rows": (np.int32, 0),
    "judged": (np.int32, 0),
    "scale": (np.float32, 0.0, (2,)),
    "short": (np.float32, 0.0),
    "spread": (np.float32, 0.0),
    "long": (np.float32, 0.0),
    **day_profile.COLUMNS,
    **tails.COLUMNS,
    **episodes.COLUMNS,
}


class UnusualParams(Params, frozen=True):
    """``bound``: evidence an alarm takes. ``noise_days``: days of readings of which mere noise would go as far once.

    ``warmup`` rows say nothing. ``memory``: rows after which a reading counts a third in the tails. ``profile_days``: days
    of readings a bin of the day follows. ``quiet``: rows of silence after an alarm. ``adopt_after``: rows running far off
    that are a new normal. ``freeze``: an unusual row further off than so many scales is not learned from.
    """

    bound: Annotated[float, Meta(gt=0)] = 7.4
    noise_days: Annotated[float, Meta(gt=0)] = 150.0
    warmup: Annotated[int, Meta(ge=20)] = 100
    memory: Annotated[float, Meta(ge=100)] = 3000.0
    profile_days: Annotated[float, Meta(ge=1)] = 10.0
    quiet: Annotated[int, Meta(ge=1, le=30000)] = 90
    adopt_after: Annotated[int, Meta(ge=30, le=30000)] = 250
    freeze: Annotated[float, Meta(gt=1)] = 8.0
    column: Literal["value", "speed_kmh", "count"] = "value"


@register
class Unusual(Detector[UnusualParams]):
    """Measure: how strong the departure is, 1 where it is unusual (also while an episode goes on); NaN during warm-up.

    ``score`` is 0.5 or more in the one row that is told, and below in every other.
    """

    name: ClassVar[str] = "unusual"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "vehicle", "video"})
    Params: ClassVar[type[Params]] = UnusualParams

    def columns(self) -> Columns:
        kinds: dict[str, Any] = {**counter_steps.COLUMNS, **pace.COLUMNS, **_LEARNED}
        return Columns(**kinds)

    def measure(self, batch: Batch) -> Measures:
        return self._shown(batch, good=False)

    def teach(self, batch: Batch) -> None:
        """Learn rows that somebody knows to be good: nothing is unusual, nothing is frozen."""
        self._shown(batch, good=True)

    def _shown(self, batch: Batch, good: bool) -> Measures:
        n = len(batch)
        measure, expected, score = (np.full(n, np.nan) for _ in range(3))
        column = batch.columns.get(self.params.column)
        if column is None:
            return Measures(measure, expected, score)
        known = np.abs(column) < _LARGEST
        rows = np.arange(n) if known.all() else np.flatnonzero(known)
        slot, ts, value = batch.slot[rows], batch.ts[rows], column[rows]
        before = self.state["last_ts"][slot]
        a_day, age, gap = pace.advance(self.state, slot, ts)
        passed = np.where(before == np.iinfo(np.int64).min, 0.0, (ts - before) / 1000.0)
        x, last, anew = counter_steps.advance(self.state, slot, passed, value)
        if anew.any():
            self._begin_anew(slot[anew])
        judged = x == x
        if not judged.all():
            rows, slot, ts, value, x, last = (part[judged] for part in (rows, slot, ts, value, x, last))
            a_day, age, gap, passed = (part[judged] for part in (a_day, age, gap, passed))
        told = self._judge(slot, ts, x, a_day, age, gap, good)
        counts = self.state["kind"][slot] == counter_steps.COUNTER
        # What a counter is expected to show is its last value and the usual rate since.
        told.expected = np.where(counts, last + told.expected * passed, told.expected)
        measure[rows], expected[rows], score[rows] = told.measure, told.expected, told.score
        where = np.full(n, -1)
        where[rows] = np.arange(len(rows))
        return Measures(measure, expected, score, lambda i: told.sentence(int(where[i]), float(column[i])))

    def _begin_anew(self, slot: Int32) -> None:
        blank = Columns(**_LEARNED)  # type: ignore[arg-type]
        blank.grow(1)
        for name in _LEARNED:
            self.state[name][slot] = blank[name][0]

    def _judge(self, slot: Int32, ts: Int64, x: Float64, a_day: Float64, age: Float64, gap: Float64, good: bool) -> Told:
        state, params = self.state, self.params
        anchor = state["anchor"][slot]
        first = anchor != anchor
        anchor = np.where(first, x, anchor)
        state["anchor"][slot] = anchor
        x_off = x - anchor
        at = day_profile.bins(ts)
        hour, ten = day_profile.expected(state, slot, at)
        away = np.stack([x_off - hour, x_off - ten], axis=1)
        scale = state["scale"][slot].astype(np.float64)
        rows = state["rows"][slot]
        # A scale below the last digits of the value is rounding, not movement.
        digits = np.abs(x) * 1e-12
        ready = (rows >= _FIRST_ROWS) & (scale.min(axis=1) > digits)
        q = np.divide(away, scale, out=np.zeros_like(away), where=ready[:, None])
        raw = self._channels(slot, q, gap, ready)
        ranked = tails.Ranked(state, slot, raw, params.memory)
        evidence, channel, far, beyond = self._evidence(slot, x_off, ranked, raw, scale, rows, a_day, age)
        bound = params.bound + _BRISKER * np.clip(np.log10(a_day / _BRISK), 0.0, 1.0)
        speaks = ready & (rows >= params.warmup)
        if good:
            evidence = np.zeros_like(evidence)
        short = np.where(ready, state["short"][slot], 0.0)
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
            np.take_along_axis(ranked.rarity, channel[:, None], axis=1)[:, 0],
            channel,
            beyond,
            np.where(seen.unusual, seen.since, ts),
        )

    def _channels(self, slot: Int32, q: Float64, gap: Float64, ready: Bool) -> Float64:
        """Advance the running means of the ready rows and give the five deviations, in scales."""
        state = self.state
        judged = state["judged"][slot]
        ten = q[:, 1]
        capped = np.clip(ten, -_CAP, _CAP)
        share = 1.0 / np.minimum(judged + 1.0, _SHORT)
        # Over a gap the means go back to rest, as if the missing readings had been ordinary ones.
        missed = np.where(ready, np.clip(gap - 3.0, 0.0, 1e6), 0.0)
        rest, rest_long = (1.0 - 1.0 / _SHORT) ** missed, (1.0 - 1.0 / _LONG) ** missed
        short = state["short"][slot] * rest
        short = short + (capped - short) * share
        spread = 1.0 + (state["spread"][slot] - 1.0) * rest
        spread = spread + (np.abs(capped) - spread) * share
        long = state["long"][slot] * rest_long
        long = long + (np.clip(ten, -_CAP / 2, _CAP / 2) - long) / np.minimum(judged + 1.0, _LONG)
        which = slot[ready]
        state["short"][which], state["spread"][which], state["long"][which] = short[ready], spread[ready], long[ready]
        state["judged"][which] = np.minimum(judged[ready], 2**30) + 1
        return np.where(ready[:, None], np.stack([q[:, 0], ten, short, spread - 1.0, long], axis=1), 0.0)

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
        fast = parts.sum(axis=1) + _BEYOND_SEEN * beyond
        slow = _LONG_WEIGHT * ranked.rarity[:, tails.LONG]
        by_long = slow > fast
        channel = np.where(by_long, tails.LONG, parts.argmax(axis=1))
        # Short histories know no rare ranks: what they can say counts for more.
        known = np.log10(np.minimum(rows, params.memory) + 1.0) / np.log10(params.memory + 1.0)
        evidence = np.maximum(fast, slow) / (0.5 + 0.5 * known)

        # One quantum of a coarse signal is no distance, however rare it is.
        unit = ranked.scale[:, :2] * scale * 1.25
        quantum = state["quantum"][slot].astype(np.float64)[:, None]
        fine = np.divide(unit, quantum, out=np.ones_like(unit), where=unit < quantum)
        sizes = ranked.size[:, :3] * np.stack([fine[:, 0], fine[:, 1], fine[:, 1]], axis=1)
        demand = np.clip(_FIRST_DAY - (_FIRST_DAY - 1.0) * (age - 1.0), 1.0, _FIRST_DAY)
        # Readings faster than ten minutes lean on each other, and real trouble is far off: their noise gets a wider berth.
        noise = pace.reach(a_day * params.noise_days * np.maximum(1.0, a_day / _LEANING) ** 2)
        far = sizes.max(axis=1) * _SIGMAS / noise
        # A mean of a hundred rows has a thirtieth of the chances to stray.
        far_long = ranked.size[:, tails.LONG] * _SIGMAS / pace.reach(a_day * params.noise_days * 3.0 / _LONG)
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
        limit = np.where(ready[:, None], _CLIP * scale, np.inf)
        frozen = ready & seen.unusual & (not good) & (size[:, 1] > params.freeze * scale[:, 1])
        take = learned & ~frozen
        day_profile.learn(
            state, slot, at, x_off, ten, np.clip(away[:, 1], -limit[:, 1], limit[:, 1]), a_day, params.profile_days, take
        )
        moves = learned & ~(ready & seen.unusual & (not good)) & (rows > 0)
        share = 1.0 / np.minimum(np.maximum(rows[moves], 1), _SCALE_ROWS)
        state["scale"][slot[moves]] += (np.minimum(size, limit)[moves] - scale[moves]) * share[:, None]
        state["rows"][slot] = np.where(learned, np.minimum(rows, 2**30) + 1, rows)
        if seen.adopt.any():
            which, now = slot[seen.adopt], scale[seen.adopt]
            day_profile.shift(state, which, seen.by[seen.adopt] * now[:, 1])
            state["scale"][which] *= seen.wider[seen.adopt][:, None]
            state["short"][which], state["spread"][which], state["long"][which] = 0.0, 1.0, 0.0
            tails.forget_beyond(state, which, params.freeze)

    def _bounds(self, slot: Int32, x_off: Float64, x: Float64) -> None:
        """Lowest and highest seen, and the smallest step between two readings that ever was."""
        state = self.state
        state["low"][slot] = np.minimum(state["low"][slot], x_off)
        state["high"][slot] = np.maximum(state["high"][slot], x_off)
        step = np.abs(x - state["previous"][slot])
        state["previous"][slot] = x
        state["quantum"][slot] = np.where(step > 0, np.minimum(state["quantum"][slot], step), state["quantum"][slot])


class Told:
    """Measures of the judged rows, and what is needed to say one of them in words."""

    def __init__(
        self,
        measure: Float64,
        expected: Float64,
        score: Float64,
        rarity: Float64,
        channel: Int64,
        beyond: Bool,
        since: Int64,
    ) -> None:
        self.measure, self.expected, self.score = measure, expected, score
        self._rarity, self._channel, self._beyond, self._since = rarity, channel, beyond, since

    def sentence(self, i: int, value: float) -> str:
        """Expected, observed, tail rank, which channel, since when."""
        if i < 0:
            return f"{value:g} says nothing by itself"
        beyond = ", beyond anything seen" if self._beyond[i] else ""
        channel = tails.CHANNELS[int(self._channel[i])]
        rank = max(1.0, 10.0 ** min(float(self._rarity[i]), 9.0))
        return (
            f"{value:g} where about {self.expected[i]:.6g} was expected{beyond}: by its {channel} one in {rank:.2g} "
            f"of its own readings is as far off; unusual since {_moment(int(self._since[i]))}"
        )


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"

"""Unusual row by row in plain numbers: what :class:`detectors.unusual.Unusual` does for many series at once, for few.

``citywatch score`` and sparse streams show one reading at a time, and 250 numpy steps for one row cost fifteen times what this
does. Every line here is one line there, and ``…_one`` of a module is its function for one row; what may differ between plain
numbers and numpy is told in :mod:`detectors.plain`. A property test demands the same bits, because which one runs depends on
where a batch was cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from detectors import counter_steps, day_profile, episodes, pace, tails, unusual_state
from detectors import unusual_params as fixed
from detectors.base import Columns
from detectors.plain import Held, single
from detectors.unusual_params import UnusualParams
from detectors.unusual_told import Row

_NOTHING = Row()


def by_rows(
    state: Columns, params: UnusualParams, slot: Iterable[int], ts: Iterable[int], value: Iterable[float], good: bool
) -> list[Row]:
    """What is told of rows in the order of the log; ``state`` is moved along. ``good``: somebody knows that they are."""
    series: dict[int, _Series] = {}
    told = []
    for s, at, x in zip(slot, ts, value, strict=True):
        if not abs(x) < fixed.LARGEST:
            told.append(_NOTHING)
            continue
        one = series.get(s)
        if one is None:
            one = series[s] = _Series(state, params, s)
        told.append(one.row(at, x, good))
    for one in series.values():
        one.keep()
    return told


class _Series:
    """One slot, held in plain numbers while rows of it come."""

    __slots__ = ("_held", "_params", "_slot", "_state")

    def __init__(self, state: Columns, params: UnusualParams, slot: int) -> None:
        self._state, self._params, self._slot = state, params, slot
        self._held = Held(**state.held(slot))

    def keep(self) -> None:
        self._state.keep(self._slot, vars(self._held))

    def _hold(self) -> None:
        vars(self._held).update(self._state.held(self._slot))

    def row(self, ts: int, value: float, good: bool) -> Row:
        held = self._held
        a_day, age, gap, passed = pace.advance_one(held, ts)
        x, last, anew = counter_steps.advance_one(held, passed, value)
        if anew:
            self.keep()
            unusual_state.begin_anew(self._state, np.array([self._slot], dtype=np.int32), np.array([ts]))
            self._hold()
            age = 0.0
        if x != x:
            return _NOTHING
        told = self._judge(ts, x, a_day, age, gap, good)
        if held.kind == counter_steps.COUNTER:
            told = told._replace(expected=last + told.expected * passed)
        return told

    def _judge(self, ts: int, x: float, a_day: float, age: float, gap: float, good: bool) -> Row:
        held, params = self._held, self._params
        if held.anchor != held.anchor:
            held.anchor = x
        x_off = x - held.anchor
        at = day_profile.bin_one(ts)
        hour, ten = day_profile.expected_one(held, at)
        away = x_off - hour, x_off - ten
        scale, rows = held.scale.tolist(), held.rows
        digits = abs(x) * 1e-12
        ready = rows >= fixed.FIRST_ROWS and scale[0] > digits and scale[1] > digits
        q = (away[0] / scale[0], away[1] / scale[1]) if ready else (0.0, 0.0)
        raw = _channels(held, q, gap) if ready else [0.0] * len(tails.CHANNELS)
        ranked = tails.rank_one(held, raw, params.memory)
        evidence, channel, far, beyond = _evidence(held, params, x_off, ranked, raw, scale, a_day, age)
        brisk = _log10(a_day / fixed.BRISK) if a_day > fixed.BRISK else 0.0
        bound = params.bound + fixed.BRISKER * min(brisk, 1.0)
        warm = rows >= params.warmup
        if good:
            evidence = 0.0
        seen = episodes.judge_one(
            held,
            ts,
            evidence,
            bound,
            ready and far >= 1.0,
            held.short if ready else 0.0,
            q[1],
            ready and warm,
            params.quiet,
            params.adopt_after,
        )
        self._learn(at, x_off, ten, away, scale, ready, a_day, seen, ranked, age < 1.0, good)
        _bounds(held, x_off, x)

        strength = min(evidence / seen.bound, far)
        score = strength / (1.0 + strength)
        on = seen.unusual or (seen.running > 0 and far >= 1.0)
        return Row(
            (max(strength, 1.0) if on else min(strength, 0.99)) if warm else math.nan,
            held.anchor + ten if warm else math.nan,
            (max(score, 0.5) if seen.told else min(score, 0.45)) if warm else math.nan,
            ranked.rarity[channel],
            channel,
            beyond,
            seen.since if seen.unusual else ts,
        )

    def _learn(
        self,
        at: int,
        x_off: float,
        ten: float,
        away: tuple[float, float],
        scale: list[float],
        ready: bool,
        a_day: float,
        seen: episodes.JudgedOne,
        ranked: tails.RankedOne,
        young: bool,
        good: bool,
    ) -> None:
        held, params = self._held, self._params
        rows, unusual = held.rows, ready and seen.unusual and not good
        if seen.running <= episodes.LEARNED_ROWS or young or good:
            if ready:
                tails.count_one(held, ranked, params.memory)
            size = abs(away[0]), abs(away[1])
            limit = [fixed.CLIP * one if ready else math.inf for one in scale]
            if not (unusual and size[1] > params.freeze * scale[1]):
                clipped = min(max(away[1], -limit[1]), limit[1])
                day_profile.learn_one(held, at, x_off, ten, clipped, a_day, params.profile_days)
            if rows > 0 and not unusual:
                share = 1.0 / min(rows, fixed.SCALE_ROWS)
                for k in (0, 1):
                    held.scale[k] = scale[k] + (min(size[k], limit[k]) - scale[k]) * share
            held.rows = min(rows, 2**30) + 1
        if seen.adopt:
            self.keep()
            which = np.array([self._slot], dtype=np.int32)
            unusual_state.adopt(self._state, which, np.array([seen.by * scale[1]]), np.array([seen.wider]), params.freeze)
            self._hold()


def _channels(held: Held, q: tuple[float, float], gap: float) -> list[float]:
    """Advance the running means and give the five deviations, in scales, of a ready row."""
    hour, ten = q
    capped = min(max(ten, -fixed.CAP), fixed.CAP)
    share = 1.0 / min(held.judged + 1.0, fixed.SHORT)
    short, spread, long = held.short, single(held.spread - 1.0), held.long
    missed = min(gap - 3.0, 1e6)
    if missed > 0:
        rest, rest_long = np.power((1.0 - 1.0 / fixed.SHORT, 1.0 - 1.0 / fixed.LONG), missed).tolist()
        short, spread, long = short * rest, spread * rest, long * rest_long
    spread += 1.0
    short += (capped - short) * share
    spread += (abs(capped) - spread) * share
    long += (min(max(ten, -fixed.CAP / 2), fixed.CAP / 2) - long) / min(held.judged + 1.0, fixed.LONG)
    held.short, held.spread, held.long = single(short), single(spread), single(long)
    held.judged = min(held.judged, 2**30) + 1
    return [hour, ten, short, spread - 1.0, long]


def _evidence(
    held: Held,
    params: UnusualParams,
    x_off: float,
    ranked: tails.RankedOne,
    raw: list[float],
    scale: list[float],
    a_day: float,
    age: float,
) -> tuple[float, int, float, bool]:
    """(evidence, channel that says most, distance in units of what noise reaches, beyond anything seen) of the row."""
    parts = [rarity * weight for rarity, weight in zip(ranked.rarity, fixed.WEIGHTS, strict=False)]
    if not raw[tails.SPREAD] > 0:
        parts[tails.SPREAD] = 0.0
    x32 = single(x_off)
    beyond = held.rows > 0 and (x32 > held.high or x32 < held.low)
    fast = ((parts[0] + parts[1]) + parts[2]) + parts[3] + fixed.BEYOND_SEEN * beyond
    slow = fixed.LONG_WEIGHT * ranked.rarity[tails.LONG]
    by_long = slow > fast
    channel = tails.LONG if by_long else parts.index(max(parts))
    known = _log10(min(held.rows, params.memory) + 1.0) / _log10(params.memory + 1.0)
    evidence = max(fast, slow) / (0.5 + 0.5 * known)

    quantum = held.quantum
    units = [ranked.scale[k] * scale[k] * 1.25 for k in (tails.HOUR, tails.TEN)]
    hour, ten = [unit / quantum if unit < quantum else 1.0 for unit in units]
    size = max(ranked.size[tails.HOUR] * hour, ranked.size[tails.TEN] * ten, ranked.size[tails.SHORT] * ten)
    demand = min(max(fixed.FIRST_DAY - (fixed.FIRST_DAY - 1.0) * (age - 1.0), 1.0), fixed.FIRST_DAY)
    leaning = max(1.0, a_day / fixed.LEANING)
    far = size * fixed.SIGMAS / pace.reach_one(a_day * params.noise_days * (leaning * leaning))
    if by_long:
        reach = pace.reach_one(a_day * params.noise_days * 3.0 / fixed.LONG)
        far = max(far, ranked.size[tails.LONG] * fixed.SIGMAS / reach)
    return evidence, channel, far / demand, beyond


def _bounds(held: Held, x_off: float, x: float) -> None:
    """Lowest and highest seen, and the smallest step between two readings that ever was."""
    held.low, held.high = single(min(held.low, x_off)), single(max(held.high, x_off))
    step = abs(x - held.previous)
    held.previous = x
    if step > 0:
        held.quantum = single(min(held.quantum, step))


@lru_cache(maxsize=1024)
def _log10(number: float) -> float:
    return float(np.log10(number))

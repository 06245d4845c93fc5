"""Unusual row by row, compiled: what :class:`detectors.unusual.Unusual` says in numpy, for a batch of any width in one loop.

Every line here is one line there, in the same order of operations, and ``…_one`` of a module is its function for one row. A
property test demands the same bits of both, whatever is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors import counter_steps, day_profile, episodes, pace, tails, unusual_state
from detectors import unusual_params as fixed
from detectors.elementary import double, exp_one, least, log10_one, most
from detectors.unusual_params import Fixed
from streams.batch import Bool, Float64, Int32, Int64
from streams.compiled import compiled

_RANKED_ONE = tails.RANKED_ONE


@compiled
def by_rows(
    records: Any,
    blank: Any,
    slot: Int32,
    ts: Int64,
    value: Float64,
    good: bool,
    numbers: Float64,
    marks: Int64,
    beyond: Bool,
    *given: Any,
) -> None:
    """Move the slots' ``records`` along, row by row in the order of the log, and fill what :meth:`Told.of` takes.

    ``blank``: array of one record, of a slot nothing is known of. ``good``: somebody knows that the rows are. ``given``: the
    numbers of :class:`detectors.unusual_params.Fixed`, one by one, for a tuple costs a microsecond more.
    """
    params = Fixed(*given)
    room = np.zeros(1, _RANKED_ONE)
    for i in range(len(slot)):
        s, at, x = slot[i], ts[i], value[i]
        numbers[:, i], marks[0, i], marks[1, i], beyond[i] = np.nan, -1, 0, False
        if not abs(x) < fixed.LARGEST:
            continue
        # Both are pointers, and do not keep the arrays: those must outlive the loop.
        held, ranked = records[s], room[0]
        a_day, age, gap, passed = pace.advance_one(held, at)
        x, last, anew = counter_steps.advance_one(held, passed, x)
        if anew:
            unusual_state.begin_anew_one(records, s, blank[0], at)
            age = 0.0
        if x != x:
            continue
        said = _judge(held, params, at, x, a_day, age, gap, good, ranked)
        numbers[0, i], numbers[1, i], numbers[2, i], marks[0, i], beyond[i], marks[1, i] = said
        numbers[3, i] = ranked.rarity[marks[0, i]]
        if held.kind == counter_steps.COUNTER:
            # What a counter is expected to show is its last value and the usual rate since.
            numbers[1, i] = last + numbers[1, i] * passed


@compiled
def _judge(
    held: Any, params: Fixed, ts: int, x: float, a_day: float, age: float, gap: float, good: bool, ranked: Any
) -> tuple[float, float, float, int, bool, int]:
    """(measure, expected, score, channel that says most, beyond anything seen, since when) of one row."""
    if held.anchor != held.anchor:
        held.anchor = x
    anchor = held.anchor
    x_off = x - anchor
    at = day_profile.bin_one(ts)
    hour, ten = day_profile.expected_one(held, at)
    away = x_off - hour, x_off - ten
    scale = double(held.scale[0]), double(held.scale[1])
    rows = int(held.rows)
    digits = abs(x) * 1e-12
    ready = rows >= fixed.FIRST_ROWS and scale[0] > digits and scale[1] > digits
    q = (away[0] / scale[0], away[1] / scale[1]) if ready else (0.0, 0.0)
    if ready:
        _channels(held, q, gap, ranked)
    else:
        for channel in range(len(tails.CHANNELS)):
            ranked.raw[channel] = 0.0
    short = double(held.short) if ready else 0.0
    spread = ranked.raw[tails.SPREAD]
    tails.rank_one(held, params.memory, ranked)
    evidence, channel, far, beyond = _evidence(held, params, x_off, ranked, spread > 0, scale, rows, a_day, age)
    bound = params.bound + fixed.BRISKER * least(most(log10_one(a_day / fixed.BRISK), 0.0), 1.0)
    warm = rows >= params.warmup
    if good:
        evidence = 0.0
    seen = episodes.judge_one(
        held,
        ts,
        evidence,
        bound,
        ready and far >= 1.0,
        short,
        q[1],
        ready and warm,
        params.quiet,
        params.adopt_after,
    )
    _learn(held, params, at, x_off, ten, away, scale, rows, ready, a_day, seen, ranked, age < 1.0, good)
    _bounds(held, x_off, x)

    strength = least(evidence / seen.bound, far)
    score = strength / (1.0 + strength)
    on = seen.unusual or (seen.running > 0 and far >= 1.0)
    return (
        (most(strength, 1.0) if on else least(strength, 0.99)) if warm else np.nan,
        anchor + ten if warm else np.nan,
        (most(score, 0.5) if seen.told else least(score, 0.45)) if warm else np.nan,
        channel,
        beyond,
        held.since if seen.unusual else ts,
    )


@compiled
def _channels(held: Any, q: tuple[float, float], gap: float, ranked: Any) -> None:
    """Advance the running means and put the five deviations, in scales, of a ready row into ``ranked``."""
    hour, ten = q
    capped = least(most(ten, -fixed.CAP), fixed.CAP)
    judged = int(held.judged)
    share = 1.0 / least(judged + 1.0, fixed.SHORT)
    missed = least(most(gap - 3.0, 0.0), 1e6)
    rest, rest_long = 1.0, 1.0
    if missed != 0.0:
        rest, rest_long = exp_one(missed * fixed.LN_REST), exp_one(missed * fixed.LN_REST_LONG)
    short = double(held.short) * rest
    short = short + (capped - short) * share
    spread = 1.0 + (double(held.spread) - 1.0) * rest
    spread = spread + (abs(capped) - spread) * share
    long = double(held.long) * rest_long
    long = long + (least(most(ten, -fixed.CAP / 2), fixed.CAP / 2) - long) / least(judged + 1.0, fixed.LONG)
    held.short, held.spread, held.long = short, spread, long
    held.judged = min(judged, 2**30) + 1
    ranked.raw[tails.HOUR], ranked.raw[tails.TEN], ranked.raw[tails.SHORT] = hour, ten, short
    ranked.raw[tails.SPREAD], ranked.raw[tails.LONG] = spread - 1.0, long


@compiled
def _evidence(
    held: Any,
    params: Fixed,
    x_off: float,
    ranked: Any,
    wider: bool,
    scale: tuple[float, float],
    rows: int,
    a_day: float,
    age: float,
) -> tuple[float, int, float, bool]:
    """(evidence, channel that says most, distance in units of what noise reaches, beyond anything seen) of the row."""
    fast, most_said, channel = 0.0, -np.inf, 0
    for k in range(tails.LONG):
        part = ranked.rarity[k] * fixed.WEIGHTS[k]
        if k == tails.SPREAD and not wider:
            part = 0.0
        fast = part if k == 0 else fast + part
        if part > most_said:
            most_said, channel = part, k
    x32 = np.float32(x_off)
    beyond = rows > 0 and (x32 > held.high or x32 < held.low)
    fast += fixed.BEYOND_SEEN if beyond else 0.0
    slow = fixed.LONG_WEIGHT * ranked.rarity[tails.LONG]
    by_long = slow > fast
    known = log10_one(least(float(rows), params.memory) + 1.0) / log10_one(params.memory + 1.0)
    evidence = most(fast, slow) / (0.5 + 0.5 * known)

    quantum = double(held.quantum)
    unit, unit_ten = ranked.scale[tails.HOUR] * scale[0] * 1.25, ranked.scale[tails.TEN] * scale[1] * 1.25
    fine, fine_ten = unit / quantum if unit < quantum else 1.0, unit_ten / quantum if unit_ten < quantum else 1.0
    size = most(ranked.size[tails.HOUR] * fine, ranked.size[tails.TEN] * fine_ten)
    size = most(size, ranked.size[tails.SHORT] * fine_ten)
    demand = least(most(fixed.FIRST_DAY - (fixed.FIRST_DAY - 1.0) * (age - 1.0), 1.0), fixed.FIRST_DAY)
    leaning = most(1.0, a_day / fixed.LEANING)
    far = size * fixed.SIGMAS / pace.reach_one(a_day * params.noise_days * (leaning * leaning))
    if by_long:
        channel = tails.LONG
        reach = pace.reach_one(a_day * params.noise_days * 3.0 / fixed.LONG)
        far = most(far, ranked.size[tails.LONG] * fixed.SIGMAS / reach)
    return evidence, channel, far / demand, beyond


@compiled
def _learn(
    held: Any,
    params: Fixed,
    at: int,
    x_off: float,
    ten: float,
    away: tuple[float, float],
    scale: tuple[float, float],
    rows: int,
    ready: bool,
    a_day: float,
    seen: episodes.JudgedOne,
    ranked: Any,
    young: bool,
    good: bool,
) -> None:
    unusual = ready and seen.unusual and not good
    if seen.running <= episodes.LEARNED_ROWS or young or good:
        if ready:
            tails.count_one(held, ranked, params.memory)
        if not (unusual and abs(away[1]) > params.freeze * scale[1]):
            limit = fixed.CLIP * scale[1] if ready else np.inf
            clipped = least(most(away[1], -limit), limit)
            day_profile.learn_one(held, at, x_off, ten, clipped, a_day, params.profile_days)
        if rows > 0 and not unusual:
            share = 1.0 / least(float(rows), fixed.SCALE_ROWS)
            for k in (0, 1):
                limit = fixed.CLIP * scale[k] if ready else np.inf
                held.scale[k] = scale[k] + (least(abs(away[k]), limit) - scale[k]) * share
        held.rows = min(rows, 2**30) + 1
    if seen.adopt:
        unusual_state.adopt_one(held, seen.by * scale[1], seen.wider, params.freeze)


@compiled
def _bounds(held: Any, x_off: float, x: float) -> None:
    """Lowest and highest seen, and the smallest step between two readings that ever was."""
    held.low, held.high = least(double(held.low), x_off), most(double(held.high), x_off)
    step = abs(x - held.previous)
    held.previous = x
    if step > 0:
        held.quantum = least(double(held.quantum), step)

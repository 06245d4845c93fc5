"""Robust z row by row in plain numbers: what :class:`detectors.robust_z.RobustZ` does for many series at once, for few.

A recording of a dozen series shows each of them again and again: one numpy step per row costs 150 µs, this 4. Every line here
is one line there, operation for operation (sums, products and comparisons of doubles are the same in both), and a property
test demands the same bits, because which one runs depends on where a batch was cut.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectors.base import Columns
    from detectors.robust_z import Constants, RobustZParams

#: Of one slot: centre, scale, tail, step, last, rows, beyond, regime.
NAMES = ("centre", "scale", "tail", "step", "last", "rows", "beyond", "regime")


def by_rows(
    state: Columns, params: RobustZParams, fixed: Constants, slot: list[int], hours: list[int] | None, values: list[float]
) -> tuple[list[float], list[float], list[float]]:
    """(z or NaN, signed by ``side``; expected; score) of rows in the order of the log; ``state`` is moved along."""
    held: dict[int, list[Any]] = {}
    measures, expecteds, scores = [], [], []
    freeze, side, warmup = params.freeze, params.side, params.warmup
    for i, s in enumerate(slot):
        mine = held.get(s)
        if mine is None:
            mine = held[s] = [state[name][s].item() for name in NAMES]
            if hours is not None:
                mine += (state["profile"][s].tolist(), state["hours"][s].tolist())
        x = values[i]
        centre, kept, tail, step, last, rows, held_beyond, regime = mine[:8]
        scale = max(kept, max(step * 0.5, params.floor))
        expected = centre if hours is None else centre + mine[8][hours[i]]
        away = x - expected
        size = abs(away)
        digits = abs(centre) * 1e-12
        scale = max(scale, digits)
        wide = max(scale, tail / fixed.tail_scales)
        z = min(size / wide if wide > max(digits * 1.01, 1e-300) else 0.0, 1e12)
        warm = rows >= warmup
        beyond = warm and z > freeze
        # --- learn
        rate = 1.0 / min(rows + 1.0, params.memory)
        limit = params.clip * scale if rows >= fixed.first_rows and scale > 0 else math.inf
        learned = 0.0 if beyond else rate
        clipped = min(max(away, -limit), limit)
        centre += learned * clipped
        spread = min(size, limit) if rows > 0 else 0.0
        kept += (learned if rows > 0 else 0.0) * (spread - kept)
        if not (beyond or rows < fixed.first_rows):
            tail = max(tail, kept)
            tail *= 1 + fixed.tail_step if size > tail else 1 - fixed.tail_step / 99
        moved = abs(x - last)
        if moved > 0 and not beyond:
            if step > 0:
                step += max(rate, 0.01) * (min(moved, 2 * step + params.floor) - step)
            else:
                step += 1.0 * (moved - step)
        if hours is not None:
            hour = hours[i]
            seen = mine[9][hour]
            mine[8][hour] += (0.0 if beyond else 1.0 / min(seen + 2.0, fixed.profile_rows)) * clipped
            mine[9][hour] = seen if beyond else min(seen, 60_000) + 1
        if beyond:
            run = held_beyond + 1
            mean = regime if held_beyond > 0 else 0.0
            mean += (away - mean) / max(run, 1)
            if run >= params.adopt_after:
                centre, last, held_beyond, regime = centre + mean, x, 0, 0.0
            else:
                held_beyond, regime = run, mean
        else:
            last, rows, held_beyond = x, min(rows, 2**30) + 1, 0
        mine[:8] = centre, kept, tail, step, last, rows, held_beyond, regime
        # --- say
        measure = math.nan
        if warm:
            sign = 1.0 if side == "both" else _sign(away if side == "above" else -away)
            measure = z if side == "both" else z * sign
        score = measure / (abs(measure) + freeze)
        measures.append(measure)
        expecteds.append(expected)
        scores.append(score if side == "both" or score != score else max(score, 0.0))
    for s, mine in held.items():
        for name, value in zip(NAMES, mine, strict=False):
            state[name][s] = value
        if hours is not None:
            state["profile"][s], state["hours"][s] = mine[8], mine[9]
    return measures, expecteds, scores


def _sign(value: float) -> float:
    return 1.0 if value > 0 else -1.0 if value < 0 else 0.0

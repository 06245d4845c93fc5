"""Robust z as a compiled loop over rows in the order of the log: what :class:`detectors.robust_z.RobustZ` does in numpy.

Every line here is one line there, operation for operation; a property test demands the same bits of measures, expectations,
scores and state. A series may occur any number of times in a batch: each row finds what the row before it left.
"""

from __future__ import annotations

import math
from typing import Any

from streams.batch import Float64, Int32, Int64
from streams.compiled import compiled

HOUR_MS = 3_600_000
#: Beyond it differences and squares leave the range of numbers; no quantity of a city is there.
LARGEST = 1e150
#: An hour of the profile follows about the last two hundred rows it saw, at 5-minute sampling two and a half weeks.
PROFILE_ROWS = 200.0
#: Of Gaussian noise one row in a hundred is beyond 3.2 scales. Where that row lies further out than this many, the tail is
#: what is usual and the scale follows it, or signals that spike by nature would be unusual all day.
TAIL_SCALES = 4.0
TAIL_STEP = 0.05
#: From this row on clipping holds; before it there is no scale worth clipping by.
FIRST_ROWS = 8
#: Largest z that is told.
MOST = 1e12


@compiled
def rows(
    warmup: int,
    memory: float,
    freeze: float,
    clip: float,
    adopt_after: int,
    floor: float,
    side: int,
    daily: bool,
    good: bool,
    slot: Int32,
    ts: Int64,
    values: Float64,
    told: Float64,
    records: Any,
    profiles: Float64,
    hours: Int32,
) -> None:
    """Write (measure, expected, score) of each row into ``told``, shape (3, rows), and move the state along.

    ``side``: 0 both, 1 above, −1 below. ``good``: rows known to be good, learned however far away they are. ``records``:
    the state, one a slot; its ``profiles`` and ``hours``, shape (slots, 24), are looked at only where ``daily``.
    """
    for i in range(len(slot)):
        s, x = slot[i], values[i]
        held = records[s]
        if not abs(x) < LARGEST:
            told[0, i] = told[1, i] = told[2, i] = math.nan
            continue
        count, centre, step = held.rows, held.centre, held.step
        hour = (ts[i] // HOUR_MS) % 24 if daily else 0
        expected = centre + profiles[s, hour] if daily else centre
        away = x - expected
        size = abs(away)
        digits = abs(centre) * 1e-12
        scale = max(held.scale, step * 0.5, floor, digits)
        wide = max(scale, held.tail / TAIL_SCALES)
        z = min(size / wide, MOST) if wide > max(digits * 1.01, 1e-300) else 0.0
        warm = count >= warmup
        beyond = warm and z > freeze and not good

        measure = math.nan
        if warm:
            towards = side * away
            measure = z if side == 0 else z * (1.0 if towards > 0 else -1.0 if towards < 0 else 0.0)
        score = measure / (abs(measure) + freeze)
        told[0, i], told[1, i] = measure, expected
        told[2, i] = 0.0 if side != 0 and score < 0 else score

        if beyond:
            run = held.beyond + 1
            mean = held.regime if run > 1 else 0.0
            mean += (away - mean) / run
            held.beyond, held.regime = run, mean
            if run >= adopt_after:
                held.centre, held.last, held.beyond, held.regime = centre + mean, x, 0, 0.0
            continue
        if held.beyond > 0:
            held.beyond, held.regime = 0, 0.0
        rate = 1.0 / min(count + 1.0, memory)
        limit = clip * scale if count >= FIRST_ROWS and scale > 0 else math.inf
        clipped = min(max(away, -limit), limit)
        held.centre = centre + rate * clipped
        if count > 0:
            held.scale += rate * (min(size, limit) - held.scale)
        if count >= FIRST_ROWS:
            tail = max(held.tail, held.scale)
            held.tail = tail * (1 + TAIL_STEP if size > tail else 1 - TAIL_STEP / 99)
        moved = abs(x - held.last)
        if moved > 0:  # and so not the first row, whose last is NaN
            follows = max(rate, 0.01) * (min(moved, 2 * step + floor) - step) if step > 0 else moved - step
            held.step = step + follows
        held.last = x
        held.rows = min(count, 2**30) + 1
        if daily:
            seen = hours[s, hour]
            profiles[s, hour] += 1.0 / min(seen + 2.0, PROFILE_ROWS) * clipped
            hours[s, hour] = min(seen, 60_000) + 1

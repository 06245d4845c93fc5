"""Rate of change as a compiled loop over rows in the order of the log: what :class:`detectors.rate_of_change.RateOfChange`
does in numpy."""

from __future__ import annotations

import math

from streams.batch import Bool, Float64, Int32, Int64
from streams.compiled import compiled


@compiled
def rows(
    signs: Float64,
    window_ms: int,
    bucket_ms: int,
    least_ms: int,
    per_ms: float,
    slot: Int32,
    ts: Int64,
    values: Float64,
    told: Float64,
    lows: Float64,
    ats: Int64,
    seen: Bool,
) -> None:
    """Write (measure, value compared with, its age in seconds) of each row into ``told``, shape (3, rows); NaN where the value
    is no number. Points are compared with that are ``least_ms`` to ``window_ms`` old; ``per_ms`` 0: as it is, not as a rate.

    The state's columns come last: ``lows`` and ``ats`` of shape (slots, signs, buckets).
    """
    buckets = lows.shape[2]
    for i in range(len(slot)):
        s, at, x = slot[i], ts[i], values[i]
        if not math.isfinite(x):
            told[0, i] = told[1, i] = told[2, i] = math.nan
            continue
        most, origin, span = 0.0, x, 0.0
        bucket = at // bucket_ms
        place = bucket % buckets
        for side in range(len(signs)):
            signed = x * signs[side]
            for k in range(buckets):
                age = at - ats[s, side, k]
                if age < least_ms or age > window_ms:
                    continue
                moved = signed - lows[s, side, k]
                if per_ms > 0:
                    moved = moved * per_ms / max(age, 1)
                if moved > most:
                    most, origin, span = moved, lows[s, side, k] * signs[side], age / 1000.0
            if ats[s, side, place] // bucket_ms != bucket or signed <= lows[s, side, place]:
                lows[s, side, place], ats[s, side, place] = signed, at
        told[0, i] = most if seen[s] else math.nan
        told[1, i], told[2, i] = origin, span
        seen[s] = True

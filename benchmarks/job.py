"""The job every contender beside citywatch does on a reading, as a plain script would write it down: one sensor, one row.

Decode JSON into a typed reading; refuse what is not a methane reading in its unit, finite, marked good, near its arrival and
newer than the sensor's last; raise the threshold rule at 20 %LEL, the robust z rule at 12 scales, the stuck rule after two
minutes at one value and the silence rule where nothing came for three intervals, each once per trouble.
Centre and scale are exponential means, clipped at three scales and frozen beyond eight (Huber, as :mod:`detectors.robust_z`
without its care for quantised, spiky, rounded and seasonal series). A silence is of the second in which it fell due. Whoever
has no timers of the log's time tells it when the sensor is heard again, which makes it late, not other. On the readings of
:mod:`benchmarks.readings` the raised alarms are those of the detect stage, to the sensor and the millisecond: :func:`mark`
makes them comparable as one number.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from typing import Any

import msgspec

SENSORS = 10_000
METRIC, UNIT = "ch4", "%LEL"
THRESHOLD, Z = 20.0, 12.0
THRESHOLD_RULE, Z_RULE, STUCK_RULE, SILENCE_RULE = "bench-threshold", "bench-z", "bench-stuck", "bench-silence"
WARMUP, MEMORY, FIRST, CLIP, FREEZE = 60, 1000.0, 8, 3.0, 8.0
#: So long (s) at one value, and so many readings of it; so long (ms) without one, looked at every second.
STUCK_S, STUCK_ROWS, SILENCE_MS, TICK_MS = 120.0, 5, 30_000, 1_000
#: A reading further from its arrival than this (ms) says nothing of now: five minutes ahead, a day behind.
AHEAD_MS, BEHIND_MS = 300_000, 86_400_000


class Reading(msgspec.Struct, gc=False):
    """What the feed holds; other fields are skipped, missing and mistyped ones raise ``msgspec.ValidationError``."""

    sensor_id: str
    ts: int
    metric: str
    value: float
    unit: str | None = None
    quality: str | None = None
    seq: int | None = None


decode = msgspec.json.Decoder(Reading).decode


def fits(reading: Reading, arrival: int) -> bool:
    """Whether a reading can be believed, as far as it tells by itself; ``arrival`` in epoch ms."""
    return (
        reading.metric == METRIC
        and reading.unit in (None, UNIT)
        and reading.quality in (None, "good")
        and math.isfinite(reading.value)
        and -AHEAD_MS <= arrival - reading.ts <= BEHIND_MS
    )


#: State of a sensor, small and plain enough for any store: last ts, rows, centre, scale, high, odd, resting value, since when,
#: for how many readings, stuck, last arrival.
State = list[Any]


def fresh() -> State:
    return [0, 0, 0.0, 0.0, False, False, math.nan, 0, 0, False, 0]


def step(state: State, ts: int, value: float, arrival: int) -> list[tuple[str, int]] | None:
    """Rules raised by this reading, each with its time, ``state`` moved on; None where the reading is no newer than the last.

    >>> state = fresh()
    >>> [step(state, s * 1000, 1.0 + s % 3 / 10, s * 1000) for s in range(1, 100)].count([])
    99
    >>> step(state, 100_000, 25.0, 100_000), step(state, 140_500, 25.0, 140_500), step(state, 140_500, 25.0, 140_500)
    ([('bench-threshold', 100000), ('bench-z', 100000)], [('bench-silence', 130000)], None)
    """
    last, rows, centre, scale, was_high, was_odd, rest, since, same, was_stuck, heard = state
    if ts <= last:
        return None
    raised = []
    if heard and due(heard) <= arrival:
        raised.append((SILENCE_RULE, due(heard)))
    away = value - centre
    size = abs(away)
    z = size / scale if rows >= WARMUP and scale > 0 else 0.0
    if z <= FREEZE:
        rate = 1.0 / min(rows + 1.0, MEMORY)
        limit = CLIP * scale if rows >= FIRST and scale > 0 else math.inf
        centre += rate * max(-limit, min(limit, away))
        if rows:
            scale += rate * (min(size, limit) - scale)
        rows += 1
    if value == rest:
        same += 1
    else:
        rest, since, same = value, ts, 1
    high, odd, stuck = value >= THRESHOLD, z >= Z, same >= STUCK_ROWS and (ts - since) / 1000 >= STUCK_S
    state[:] = ts, rows, centre, scale, high, odd, rest, since, same, stuck, max(heard, arrival)
    if high or odd or stuck:
        now = (THRESHOLD_RULE, high, was_high), (Z_RULE, odd, was_odd), (STUCK_RULE, stuck, was_stuck)
        raised += [(rule, ts) for rule, is_so, was_so in now if is_so and not was_so]
    return raised


def due(heard: Any) -> Any:
    """The second (ms) in which a silence since then is looked at and found; of one time or of a column of them."""
    return -(-(heard + SILENCE_MS) // TICK_MS) * TICK_MS


def mark(rule: str, sensor: str, ts: int) -> int:
    """A number for one raised alarm; sums of them are equal where the alarms are, in whatever order they were told."""
    return zlib.crc32(f"{rule} {sensor} {ts}".encode())


def tell(found: Counter[str], rule: str, sensor: str, ts: int) -> None:
    """Enter a raised alarm into what a contender found."""
    found[f"{rule} raised"] += 1
    found["alerts"] += mark(rule, sensor, ts)


def alerts(found: Counter[str] | dict[str, int]) -> dict[str, int]:
    """Of what a contender found, that in which all who do the job must agree."""
    return {name: count for name, count in sorted(found.items()) if name in ("processed", "alerts") or name.endswith(" raised")}

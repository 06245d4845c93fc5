"""The same job in columns: what a good hand-written numpy script makes of :mod:`benchmarks.job`.

A batch may hold a sensor several times, and its readings must be judged in order: rows are taken in rounds, the first of every
sensor, then the second, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import job

Column = np.ndarray[Any, Any]


class Sensors:
    """State of all sensors, one column per number; ``found`` takes outcomes and alarms."""

    def __init__(self, found: Counter[str], room: int = 131_072) -> None:
        self.found = found
        self.slots: dict[str, int] = {}
        self.last, self.rows = np.zeros(room, np.int64), np.zeros(room, np.int64)
        self.centre, self.scale = np.zeros(room), np.zeros(room)
        self.high, self.odd, self.stuck, self.silent = (np.zeros(room, bool) for _ in range(4))
        self.rest, self.since, self.same = np.full(room, np.nan), np.zeros(room, np.int64), np.zeros(room, np.int64)
        self.heard, self.clock = np.zeros(room, np.int64), 0
        self.names: list[str] = []

    def take(self, readings: Sequence[job.Reading], arrivals: Sequence[int]) -> None:
        """One batch in the order of the log."""
        slots = self.slots
        slot = np.array([slots.setdefault(reading.sensor_id, len(slots)) for reading in readings])
        self.names += list(slots)[len(self.names) :] if len(slots) > len(self.names) else []
        came = np.array(arrivals)
        ts = np.array([reading.ts for reading in readings])
        value = np.array([reading.value for reading in readings], np.float64)
        late = came - ts
        good = np.isfinite(value) & (late >= -job.AHEAD_MS) & (late <= job.BEHIND_MS)
        # Words are few and mostly the same objects: one look at the set of them is enough for most batches.
        words = {(reading.metric, reading.unit, reading.quality) for reading in readings}
        if not all(_known(*three) for three in words):
            good &= [_known(reading.metric, reading.unit, reading.quality) for reading in readings]
        self.found["refused"] += len(good) - int(good.sum())
        for rows in rounds(slot):
            rows = rows[good[rows]]
            rows = rows[ts[rows] > self.last[slot[rows]]]
            self.found["processed"] += len(rows)
            self._heard(slot[rows], came[rows])
            self._round(slot[rows], ts[rows], value[rows], readings, rows)
        self._tick(int(came.max(initial=0)))

    def _heard(self, slot: Column, came: Column) -> None:
        """A silence that fell due before the reading, unless it was told; the sensor is heard now."""
        heard = self.heard[slot]
        due = job.due(heard)
        for row in np.flatnonzero((heard > 0) & (due <= came) & ~self.silent[slot]):
            job.tell(self.found, job.SILENCE_RULE, self.names[slot[row]], int(due[row]))
        self.silent[slot] = False
        self.heard[slot] = np.maximum(heard, came)

    def _tick(self, now: int) -> None:
        """Silences that have fallen due by the time of the log."""
        self.clock = max(self.clock, now)
        heard = self.heard[: len(self.slots)]
        due = job.due(heard)
        for slot in np.flatnonzero((heard > 0) & (due <= self.clock) & ~self.silent[: len(heard)]):
            job.tell(self.found, job.SILENCE_RULE, self.names[slot], int(due[slot]))
            self.silent[slot] = True

    def _round(self, slot: Column, ts: Column, value: Column, readings: Sequence[job.Reading], at: Column) -> None:
        rows, centre, scale = self.rows[slot], self.centre[slot], self.scale[slot]
        away = value - centre
        size = np.abs(away)
        known = scale > 0
        z = np.divide(size, scale, out=np.zeros_like(size), where=known & (rows >= job.WARMUP))
        limit = np.where(known & (rows >= job.FIRST), job.CLIP * scale, np.inf)
        rate = np.where(z <= job.FREEZE, 1.0 / np.minimum(rows + 1.0, job.MEMORY), 0.0)
        self.centre[slot] = centre + rate * np.clip(away, -limit, limit)
        self.scale[slot] = scale + np.where(rows > 0, rate, 0.0) * (np.minimum(size, limit) - scale)
        self.rows[slot] = rows + (z <= job.FREEZE)
        self.last[slot] = ts
        stays = value == self.rest[slot]
        self.same[slot] = same = np.where(stays, self.same[slot] + 1, 1)
        self.since[slot] = since = np.where(stays, self.since[slot], ts)
        self.rest[slot] = value
        high, odd = value >= job.THRESHOLD, z >= job.Z
        stuck = (same >= job.STUCK_ROWS) & ((ts - since) / 1000 >= job.STUCK_S)
        told = (job.THRESHOLD_RULE, high, self.high), (job.Z_RULE, odd, self.odd), (job.STUCK_RULE, stuck, self.stuck)
        for rule, now, before in told:
            for row in np.flatnonzero(now & ~before[slot]):
                job.tell(self.found, rule, readings[at[row]].sensor_id, int(ts[row]))
            before[slot] = now


def _known(metric: str, unit: str | None, quality: str | None) -> bool:
    return metric == job.METRIC and unit in (None, job.UNIT) and quality in (None, "good")


def rounds(slot: Column) -> Iterator[Column]:
    """Rows of a batch in groups that hold every slot once at most, in the order of the log.

    >>> [rows.tolist() for rows in rounds(np.array([4, 7, 4, 4]))]
    [[0, 1], [2], [3]]
    """
    order = np.argsort(slot, kind="stable")
    ranked = slot[order]
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    turn = np.empty(len(slot), np.int64)
    turn[order] = np.arange(len(slot)) - np.repeat(first, np.diff(np.r_[first, len(slot)]))
    for number in range(int(turn.max()) + 1 if len(slot) else 0):
        yield np.flatnonzero(turn == number)

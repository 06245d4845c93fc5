"""Normal values of every sensor: a base, a day, a week, and autoregressive noise within physical bounds; meters add them up.

All sensors of one interval are drawn in one numpy step; a sensor's phase within its interval is fixed, so load is even.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.simulate.layout import REGISTERED_FROM, Place

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LOCAL_OFFSET_MS = 8 * 3_600_000  # China Standard Time, no daylight saving
_NEVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Drawn:
    """Readings of one grid step of one interval class; parallel arrays."""

    index: NDArray[np.int64]  # into Rhythm.sensors
    ts: NDArray[np.int64]
    value: NDArray[np.float64]


class Rhythm:
    """Generator of normal values; ``between`` must be called with adjoining spans."""

    def __init__(self, rng: np.random.Generator, sensors: list[Place], start_ts: int) -> None:
        self.rng = rng
        self.sensors = sensors
        self.start_ts = start_ts
        kind = [s.sensor_kind for s in sensors]
        if any(k is None for k in kind):
            raise ValueError("every simulated sensor has a kind")

        def column(name: str) -> NDArray[np.float64]:
            return np.array([getattr(k, name) for k in kind], dtype=np.float64)

        self._base = np.array([s.base for s in sensors])
        self._daily, self._weekly = column("daily"), column("weekly")
        self._noise, self._memory = column("noise"), column("memory")
        self._floor, self._ceiling, self._step = column("floor"), column("ceiling"), column("step")
        self.intervals = np.array([round(1000 * s.facts["interval_s"]) for s in sensors], dtype=np.int64)
        self._phase = (rng.random(len(sensors)) * self.intervals).astype(np.int64)
        self._shift = rng.uniform(-0.06, 0.06, len(sensors))  # not every street wakes at the same minute
        self._residual = rng.normal(0.0, 1.0, len(sensors)) * self._noise
        self._innovation = self._noise * np.sqrt(np.maximum(1e-9, 1.0 - self._memory**2))
        self.normal = self._base.copy()
        self._counts = column("counts").astype(np.bool_)
        # Every meter has run at its usual rate since it was registered.
        self._total = self._base * (start_ts - REGISTERED_FROM) / HOUR_MS
        self._setback_at = np.full(len(sensors), _NEVER, dtype=np.int64)
        self._setback_share = np.zeros(len(sensors))
        self._classes = [np.flatnonzero(self.intervals == step) for step in np.unique(self.intervals)]

    def interval_ms(self, index: int) -> int:
        """Reporting interval of one sensor."""
        return int(self.intervals[index])

    def set_back(self, index: int, at_ts: int, share: float) -> None:
        """The meter ``index`` forgets ``share`` of its count before its first reading from ``at_ts`` on, once."""
        self._setback_at[index], self._setback_share[index] = at_ts, share

    def between(self, from_ts: int, to_ts: int) -> Iterator[Drawn]:
        """Readings with ``from_ts`` ≤ ts < ``to_ts``, grid step by grid step."""
        for members in self._classes:
            step = int(self.intervals[members[0]])
            first = self.start_ts + self._phase[members]
            # Number of the first sample of each sensor that is not before from_ts.
            number = np.maximum(0, -((first - from_ts) // step))
            ts = first + number * step
            while True:
                due = ts < to_ts
                if not due.any():
                    break
                index, when = members[due], ts[due]
                yield Drawn(index, when, self._values(index, when))
                ts = ts + step

    def _values(self, index: NDArray[np.int64], ts: NDArray[np.int64]) -> NDArray[np.float64]:
        residual = self._memory[index] * self._residual[index] + self._innovation[index] * self.rng.standard_normal(len(index))
        self._residual[index] = residual
        day = ((ts + LOCAL_OFFSET_MS) % DAY_MS) / DAY_MS + self._shift[index]
        # Two humps, morning and evening, as water, heat and traffic have them.
        rhythm = 0.7 * np.sin(2 * np.pi * (day - 0.3)) + 0.3 * np.sin(4 * np.pi * (day - 0.1))
        week = np.where(((ts + LOCAL_OFFSET_MS) // DAY_MS + 3) % 7 >= 5, 1.0, 0.0)
        value = self._base[index] * (1.0 + self._daily[index] * rhythm + self._weekly[index] * week) + residual
        value = np.clip(value, self._floor[index], self._ceiling[index])
        meters = self._counts[index]
        if meters.any():
            value[meters] = self._counted(index[meters], ts[meters], value[meters])
        value = np.round(value / self._step[index]) * self._step[index]
        self.normal[index] = value
        return value

    def _counted(self, index: NDArray[np.int64], ts: NDArray[np.int64], per_hour: NDArray[np.float64]) -> NDArray[np.float64]:
        """What meters read at ``ts``, one interval at this rate after their last reading."""
        due = ts >= self._setback_at[index]
        total = self._total[index] * np.where(due, 1.0 - self._setback_share[index], 1.0)
        self._setback_at[index[due]] = _NEVER
        total += per_hour * self.intervals[index] / HOUR_MS
        self._total[index] = total
        return total

"""What networks and devices do to records: delay, duplicates, disorder, gaps, and bytes that are no record at all.

Delays move the arrival, never the event time. Rates are per record and small enough that a normal day stays normal; long
silences are hazards of their own and live in ``hazards``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Bytes seen on real topics where a record should be.
GARBAGE: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"sensor_id":',
    b"\xff\xfe\x00\x01",
    b'"text"',
    b"42",
    b'{"sensor_id":"X","ts":"yesterday"}',
    b'{"sensor_id":"X","ts":1,"metric":"ch4","value":"high"}',
    b'{"sensor_id":"X","ts":0,"metric":"ch4","value":1}',
    b'{"sensor_id":"X","ts":4102444800000,"metric":"ch4","value":1}',
    b'{"sensor_id":"X","ts":1700000000000,"metric":"ch4","value":NaN}',
    b"[" * 2000 + b"]" * 2000,
)


@dataclass(slots=True, frozen=True)
class FaultRates:
    """Shares of records (0 to 1)."""

    duplicate: float = 0.003
    late: float = 0.002
    garbage: float = 0.0003
    #: Share of sensors that skip one or two readings in any hour.
    gap_per_hour: float = 0.02


class Network:
    """Turns event times into arrival times and says which records arrive twice or not at all."""

    def __init__(self, rng: np.random.Generator, rates: FaultRates, sensors: int) -> None:
        self.rng, self.rates = rng, rates
        self._silent_until = np.zeros(sensors, dtype=np.int64)

    def arrivals(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Arrival time per record: some 200 ms on the way, a few minutes for the late ones."""
        delay = self.rng.lognormal(5.2, 0.5, len(ts))
        late = self.rng.random(len(ts)) < self.rates.late
        delay[late] += self.rng.uniform(20_000, 400_000, int(late.sum()))
        return ts + delay.astype(np.int64) + 1

    def duplicated(self, n: int) -> NDArray[np.bool_]:
        return self.rng.random(n) < self.rates.duplicate

    def kept(self, index: NDArray[np.int64], ts: NDArray[np.int64], interval_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which readings leave the device at all; a gap is shorter than the time after which silence is reported."""
        chance = self.rates.gap_per_hour * interval_ms / 3_600_000
        # Never two gaps in a row: together they would be a silence worth reporting, and no truth file would know of it.
        rested = ts > self._silent_until[index] + 3 * interval_ms
        begins = (self.rng.random(len(index)) < chance) & rested
        until = ts + (interval_ms * self.rng.uniform(0.5, 1.4, len(index))).astype(np.int64)
        self._silent_until[index[begins]] = until[begins]
        return ts >= self._silent_until[index]

    def garbage(self, records: int) -> list[bytes]:
        count = int(self.rng.poisson(records * self.rates.garbage))
        return [GARBAGE[i] for i in self.rng.integers(len(GARBAGE), size=count).tolist()]

"""How many readings a second one detector takes in a shard of many sensors, and what a sensor weighs there.

A shard shows its rules what one fetch brought: at most 1,000 rows as the worker is set up, more where ``batch_records`` says
so. Both are measured, because numpy's cost per call is shared by the rows of a batch, and the state of ten thousand sensors
(20 MB) does not fit into the caches that a benchmark of a thousand sensors lives in. Every sensor speaks every ten seconds, in
random order. Processor time of one core, detector with ladder and alarm; one round is twenty readings of every sensor.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.detector_rows import batches
from streams.batch import Batch

#: Rows of one fetch: the worker's default, and one reading of every sensor.
FETCHES = (1_000, 10_000)
SENSORS, ROUNDS = 10_000, 5
#: Readings of every sensor before anything is measured (the warm-up of `unusual` is 100 of them), and in one round.
_WARM, _ROUND = 120, 20

Show = Callable[[Batch], None]


@dataclass(frozen=True)
class Shard:
    """``rates``: readings a second of each round, by rows of one fetch. ``bytes`` a sensor, of the detector's snapshot."""

    sensors: int
    rates: dict[int, list[float]]
    bytes: float

    def lines(self) -> list[str]:
        found = [
            f"{self.sensors:,} sensors in one shard, {fetch:,} rows a fetch: {statistics.median(rates):,.0f} readings/s on one "
            f"core (median of {len(rates)}; {min(rates):,.0f} to {max(rates):,.0f})"
            for fetch, rates in self.rates.items()
        ]
        return [*found, f"{self.sensors:,} sensors in one shard: {self.bytes:,.0f} bytes a sensor"]

    def __str__(self) -> str:
        told = " and ".join(f"{statistics.median(rates):,.0f} readings/s by {fetch:,}" for fetch, rates in self.rates.items())
        return f"{self.sensors:,} sensors in one shard: {told} rows a fetch"


def measure(show: Show, weigh: Callable[[], int], sensors: int = SENSORS, rounds: int = ROUNDS) -> Shard:
    """``show`` takes a batch as a shard's rule does; ``weigh`` says how many bytes the state of all sensors has."""
    feed = batches("sensor", sensors, _WARM + _ROUND * rounds * len(FETCHES))
    for batch in islice(feed, _WARM):
        show(batch)
    rates: dict[int, list[float]] = {fetch: [] for fetch in FETCHES}
    # Taking turns, so that a busy minute of the machine hits both.
    for _ in range(rounds):
        for fetch, found in rates.items():
            found.append(sensors * _ROUND / _took(show, islice(feed, _ROUND), fetch))
    return Shard(sensors, rates, weigh() / sensors)


def _took(show: Show, feed: Iterator[Batch], fetch: int) -> float:
    """Seconds of processor time; making the rows and cutting them is not counted."""
    took = 0.0
    for batch in feed:
        pieces: Sequence[Batch] = [batch.cut(at, at + fetch) for at in range(0, len(batch), fetch)]
        begun = time.process_time()
        for piece in pieces:
            show(piece)
        took += time.process_time() - begun
    return took

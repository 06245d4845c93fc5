"""When reports of one kind in one place are more than the place is used to: the numbers, and the tail they are judged by.

The counting itself needs the whole city and an order of its own, so it lives in the incident stage (D7,
:mod:`topologies.bursts`): at least ``min_count`` witnesses within ``window_s`` that a Poisson process of the place's usual rate
would give with a probability below ``chance``.
"""

from __future__ import annotations

import math

import msgspec


class BurstSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``granted_per_day``: reports a day that are usual for any area, before it has been seen for long.

    ``max_reports`` bounds the reports a category keeps in its window; beyond it the oldest is let go and counted.
    """

    window_s: float = 1800.0
    cell_m: float = 500.0
    min_count: int = 3
    chance: float = 1e-4
    memory_s: float = 14 * 86_400.0
    granted_per_day: float = 0.5
    adopt_after_s: float = 86_400.0
    max_reports: int = 20_000

    def __post_init__(self) -> None:
        if not (self.window_s > 0 and self.cell_m > 0 and self.memory_s > self.window_s and self.granted_per_day > 0):
            raise ValueError("`window_s`, `cell_m`, `granted_per_day` must be above 0 and `memory_s` above `window_s`")
        if not (self.min_count >= 2 and 0 < self.chance < 1 and self.max_reports >= self.min_count):
            raise ValueError("`min_count` must be 2 or more and within `max_reports`, `chance` between 0 and 1")


def tail(count: int, mean: float) -> float:
    """Probability that a Poisson variable of this mean is ``count`` or more.

    >>> round(tail(3, 0.1), 7), tail(0, 5.0)
    (0.0001547, 1.0)
    """
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    # Summed from the count upwards, so that small tails are not lost as 1 minus nearly 1.
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, k = 0.0, count
    while term > total * 1e-12 or k < mean:
        total += term
        k += 1
        term *= mean / k
    return min(1.0, total)

"""What :mod:`detectors.unusual` tells of the rows of one batch, and one of them in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from detectors import tails
from streams.batch import Bool, Float64, Int64


class Told(NamedTuple):
    """All rows of a batch: the three numbers of :class:`detectors.base.Measures`, and what a sentence needs.

    ``rarity`` of the ``channel`` that says most (−1: the row says nothing), ``beyond`` anything seen, unusual ``since`` (ms).
    """

    measure: Float64
    expected: Float64
    score: Float64
    rarity: Float64
    channel: Int64
    beyond: Bool
    since: Int64

    @classmethod
    def nothing(cls, n: int) -> Told:
        measure, expected, score, rarity = np.full((4, n), np.nan)
        return cls(measure, expected, score, rarity, np.full(n, -1), np.zeros(n, np.bool_), np.zeros(n, np.int64))

    def put(self, rows: Int64, part: Told) -> None:
        """These rows are told by another one."""
        for whole, of_rows in zip(self, part, strict=True):
            whole[rows] = of_rows

    def sentence(self, i: int, value: float) -> str:
        """Expected, observed, tail rank, which channel, since when."""
        if self.channel[i] < 0:
            return f"{value:g} says nothing by itself"
        beyond = ", beyond anything seen" if self.beyond[i] else ""
        channel = tails.CHANNELS[int(self.channel[i])]
        rank = max(1.0, 10.0 ** min(float(self.rarity[i]), 9.0))
        return (
            f"{value:g} where about {self.expected[i]:.6g} was expected{beyond}: by its {channel} one in {rank:.2g} "
            f"of its own readings is as far off; unusual since {_moment(int(self.since[i]))}"
        )


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"

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
    def room(cls, n: int) -> tuple[Float64, Int64, Bool]:
        """What :meth:`of` takes, not yet filled: numbers of shape (4, n), channel and since of shape (2, n), beyond (n)."""
        return np.empty((4, n)), np.empty((2, n), np.int64), np.empty(n, np.bool_)

    @classmethod
    def of(cls, numbers: Float64, marks: Int64, beyond: Bool) -> Told:
        return cls(numbers[0], numbers[1], numbers[2], numbers[3], marks[0], beyond, marks[1])

    @classmethod
    def nothing(cls, n: int) -> Told:
        numbers, marks, beyond = cls.room(n)
        numbers[:], marks[0], marks[1], beyond[:] = np.nan, -1, 0, False
        return cls.of(numbers, marks, beyond)

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

"""What :mod:`detectors.unusual` tells of the rows of one batch, and one of them in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from detectors import tails
from streams.batch import Bool, Float64, Int64


class Row(NamedTuple):
    """One row: the three numbers of :class:`detectors.base.Measures`, and what its sentence needs.

    ``rarity`` of the ``channel`` that says most (−1: the row says nothing), ``beyond`` anything seen, unusual ``since`` (ms).
    """

    measure: float = np.nan
    expected: float = np.nan
    score: float = np.nan
    rarity: float = np.nan
    channel: int = -1
    beyond: bool = False
    since: int = 0


@dataclass(slots=True)
class Told:
    """The fields of :class:`Row` for all rows of a batch."""

    measure: Float64
    expected: Float64
    score: Float64
    rarity: Float64 | Sequence[float]
    channel: Int64 | Sequence[int]
    beyond: Bool | Sequence[bool]
    since: Int64 | Sequence[int]

    @classmethod
    def nothing(cls, n: int) -> Told:
        blank = Row()
        return cls(*(np.full(n, of_a_row) for of_a_row in blank))

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Told:
        if not rows:
            return cls.nothing(0)
        measure, expected, score, *rest = zip(*rows, strict=True)
        return cls(np.array(measure), np.array(expected), np.array(score), *rest)

    def put(self, rows: Int64, part: Told) -> None:
        """These rows are told by another one."""
        for name in self.__slots__:
            getattr(self, name)[rows] = getattr(part, name)

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

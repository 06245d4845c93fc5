"""Rounds: vectors from the readings of a group, which come one by one, at different rates and sometimes not at all.

A group's members are its ``(sensor_id, metric)`` in the order they were first heard. A round is complete when every member
that is about has reported, or when one speaks again while at least ``share`` of them have. Of a member that spoke more than
once the mean counts; one that did not speak is NaN. A member that was silent for ``away`` rounds is not waited for, and where
the group is full it makes room for a new one.

The first turn only finds out who belongs to the group: its values are dropped when the first member speaks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.batch import Float64

#: No quantity of a city is beyond; sums of a few stay numbers.
_HUGE = 1e100


class Rounds:
    """``share`` of the members that makes a round; ``most`` members at once; ``away``: rounds of silence that let one go.

    >>> rounds = Rounds(share=0.6, most=32, away=20)
    >>> [rounds.hear(name, value) for name, value in (("a", 1.0), ("b", 2.0), ("a", 3.0))]
    [None, None, None]
    >>> rounds.hear("b", 4.0).tolist()
    [3.0, 4.0]
    """

    def __init__(self, share: float, most: int, away: int) -> None:
        self._share, self._most, self._away = share, most, away
        self.names: list[str] = []
        self._place: dict[str, int] = {}
        self.total: Float64 = np.zeros(0)
        self.count: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        #: Rounds since a member last spoke.
        self.silent: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.gathering = True
        #: Places given to another member by the last reading, for those who keep something by place.
        self.taken: int | None = None

    def hear(self, name: str, value: float) -> Float64 | None:
        """Take a member's reading; the vector it completes, by the order of :attr:`names`, or None."""
        self.taken = None
        i = self._place.get(name)
        if i is None:
            i = self._admit(name)
            if i is None:
                return None
        again = self.count[i] > 0
        closed: Float64 | None = None
        if again and self.gathering:
            self.gathering = False
            self._clear()
        elif again and self._reported() >= self._share:
            closed = self._close()
        self.total[i] += min(max(value, -_HUGE), _HUGE)
        self.count[i] += 1
        # Where one reading ends two rounds, because the others have just been given up, the later one counts.
        if not self.gathering and self._reported() >= 1.0:
            closed = self._close()
        return closed

    def _admit(self, name: str) -> int | None:
        if len(self.names) < self._most:
            place = len(self.names)
            self.names.append(name)
            self.total, self.count = np.append(self.total, 0.0), np.append(self.count, 0)
            self.silent = np.append(self.silent, 0)
        else:
            # A group larger than its cap is watched by the members heard first, while they speak.
            place = int(np.argmax(self.silent))
            if self.silent[place] < self._away:
                return None
            del self._place[self.names[place]]
            self.names[place], self.total[place], self.count[place], self.silent[place] = name, 0.0, 0, 0
            self.taken = place
        self._place[name] = place
        return place

    def _reported(self) -> float:
        """Share of the members that are about which have spoken in this round."""
        about = (self.silent < self._away) | (self.count > 0)
        return float(np.count_nonzero(self.count[about])) / max(int(np.count_nonzero(about)), 1)

    def _close(self) -> Float64:
        spoke = self.count > 0
        vector: Float64 = np.divide(self.total, self.count, out=np.full(len(self.total), np.nan), where=spoke)
        self.silent = np.where(spoke, 0, self.silent + 1)
        self._clear()
        return vector

    def _clear(self) -> None:
        self.total[:] = 0.0
        self.count[:] = 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All but the names."""
        gathering = np.array([int(self.gathering)], dtype=np.int64)
        return {"total": self.total.copy(), "count": self.count.copy(), "silent": self.silent.copy(), "gathering": gathering}

    def restore(self, names: list[str], saved: Mapping[str, NDArray[Any]]) -> None:
        self.names = list(names)
        self._place = {name: i for i, name in enumerate(names)}
        self.total = np.array(saved["total"], dtype=np.float64)
        self.count, self.silent = (np.array(saved[name], dtype=np.int64) for name in ("count", "silent"))
        self.gathering = bool(saved["gathering"][0])

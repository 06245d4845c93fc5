"""How far a rule with timers can be shown rows at once: up to the first second in which one of its timers may fall due.

A tick fires before the first row of its second, so rows of several seconds may be shown together only where no timer falls due
between them. Which may, the detector says (:meth:`detectors.base.Detector.soonest`). Cut at every second instead, a rule
of silence is shown one row at a time on sparse data, which was a third of the time of a replay.
"""

from __future__ import annotations

import numpy as np

from streams.batch import Int64
from topologies.rule_context import TICK_MS

#: Rows that are looked at ahead: where timers fall due all the time, looking at all of them each time would cost their square.
_REACH = 1_024


class Stretches:
    """Rows with these clocks (ms, never falling). ``soonest`` is what the detector says of each, None: not asked yet.

    >>> stretches = Stretches(np.array([1000, 1900, 2500, 4100, 4200]))
    >>> stretches.second(0), stretches.reach(0, 4000)
    (2, 3)
    >>> stretches.soonest = np.array([9000, 3000, 9000, 9000, 9000])
    >>> stretches.calm(0, 5)
    3
    """

    __slots__ = ("_grid", "_times", "soonest")

    def __init__(self, times: Int64) -> None:
        self._times = times
        #: The grid time that begins the second of each row.
        self._grid = times // TICK_MS * TICK_MS
        self.soonest: Int64 | None = None

    def second(self, row: int) -> int:
        """Behind the last row of the same second. A row may bring a timer forward, but none into its own second."""
        return int(self._times.searchsorted(self._grid[row] + TICK_MS))

    def begins(self, row: int) -> int:
        """The first row of the same second."""
        return int(self._times.searchsorted(self._grid[row]))

    def reach(self, done: int, stop: int | None) -> int:
        """Behind the last row in front of the tick ``stop`` (ms) that is not too far ahead of ``done``."""
        end = len(self._times) if stop is None else int(self._times.searchsorted(stop))
        return min(end, done + _REACH)

    def calm(self, done: int, reach: int) -> int:
        """Up to ``reach``: in front of the first row whose second is not before the timers of the rows from ``done`` on."""
        assert self.soonest is not None
        grid = self._grid[done:reach]
        due = np.minimum.accumulate(self.soonest[done : reach - 1])
        stirred = np.flatnonzero((due <= grid[1:]) & (grid[1:] > grid[:-1]))
        return done + 1 + int(stirred[0]) if len(stirred) else reach

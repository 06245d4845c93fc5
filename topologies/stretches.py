"""How far a rule with timers can be shown rows at once: up to the first second in which one of its timers may fall due.

A tick fires before the first row of its second, so rows of several seconds may be shown together only where no timer falls due
between them. Which may, the detector says (:meth:`detectors.base.Detector.soonest`). Cut at every second instead, a rule
of silence is shown one row at a time on sparse data, which was a third of the time of a replay.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streams.batch import Bool, Int64
from streams.event_time import FOREVER
from topologies.rule_context import TICK_MS

#: Rows that are looked at ahead: where timers fall due all the time, looking at all of them each time would cost their square.
_REACH = 1_024


class Stretches:
    """Rows with these clocks (ms, never falling). ``soonest`` asks the detector about them (None: it foresees nothing).

    >>> stretches = Stretches(np.array([1000, 1900, 2500, 4100, 4200]), lambda: np.array([9000, 3000, 9000, 9000, 9000]))
    >>> stretches.end(0, 2000), stretches.end(0, None), stretches.end(3, None)
    (2, 3, 5)
    """

    __slots__ = ("_ask", "_grid", "_soonest", "_times")

    def __init__(self, times: Int64, soonest: Callable[[], Int64 | None] | None) -> None:
        self._times = times
        #: The grid time that begins the second of each row.
        self._grid = times // TICK_MS * TICK_MS
        self._ask = soonest
        self._soonest: Int64 | None = None

    def end(self, done: int, stop: int | None, new: Callable[[int, int], Bool] | None = None) -> int:
        """How many rows can be shown before a tick may fall due: ``done`` have been, ``stop`` (ms) is the tick that is known.

        ``new(a, b)`` says which of the rows from a to b are of series that the detector has not heard of.
        """
        second, reach = self._second(done), self._reach(done, stop)
        if self._ask is None or second >= reach:
            return min(second, reach)
        if new is not None:
            strange = np.flatnonzero(new(done, reach))
            if len(strange):
                # With its first row a series sets timers by its facts: that second stands alone, and then all are asked anew.
                self._soonest = None
                reach = int(self._times.searchsorted(self._grid[done + int(strange[0])]))
                if reach <= done:
                    return second
        if self._soonest is None:
            self._soonest = self._ask()
        return second if self._soonest is None else self._calm(self._soonest, done, reach)

    def _second(self, row: int) -> int:
        """Behind the last row of the same second. A row may bring a timer forward, but none into its own second."""
        return int(self._times.searchsorted(self._grid[row] + TICK_MS))

    def _reach(self, done: int, stop: int | None) -> int:
        """Behind the last row in front of the known tick that is not too far ahead."""
        end = len(self._times) if stop is None else int(self._times.searchsorted(stop))
        return min(end, done + _REACH)

    def _calm(self, soonest: Int64, done: int, reach: int) -> int:
        """Up to ``reach``: in front of the first row whose second is not before the timers of the rows from ``done`` on."""
        grid = self._grid[done:reach]
        if int(soonest[done : reach - 1].min(initial=FOREVER)) > int(grid[-1]):
            return reach
        due = np.minimum.accumulate(soonest[done : reach - 1])
        stirred = np.flatnonzero((due <= grid[1:]) & (grid[1:] > grid[:-1]))
        return done + 1 + int(stirred[0]) if len(stirred) else reach

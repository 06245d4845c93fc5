"""When each series of a partition was heard last, and which of those that are expected to speak are silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.batch import Int32, Int64
from streams.event_time import FOREVER, NEVER
from streams.series import grown
from topologies.rule_context import FRESH_MS


class Hearing:
    """By slot; times are of arrival, epoch milliseconds."""

    def __init__(self) -> None:
        #: When it was heard last; for ever where it cannot be silent yet.
        self.last: Int64 = np.zeros(0, dtype=np.int64)
        #: Silence (ms) after which it is to be reported; for ever where it is not expected.
        self._after: Int64 = np.zeros(0, dtype=np.int64)
        #: How many are expected; None where it is to be counted anew.
        self._expected: int | None = None
        #: When a row came last that was not long on its way; :data:`NEVER` before the first.
        self.newest = NEVER

    def grow(self, size: int, now: int) -> None:
        self.last, self._after = grown(self.last, size, now), grown(self._after, size, FOREVER)

    def since(self, slot: int, at: int | None) -> None:
        """The slot's silence begins at this time, whatever was heard; None: it does not yet."""
        self.last[slot] = FOREVER if at is None else at

    def hear(self, slot: Int32, times: Int64, ts: Int64) -> None:
        """Rows of these slots, of event times ``ts``, came at these times (ascending)."""
        self.last[slot] = times
        if len(times) and times[-1] - ts[-1] <= FRESH_MS:
            self.newest = int(times[-1])
        elif len(fresh := times[times - ts <= FRESH_MS]):
            self.newest = int(fresh[-1])

    def heard(self, now: int) -> int | None:
        """When a row came last that was not long on its way; None before the first."""
        return None if self.newest == NEVER else min(self.newest, now)

    def expect(self, slot: int, after_ms: int) -> None:
        """It is to be reported after so much silence; 0: it is not expected to speak."""
        self._after[slot] = after_ms or FOREVER
        self._expected = None

    def forget(self, slots: Sequence[int]) -> None:
        self._after[slots] = FOREVER
        self._expected = None

    def silent_fraction(self, now: int) -> float:
        """Share of those expected that are silent for longer than they should be."""
        if self._expected is None:
            self._expected = int(np.count_nonzero(self._after < FOREVER))
        if not self._expected:
            return 0.0
        return round(float(np.count_nonzero(now - self.last > self._after)) / self._expected, 6)

    def restore(self, last: Any, newest: int) -> None:
        """Whom to expect follows from the registry."""
        self.last, self.newest = np.array(last, dtype=np.int64), newest
        self._after, self._expected = np.full(len(self.last), FOREVER, dtype=np.int64), None

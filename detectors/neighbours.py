"""Whose silence it is: what a shard knows of the neighbours of a series that has fallen silent (D9).

Reporting intervals behind one gateway differ a hundredfold, so its members fall silent one after the other over hours. Whether
the gateway is quiet can be told much earlier: since the silent series missed its first report, some neighbours' reports have
fallen due, and either they came or they did not.

* A neighbour was *heard* when it has spoken since the report that was missed first. Event time decides: a row that was on
  its way for minutes tells of the time before the outage, not of now.
* A neighbour is *overdue* when its own next report should have come by now (by arrival, a quarter of its interval late).
* One that had already been silent too long when the silent series last spoke tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streams.batch import Bool, Int64

#: What the silence of one series is a part of; "device": its neighbours are heard, so it is its own.
Whose = Literal["stream", "gateway", "device"]

#: How late a report may be before it is missed: a quarter of the interval, between these (networks delay by seconds).
_LATE_SHARE, _LATE_LEAST_MS, _LATE_MOST_MS = 4, 5_000, 60_000


def overdue_at(last: Int64, every: Int64) -> Int64:
    """When the report after the one at ``last`` is missed; all in ms."""
    return last + every + np.clip(every // _LATE_SHARE, _LATE_LEAST_MS, _LATE_MOST_MS)


class Neighbours:
    """The neighbourhood at one moment ``now`` (ms); arrays have one entry per series that has an interval.

    ``last``: newest arrival; ``spoke``: newest event time; ``every``: interval; ``after``: silence to be reported.
    """

    def __init__(self, now: int, last: Int64, spoke: Int64, every: Int64, after: Int64) -> None:
        self.last, self.spoke, self.every, self.after = last, spoke, every, after
        self._overdue: Bool = overdue_at(last, every) <= now

    def count(self, own: int, among: NDArray[np.intp] | None = None) -> tuple[int, int]:
        """(reports due, of which came) since series ``own`` missed its first, over all series or those ``among``.

        The silent series itself is one whose report was due.
        """
        missed = int(self.last[own] + self.every[own])
        if among is None:
            heard = int(len(self.spoke) - np.searchsorted(self._spoke_sorted, missed, side="right"))
            quiet = int(np.searchsorted(self._overdue_spoke, missed, side="right"))
            before = int(np.searchsorted(self._gone_sorted, int(self.last[own]), side="left"))
            return heard + max(0, quiet - before), heard
        spoke = self.spoke[among]
        came = spoke > missed
        told = self.last[among] + self.after[among] >= self.last[own]
        heard = int(np.count_nonzero(came))
        return heard + int(np.count_nonzero(self._overdue[among] & ~came & told)), heard

    @cached_property
    def _spoke_sorted(self) -> Int64:
        return np.sort(self.spoke)

    @cached_property
    def _overdue_spoke(self) -> Int64:
        return np.sort(self.spoke[self._overdue])

    @cached_property
    def _gone_sorted(self) -> Int64:
        """When each overdue series had been silent for too long."""
        return np.sort((self.last + self.after)[self._overdue])


class Gateways:
    """Which series report through which gateway."""

    def __init__(self) -> None:
        self._gateway: dict[int, str | None] = {}
        self._members: dict[str | None, dict[int, None]] = {}

    def put(self, slot: int, gateway: str | None) -> None:
        self.drop([slot])
        self._gateway[slot] = gateway
        self._members.setdefault(gateway, {})[slot] = None

    def drop(self, slots: Sequence[int]) -> None:
        for slot in slots:
            if slot in self._gateway:
                gateway = self._gateway.pop(slot)
                del self._members[gateway][slot]
                if not self._members[gateway]:
                    del self._members[gateway]

    def of(self, slot: int) -> str | None:
        return self._gateway.get(slot)

    def members(self, gateway: str) -> list[int]:
        return sorted(self._members.get(gateway, ()))


def whose(neighbours: Neighbours, own: int, members: NDArray[np.intp] | None, *, needed: int, share: float) -> Whose | None:
    """Whose silence that of ``own`` is, None where too few reports were due to tell.

    ``members``: entries of its gateway, None where it has none. ``needed``: reports that must have been due; ``share``: at most
    this share of them came while the gateway (or the stream) is called quiet.

    >>> at = np.array([0, 0, 0, 90]) * 1000
    >>> minute = np.full(4, 60_000)
    >>> around = Neighbours(200_000, at, at, minute, 3 * minute)
    >>> whose(around, 0, np.array([0, 1, 2]), needed=3, share=0.2), whose(around, 0, None, needed=3, share=0.2)
    ('gateway', 'device')
    """
    due, heard = neighbours.count(own)
    if members is None:
        if due < needed:
            return None
        return "stream" if heard <= share * due else "device"
    if len(members) < len(neighbours.last) and due >= needed and heard <= share * due:
        return "stream"
    due, heard = neighbours.count(own, members)
    if due < needed:
        return None
    return "gateway" if heard <= share * due else "device"

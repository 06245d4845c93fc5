"""The incident stage's sense of time: which records are repetitions, how far every source has come, and what is due.

There is no clock here. Time is the arrival time carried by the records (docs/interfaces.md, "Clock of the incident stage").
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from streams.event_time import FOREVER, epoch_ms
from streams.records import Source

SourceKey = tuple[str, int]


def instant(given: int | str | None) -> int | None:
    """Epoch ms of a time as it may stand in a control record: ms, or RFC 3339 text with offset; None where it is neither.

    >>> instant(5), instant("2023-11-15T06:13:20+08:00"), instant("tomorrow")
    (5, 1700000000000, None)
    """
    try:
        return None if given is None else epoch_ms(given)
    except (ValueError, OverflowError):
        return None


class HighWater:
    """One mark per source partition: what is not above it has been applied before (D5).

    >>> marks = HighWater()
    >>> [marks.is_news(Source("t", 0, 7)), marks.is_news(Source("t", 0, 7)), marks.is_news(Source("t", 0, 6, n=3))]
    [True, False, False]
    """

    def __init__(self, marks: Iterable[tuple[str, int, int, int, int]] = ()) -> None:
        self._marks: dict[SourceKey, tuple[int, int, int]] = {(t, p): (a, b, c) for t, p, a, b, c in marks}

    def is_news(self, source: Source) -> bool:
        key = (source.topic, source.partition)
        sequence = (source.offset, source.tick or 2**62, source.n)
        mark = self._marks.get(key)
        if mark is not None and sequence <= mark:
            return False
        self._marks[key] = sequence
        return True

    def snapshot(self) -> list[tuple[str, int, int, int, int]]:
        return [(*key, *mark) for key, mark in sorted(self._marks.items())]


class Progress:
    """How far the arrival time of every source has come; the slowest one that has not stalled sets the time of timers.

    A source has stalled when the fastest has come ``stall_ms`` further since it last spoke: a dead partition must not keep
    incidents open. One that is merely behind speaks: while a backlog is read, some partitions are minutes ahead of others, and
    a timer that fired by their time would not have waited for the signal that stops it. A step counts for a twelfth of
    ``stall_ms`` at most: when all workers were away for minutes, whoever is read first comes all that way at once, and the
    others had no occasion to speak. To repeat itself is to speak (:meth:`heard`): a worker that dies again and again before its
    checkpoint says the same again and again. (Repetitions change nothing else; and where no source has stalled, nothing at
    all.) A stalled source counts again as soon as it speaks, so ``low`` may fall; what
    has been fired stays fired.

    >>> progress = Progress(stall_ms=60_000)
    >>> progress.advance(("a", 0), 200_000); progress.advance(("b", 0), 90_000); progress.low
    90000
    >>> progress.advance(("a", 0), 900_000); progress.low
    90000
    >>> for ms in range(905_000, 965_000, 5_000): progress.advance(("a", 0), ms)
    >>> progress.low
    960000
    """

    def __init__(self, stall_ms: int, saved: Mapping[str, Any] | None = None) -> None:
        """``saved``: of :meth:`snapshot`, this version's or an older one's."""
        saved = saved or {}
        self._stall_ms, self._step_ms = stall_ms, stall_ms // 12
        self._reached: dict[SourceKey, int] = {(topic, partition): ms for topic, partition, ms in saved.get("reached", ())}
        self._fastest = max(self._reached.values(), default=-(2**63))
        #: How far the fastest has come, by steps that are not longer than the longest that counts; and how far it had come when
        #: each source last spoke. A snapshot that does not say is of a version that counted every step in full.
        self._come: int = saved.get("come", max(0, self._fastest))
        self._spoke = self._reached | {(topic, partition): ms for topic, partition, ms in saved.get("spoke", ())}
        self._floor: int | None = saved.get("floor")
        self._slowest: SourceKey | None = None
        #: Arrival time all running sources have passed; None before the first record.
        self.low: int | None = None
        self._settle()

    def advance(self, source: SourceKey, arrival: int) -> None:
        before, spoke = self._reached.get(source), self._spoke.get(source)
        if before is None or arrival > before:
            self._reached[source] = arrival
        if arrival > self._fastest:
            step = arrival - self._fastest
            self._come += step if step < self._step_ms else self._step_ms
            self._fastest = arrival
        self._spoke[source] = self._come
        # The minimum moves only if its holder moved or fell out, or if a source is new or back; all else costs nothing.
        horizon, slowest = self._come - self._stall_ms, self._slowest
        if slowest is None or spoke is None or spoke < horizon or source == slowest or self._spoke[slowest] < horizon:
            self._settle()

    def heard(self, source: SourceKey) -> None:
        """The source said what it had said before: it is being read, though it comes no further."""
        spoke = self._spoke.get(source)
        if spoke is not None and spoke < self._come:
            self._spoke[source] = self._come
            if spoke < self._come - self._stall_ms:
                self._settle()

    def floor(self, now: int) -> None:
        """Whoever knows the merged order (a replay) says that nothing before ``now`` is still to come."""
        if self._floor is None or now > self._floor:
            self._floor = now
            self._settle()

    def _settle(self) -> None:
        horizon = self._come - self._stall_ms
        running = (source for source, ms in self._spoke.items() if ms >= horizon)
        self._slowest = slowest = min(running, key=self._reached.__getitem__, default=None)
        reached, floor = self._reached.get(slowest) if slowest is not None else None, self._floor
        self.low = floor if reached is None else reached if floor is None or reached > floor else floor

    def snapshot(self) -> dict[str, Any]:
        return {"reached": _listed(self._reached), "floor": self._floor, "spoke": _listed(self._spoke), "come": self._come}


def _listed(times: Mapping[SourceKey, int]) -> list[tuple[str, int, int]]:
    return [(*source, ms) for source, ms in sorted(times.items())]


class Due:
    """Keys with the time each is due; earliest first, ties by key, so that the order never depends on history.

    A later time for a key costs nothing (the old entry is met and put off), an earlier one a push. Nothing is due before
    ``soonest``, which costs no call to ask: with most records nothing is.

    >>> due = Due(); due.aim("b", 20); due.aim("a", 20); due.aim("b", 5); due.aim("b", 30)
    >>> due.next(), due.pop(25), due.pop(25), due.pop(30)
    (20, 'a', None, 'b')
    """

    def __init__(self) -> None:
        self._time: dict[str, int] = {}
        self._pushed: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self.soonest = FOREVER

    def restore(self, times: Iterable[tuple[str, int]]) -> None:
        """These keys and times instead of all that is aimed: whoever holds this goes on holding it."""
        self._time.clear()
        self._pushed.clear()
        self._heap.clear()
        self.soonest = FOREVER
        for key, at in times:
            self.aim(key, at)

    def aim(self, key: str, at: int | None) -> None:
        """``key`` is due at ``at`` from now on; None: never."""
        if at is None:
            self._time.pop(key, None)
            return
        if self._time.get(key) == at:
            return
        self._time[key] = at
        pushed = self._pushed.get(key)
        if pushed is None or at < pushed:
            heapq.heappush(self._heap, (at, key))
            self._pushed[key] = at
            if at < self.soonest:
                self.soonest = at

    def time(self, key: str) -> int | None:
        return self._time.get(key)

    def next(self) -> int | None:
        """The earliest time anything is due."""
        heap = self._heap
        while heap:
            at, key = heap[0]
            wanted = self._time.get(key)
            if wanted == at:
                self.soonest = at
                return at
            heapq.heappop(heap)
            if self._pushed.get(key) == at:
                del self._pushed[key]
                if wanted is not None:
                    heapq.heappush(heap, (wanted, key))
                    self._pushed[key] = wanted
        self.soonest = FOREVER
        return None

    def pop(self, now: int) -> str | None:
        """The first key due at or before ``now``; it is no longer aimed."""
        at = self.next()
        if at is None or at > now:
            return None
        key = heapq.heappop(self._heap)[1]
        if self._pushed.get(key) == at:
            del self._pushed[key]
        del self._time[key]
        return key

    def __len__(self) -> int:
        return len(self._time)

    def snapshot(self) -> list[tuple[str, int]]:
        return sorted(self._time.items())

"""Which offset may be committed, and where each partition stands: the bookkeeping of batches in flight.

Kafka's committed offset may only follow what was acknowledged *without a hole in front of it*. Faust's own books rest on
single offsets; a batch occupies many and names itself by its last. So each partition has a queue of the batches handed
out, in order, and its longest acknowledged prefix gives the next offset. The queue holds the Faust messages themselves:
whatever path acknowledges them (``event.ack()``, the compiled stream iterator) sets ``acked`` there, and an
acknowledgement that belongs to an older assignment finds its message gone and counts for nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Protocol

from faust.types import TP


class Acknowledged(Protocol):
    """What the queue needs of a message: its last offset, and whether it was acknowledged."""

    offset: int
    acked: bool


class InFlight:
    """Batches handed to agents and not yet committed, per partition, in the order of their offsets."""

    def __init__(self) -> None:
        self._queues: dict[TP, deque[Acknowledged]] = {}
        self._next: dict[TP, int] = {}

    def add(self, tp: TP, message: Acknowledged) -> None:
        """The batch was handed out; batches of a partition are added in the order of their offsets."""
        self._queues.setdefault(tp, deque()).append(message)

    def next_offset(self, tp: TP) -> int | None:
        """First offset behind the acknowledged prefix; None where nothing was acknowledged since :meth:`reset`."""
        queue = self._queues.get(tp)
        while queue and queue[0].acked:
            self._next[tp] = queue.popleft().offset + 1
        return self._next.get(tp)

    def acknowledged(self) -> list[TP]:
        """Partitions whose prefix has grown or been remembered: those with something to commit."""
        return [tp for tp in self._queues if self.next_offset(tp) is not None]

    def pending(self, tp: TP) -> int:
        """Batches of the partition that were handed out and are not acknowledged."""
        return sum(not message.acked for message in self._queues.get(tp, ()))

    def pending_total(self) -> int:
        return sum(self.pending(tp) for tp in self._queues)

    def reset(self, tp: TP | None = None) -> None:
        """Forget a partition (all of them without one): it was revoked, or its position moved."""
        if tp is None:
            self._queues.clear()
            self._next.clear()
        else:
            self._queues.pop(tp, None)
            self._next.pop(tp, None)


class LogPositions:
    """Where reading of each assigned partition began and stands, and what the log failed to deliver.

    The first offset of an assignment is what reading goes back to where neither a mark nor a committed offset exists:
    aiokafka's ``seek_to_committed()`` leaves such a partition alone, so records drained and then dropped in a rebalance
    would never be seen again (101 of them, in a measured start of a new group by two workers at once).
    """

    def __init__(self) -> None:
        #: Whose assignment this is about, by identity.
        self.assignment: object = None
        self.first: dict[TP, int] = {}
        self.expected: dict[TP, int] = {}
        #: Next offset behind the last record that was taken out of the log: transaction markers and what was aborted may
        #: stand between it and the position.
        self.taken: dict[TP, int] = {}
        #: Records missing per topic, since the process began.
        self.missing: Counter[str] = Counter()

    def sought(self, tp: TP, offset: int) -> None:
        """The partition was positioned at ``offset``: reading goes on there."""
        self.expected[tp] = self.taken[tp] = offset

    def began(self, tp: TP, offset: int) -> None:
        """Reading of the partition begins at ``offset``, unless this assignment has read from it already."""
        self.first.setdefault(tp, offset)
        self.expected.setdefault(tp, offset)
        self.taken.setdefault(tp, offset)

    def read(self, tp: TP, got: int, next_offset: int, *, holes_allowed: bool = False) -> int:
        """Records from ``got`` up to ``next_offset`` (exclusive) were read; returns how many were missing in front of them.

        A log that lost its tail starts anew below the expected offset: nothing is missing that could be counted.
        """
        expected = self.expected.get(tp, got)
        self.expected[tp] = next_offset
        missing = max(0, got - expected)
        if missing and not holes_allowed:
            self.missing[tp.topic] += missing
            return missing
        return 0

    def same(self, assignment: object) -> bool:
        """Whether these positions are of this assignment."""
        return self.assignment is assignment

    def forget(self) -> None:
        """The assignment is over; what was missing stays counted."""
        self.first.clear()
        self.expected.clear()
        self.taken.clear()

"""Seeing that a partition is idle: a fetch, begun at a known time, came back empty at the high water.

Only that lets time pass on a partition without records (D8): everything that was in the log when the fetch began has been
read. aiokafka does not tell, so its fetch call is wrapped.
"""

from __future__ import annotations

import math
import time
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP


class Pace:
    """Says of each partition at most every ``every_s`` seconds that it is due, and at once when first asked.

    >>> pace = Pace(0.1)
    >>> [pace.due(TP("t", 0), now) for now in (2_900.05, 2_900.1, 2_900.2)]
    [True, False, True]
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._told: dict[TP, float] = {}

    def due(self, tp: TP, now: float) -> bool:
        """Whether it is time again at ``now`` (s, monotonic)."""
        # "now - every" would not do for one never told of: rounded, it is less than "every" ago at half of all uptimes.
        if now - self._told.get(tp, -math.inf) < self._every_s:
            return False
        self._told[tp] = now
        return True


def notice_idle(thread: Any, fetcher: Any) -> None:
    """Make the fetcher of a BatchConsumerThread call ``transport.on_idle`` in the app's event loop."""
    proceed = fetcher._proc_fetch_request
    pace = Pace(thread.transport.options.idle_every_ms / 1000)

    async def timed(assignment: Any, node_id: int, request: Any) -> Any:
        started_ms = time.time_ns() // 1_000_000
        outcome = await proceed(assignment, node_id, request)
        hook = thread.transport.on_idle
        if hook is not None and assignment is thread.positioned and assignment.active:
            taken = thread.transport.positions.taken
            for tp, high_water in _empty(fetcher, assignment, request, started_ms):
                if pace.due(tp, time.monotonic()):
                    thread.parent_loop.call_soon_threadsafe(hook, tp, taken.get(tp, high_water), started_ms)
        return outcome

    fetcher._proc_fetch_request = timed


def _empty(fetcher: Any, assignment: Any, request: Any, started_ms: int) -> list[tuple[TP, int]]:
    """Partitions the broker answered for, that stand where they were asked and where the log ends."""
    empty: list[tuple[TP, int]] = []
    for topic, parts in request.topics:
        for part, offset, _ in parts:
            key = TopicPartition(topic, part)
            state = assignment.state_value(key)
            answered = state.timestamp is not None and state.timestamp >= started_ms
            ready = answered and state.has_valid_position and key not in fetcher._records
            if ready and state.position == offset == state.highwater:
                empty.append((TP(topic, part), offset))
    return empty

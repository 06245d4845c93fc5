"""Seeing that a partition is idle: a fetch, begun at a known time, came back empty at the high water.

Only that lets time pass on a partition without records (D8): everything that was in the log when the fetch began has been
read. aiokafka does not tell, so its fetch call is wrapped.
"""

from __future__ import annotations

import time
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP


def notice_idle(thread: Any, fetcher: Any) -> None:
    """Make the fetcher of a BatchConsumerThread call ``transport.on_idle`` in the app's event loop."""
    proceed = fetcher._proc_fetch_request
    told: dict[TP, float] = {}

    async def timed(assignment: Any, node_id: int, request: Any) -> Any:
        started_ms = time.time_ns() // 1_000_000
        outcome = await proceed(assignment, node_id, request)
        hook = thread.transport.on_idle
        if hook is not None and assignment is thread.positioned and assignment.active:
            every = thread.transport.options.idle_every_ms / 1000
            for tp, high_water in _empty(fetcher, assignment, request, started_ms):
                now = time.monotonic()
                if now - told.get(tp, now - every) >= every:
                    told[tp] = now
                    thread.parent_loop.call_soon_threadsafe(hook, tp, high_water, started_ms)
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

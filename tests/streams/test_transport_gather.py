"""What a poll brings: at once for a worker that waits, gathered for one that was busy, and never lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.transport_thread import BatchConsumerThread, Drained

A, B = TP("a", 0), TP("b", 0)


class Thread(BatchConsumerThread):
    """Its log brings one record whenever it is looked at, and holds ``more`` behind it; ``closes_at`` says after how many looks
    the consumer is closed, and ``breaks_at`` at which look the log is broken."""

    def __init__(self, closes_at: int = 10**9, breaks_at: int = 10**9, more: int = 10**9) -> None:
        self.looks, self.closes_at, self.breaks_at = 0, closes_at, breaks_at
        self._owed: Exception | None = None
        context = SimpleNamespace(fetch_context=contextlib.nullcontext)
        self.aio = SimpleNamespace(_closed=False, _fetcher=SimpleNamespace(_closed=False, _subscriptions=context))
        self.fills, self.more = 10**9, more

    def _drain(self, fetcher: Any, active: Any, drained: Drained) -> None:
        if self.looks == self.breaks_at:
            raise ValueError("broken")
        drained.add(A, [self.looks], 1)
        self.looks += 1
        self.aio._closed = self.looks >= self.closes_at
        drained.full = self.looks >= self.fills

    def lags(self) -> dict[TP, int]:
        return {A: max(0, self.more - self.looks), B: 0}

    def _batched(self, drained: Drained) -> Drained:
        return drained


def poll(thread: Thread, busy_s: float) -> list[int]:
    async def once() -> Drained:
        thread._polled = time.monotonic() - busy_s
        drained: Drained = await thread._fetch_records(thread.aio, None, 1.0)
        return drained

    return list(asyncio.run(once()).records[A])


def test_a_worker_that_waits_gets_what_is_there_at_once() -> None:
    assert poll(Thread(), 0.0) == [0]


def test_a_worker_that_was_busy_gets_what_comes_meanwhile_in_one_batch() -> None:
    records = poll(Thread(more=0), 10.0)
    assert len(records) > 1
    assert records == list(range(len(records)))


def test_a_worker_that_is_behind_goes_on_until_it_has_what_the_log_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.transport_thread._GATHER_S", 0.0)
    monkeypatch.setattr("streams.transport_thread._GATHER_MOST_S", 60.0)
    assert poll(Thread(more=8), 60.0) == list(range(8))


def test_a_lag_where_nothing_may_be_read_is_not_waited_for() -> None:
    thread = Thread()
    assert thread._behind(None) and thread._behind({A}) and not thread._behind({B})


def test_nothing_more_is_gathered_once_a_batch_is_full() -> None:
    thread = Thread()
    thread.fills = 3
    assert poll(thread, 10.0) == [0, 1, 2]


def test_what_is_drained_is_delivered_though_the_consumer_closes() -> None:
    assert poll(Thread(closes_at=2), 10.0) == [0, 1]


def test_what_is_drained_in_front_of_an_error_is_delivered_and_the_next_poll_raises_it() -> None:
    thread = Thread(breaks_at=2)
    assert poll(thread, 10.0) == [0, 1]
    with pytest.raises(ValueError, match="broken"):
        poll(thread, 10.0)


def test_an_error_with_nothing_in_front_of_it_is_raised_at_once() -> None:
    with pytest.raises(ValueError, match="broken"):
        poll(Thread(breaks_at=0), 10.0)


def test_what_was_taken_before_a_change_of_position_is_void() -> None:
    drained = Drained()
    drained.add(A, [1, 2], 5)
    drained.add(B, [7], 5)
    drained.add(A, [3], 5)
    drained.add(A, [1], 6)
    assert drained.records == {A: [1], B: [7]}
    assert drained.stamps == {A: 6, B: 5}

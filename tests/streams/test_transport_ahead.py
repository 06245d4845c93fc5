"""What a poll brings: what is there at once, with what was taken ahead while the worker was busy, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import transport_thread
from streams.transport_drained import Drained
from streams.transport_thread import BatchConsumerThread

A, B = TP("a", 0), TP("b", 0)


class Clock:
    """A millisecond goes by a look, else it stands still: what a poll brings must not depend on the machine's haste."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_thread, "time", CLOCK)


class Thread(BatchConsumerThread):
    """Its log brings one record whenever it is looked at; ``closes_at`` says after how many looks the consumer is closed,
    ``breaks_at`` at which look the log is broken, and ``fills`` after how many a batch is full."""

    def __init__(self, closes_at: int = 10**9, breaks_at: int = 10**9, fills: int = 10**9) -> None:
        self.looks, self.closes_at, self.breaks_at, self.fills = 0, closes_at, breaks_at, fills
        self._owed: Exception | None = None
        self.epoch, self.epoch_of = 1, {}
        self._ahead, self._active, self._busy = Drained(), frozenset(), asyncio.Event()
        context = SimpleNamespace(fetch_context=contextlib.nullcontext)
        self.fetcher = SimpleNamespace(_closed=False, _subscriptions=context, _records={}, _create_fetch_waiter=self._fetched)
        self.aio = SimpleNamespace(_closed=False, _fetcher=self.fetcher)

    def _ensure_consumer(self) -> Any:
        return self.aio

    def _fetched(self) -> Any:
        return asyncio.ensure_future(asyncio.sleep(0.001))

    @property
    def should_stop(self) -> bool:
        return bool(self.aio._closed)

    def _drain(self, fetcher: Any, active: Any, drained: Drained) -> None:
        if self.looks == self.breaks_at:
            raise ValueError("broken")
        drained.add(A, [self.looks], 1)
        self.looks += 1
        CLOCK.now += 1 / 1024  # exact in binary
        self.aio._closed = self.looks >= self.closes_at
        drained.full = self.looks >= self.fills

    def _batched(self, drained: Drained) -> Drained:
        return drained


def poll(thread: Thread) -> list[int]:
    drained: Drained = asyncio.run(thread._fetch_records(thread.aio, None, 1.0))
    return list(drained.records[A])


def test_a_poll_brings_what_is_there_at_once() -> None:
    assert poll(Thread()) == [0]


def test_a_poll_waits_for_nothing_behind_what_was_taken_ahead() -> None:
    thread = Thread()
    thread._ahead.add(A, [-2, -1], 1)
    assert poll(thread) == [-2, -1, 0]


def test_an_error_with_nothing_in_front_of_it_is_raised_at_once() -> None:
    with pytest.raises(ValueError, match="broken"):
        poll(Thread(breaks_at=0))


def test_what_was_taken_ahead_is_delivered_in_front_of_an_error_and_the_next_poll_raises_it() -> None:
    thread = Thread(breaks_at=0)
    thread._ahead.add(A, [-2, -1], 1)
    assert poll(thread) == [-2, -1]
    with pytest.raises(ValueError, match="broken"):
        poll(thread)


def polls(thread: Thread, *active: Any) -> list[dict[TP, list[Any]]]:
    """What one poll after the other brings to a worker that is busy in between, for four looks or until nothing more is taken
    ahead; an error by its name."""

    async def go_on() -> list[dict[TP, list[Any]]]:
        ahead = asyncio.create_task(thread._take_ahead())
        found: list[Any] = []
        for asked in active:
            until = thread.looks + 5
            try:
                drained = await thread._fetch_records(thread.aio, asked, 0.01)
                found.append(dict(drained.records) if drained else {})
            except ValueError as error:
                found.append(str(error))
            while thread._busy.is_set() and thread.looks < until:
                await asyncio.sleep(0.001)
        ahead.cancel()
        return found

    return asyncio.run(go_on())


def test_while_a_worker_is_busy_what_is_fetched_is_taken_ahead() -> None:
    first, second = polls(Thread(), {A}, {A})
    assert first == {A: [0]}
    assert second[A][:4] == [1, 2, 3, 4]
    assert second[A] == list(range(1, len(second[A]) + 1))


def test_no_more_is_taken_ahead_than_a_batch_holds() -> None:
    assert polls(Thread(fills=4), {A}, {A})[1] == {A: [1, 2, 3, 4]}


def test_what_was_taken_ahead_of_a_partition_that_is_not_asked_for_waits() -> None:
    ahead = Drained()
    ahead.add(A, [1, 2], 5)
    ahead.add(B, [7], 6)
    part = ahead.part({B})
    assert (part.records, part.stamps) == ({B: [7]}, {B: 6})
    assert (ahead.records, ahead.stamps) == ({A: [1, 2]}, {A: 5})
    assert ahead.part(None).records == {A: [1, 2]}
    assert ahead.records == {}


def test_a_partition_that_is_resumed_in_the_middle_of_a_poll_waits_for_the_next() -> None:
    """Faust hands over the set it keeps itself: what was taken ahead of a paused partition would come behind what is newer."""
    active: set[TP] = set()

    class Resumed(Thread):
        def _drain(self, fetcher: Any, asked: Any, drained: Drained) -> None:
            active.add(A)
            CLOCK.now += 1 / 1024
            if A in asked:
                super()._drain(fetcher, asked, drained)

    thread = Resumed()
    thread._ahead.add(A, [-2, -1], 1)
    assert asyncio.run(thread._fetch_records(thread.aio, active, 0.01)) is None
    assert active == {A}
    assert asyncio.run(thread._fetch_records(thread.aio, active, 0.01)).records[A] == [-2, -1, 0]


def test_of_a_partition_that_is_paused_nothing_more_is_taken_ahead() -> None:
    active = {A}
    asked: list[set[TP]] = []

    class Paused(Thread):
        def _drain(self, fetcher: Any, asked_for: Any, drained: Drained) -> None:
            asked.append({tp for tp in (A, B) if tp in asked_for})
            super()._drain(fetcher, asked_for, drained)
            active.clear()

    polls(Paused(), active)
    assert asked[:2] == [{A}, set()]


def test_what_was_taken_ahead_ends_with_its_assignment() -> None:
    thread = Thread()
    thread._epochs = itertools.count(2)
    thread._ahead.add(A, [1], 1)
    thread.revoke()
    assert thread._ahead.records == {}
    assert not thread.is_current(A, 1)


def test_an_error_behind_what_was_taken_ahead_is_raised_by_the_poll_after_it() -> None:
    first, second, third = polls(Thread(breaks_at=3), {A}, {A}, {A})
    assert (first, second) == ({A: [0]}, {A: [1, 2]})
    assert third == "broken"


def test_what_was_taken_before_a_change_of_position_is_void() -> None:
    drained = Drained()
    drained.add(A, [1, 2], 5)
    drained.add(B, [7], 5)
    drained.add(A, [3], 5)
    drained.add(A, [1], 6)
    assert drained.records == {A: [1], B: [7]}
    assert drained.stamps == {A: 6, B: 5}

"""Stopping: the end of the consumer's thread may need the loop of the main thread, and Faust's stop may never end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from mode.threads import QueueServiceThread

from streams.transport import stop_app
from streams.transport_thread import BatchConsumerThread

#: Far more than anything here takes.
LONG_S = 20.0


class Thread(BatchConsumerThread):
    """Like a rebalance that is under way when the worker is told to stop: cancelled, it still asks the main thread's loop."""

    def __init__(self) -> None:
        QueueServiceThread.__init__(self, loop=asyncio.get_running_loop())
        self.asked: list[str] = []

    def __post_init__(self) -> None:
        """Nothing of a consumer is needed."""

    async def on_start(self) -> None:
        self._rebalance = asyncio.get_running_loop().create_task(self._revoke())

    async def on_thread_stop(self) -> None:
        await QueueServiceThread.on_thread_stop(self)

    async def _revoke(self) -> None:
        try:
            await asyncio.sleep(LONG_S)
        finally:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._in_the_main_loop(), self.parent_loop))

    async def _in_the_main_loop(self) -> None:
        await asyncio.sleep(0)
        self.asked.append("revoked")


def test_the_thread_s_last_steps_have_the_loop_of_the_main_thread() -> None:
    async def run() -> Thread:
        thread = Thread()
        await thread.start()
        await asyncio.wait_for(thread.stop(), LONG_S)
        return thread

    thread = asyncio.run(run())
    assert thread.asked == ["revoked"] and thread._thread is not None and not thread._thread.is_alive()


def test_a_process_may_end_without_the_thread() -> None:
    async def run() -> bool:
        thread = Thread()
        await thread.start()
        try:
            return bool(thread._thread and thread._thread.daemon)
        finally:
            await thread.stop()

    assert asyncio.run(run())


class Stubborn:
    """An app that goes on stopping where it is cancelled, as mode's services do."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def stop(self) -> None:
        while True:
            try:
                await asyncio.sleep(LONG_S)
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled == 2:
                    raise


def test_a_stop_that_never_ends_is_left_behind() -> None:
    app: Any = Stubborn()
    # The second cancellation is the loop's own, at its end.
    assert asyncio.run(stop_app(app, 0.01)) is False
    assert app.cancelled == 2


def test_a_stop_that_ends_says_so() -> None:
    app: Any = SimpleNamespace(stop=lambda: asyncio.sleep(0))
    assert asyncio.run(stop_app(app, LONG_S)) is True

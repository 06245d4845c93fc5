"""What the transport's tests share: an app that collects in this process, workers as processes, and a feed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from streams.batch import RawBatch
from streams.kafka import Producer
from streams.transport import BatchSchema, TransportOptions, make_app

ROOT = Path(__file__).parents[2]


def feed(bootstrap: str, topic: str, values: Sequence[bytes | None], *, partitions: int = 1, **config: Any) -> None:
    """Write the values, in turn over the partitions, and wait until all are acknowledged."""
    with Producer(bootstrap, config=config) as producer:
        for n, value in enumerate(values):
            producer.send(topic, value, b"k%d" % n, partition=n % partitions)
        producer.flush_acknowledged(30)


class Collector:
    """A Faust app whose one agent keeps events and batches; ``prompt`` acknowledges each batch at once."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        *,
        prompt: bool = True,
        options: TransportOptions | None = None,
        **settings: Any,
    ) -> None:
        self.app = make_app(
            group,
            bootstrap,
            options=options,
            broker_commit_interval=0.2,
            broker_session_timeout=3.0,
            broker_heartbeat_interval=0.5,
            **settings,
        )
        self.events: list[Any] = []
        self.batches: list[RawBatch] = []

        async def collect(stream: Any) -> None:
            async for event in stream.noack().events():
                self.events.append(event)
                self.batches.append(event.value)
                if prompt:
                    event.ack()

        self.app.agent(self.app.topic(topic, schema=BatchSchema()))(collect)

    @property
    def transport(self) -> Any:
        return self.app.transport

    def offsets(self, partition: int = 0) -> list[int]:
        return [offset for batch in self.batches if batch.partition == partition for offset in batch.offsets]

    def values(self, partition: int = 0) -> list[bytes | None]:
        return [value for batch in self.batches if batch.partition == partition for value in batch.values]

    def count(self) -> int:
        return sum(map(len, self.batches))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Collector]:
        await self.app.start()
        try:
            yield self
        finally:
            await self.app.stop()


async def until(done: Callable[[], bool], seconds: float = 25.0) -> bool:
    """Wait for a condition; False where it did not come true in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


class WorkerProcess:
    """``tests.e2e.apps.collect`` as a process; its lines are (partition, offset, value)."""

    def __init__(self, bootstrap: str, topic: str, group: str, file: Path, late: int = 1) -> None:
        self.file = file
        file.touch()
        self._log = file.with_suffix(".log").open("ab")
        command = [sys.executable, "-m", "tests.e2e.apps.collect", bootstrap, topic, group, str(file), str(late)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self._log, stderr=self._log)

    def lines(self) -> list[tuple[int, int, str]]:
        complete = self.file.read_text().rpartition("\n")[0]
        rows = (line.split(" ", 2) for line in complete.splitlines())
        return [(int(partition), int(offset), value) for partition, offset, value in rows]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end in order; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()
        return self.process.returncode

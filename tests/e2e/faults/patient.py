"""Whom the faults are done to: a group of workers, its own Redis, and the broker it shares with the group left in peace."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from streams.embedded.redis import EmbeddedRedis
from streams.kafka import Producer
from streams.topics import BY_STREAM
from tests.e2e.apache_kafka import ApacheKafka, free_ports
from tests.e2e.faults.wire import Wire
from tests.e2e.worker_group import WorkerGroup
from topologies.checkpoints import RedisStore, format_of

#: How long anything may take that a fault waits for, on a machine that does other work too.
WITHIN_S = 60.0


class LabRedis:
    """A Redis on one port and one folder, that can be killed, frozen, emptied and set back."""

    def __init__(self, folder: Path) -> None:
        self.folder, (self.port,) = folder, free_ports(1)
        self._server = EmbeddedRedis(folder, port=self.port)
        self.url = self._server.url

    def kill(self) -> None:
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.close()

    def start(self) -> None:
        self._server = EmbeddedRedis(self.folder, port=self.port)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._server.pid, number)

    def empty(self) -> None:
        """While it is down: everything it had written."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".log":
                path.unlink()

    def copy(self, to: Path) -> None:
        """What a backup of the folder holds at this moment."""
        shutil.copytree(self.folder, to)

    def set_back(self, to: Path) -> None:
        """While it is down: to a copy taken before."""
        self.empty()
        shutil.copytree(to, self.folder, dirs_exist_ok=True)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._server.close()


class Sender:
    """The feed's producer, which may be begun anew: librdkafka asks for the partitions of a topic once in five minutes."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._producer = Producer(broker)

    def send(self, *words: Any, **options: Any) -> None:
        self._producer.send(*words, **options)

    def flush_acknowledged(self, timeout_s: float = 30.0) -> None:
        self._producer.flush_acknowledged(timeout_s)

    def renew(self) -> None:
        self.close()
        self._producer = Producer(self._broker)

    def close(self) -> None:
        self._producer.close()


@dataclass
class Patient:
    """``logs``: prefixes of the logs that are fed alike, the struck group's among them."""

    group: WorkerGroup
    redis: LabRedis
    kafka: ApacheKafka
    rng: random.Random
    folder: Path
    workers: int
    producer: Sender
    logs: Sequence[str]
    wire: Wire
    #: Whoever holds it holds the feed up.
    turn: threading.Lock = field(default_factory=threading.Lock)
    #: Unread records that are a second or two of the feed: so far behind is not behind.
    unread: float = 300.0

    @contextlib.contextmanager
    def nothing_arrives(self) -> Iterator[None]:
        """The feed is held up, and all it sent is in the log: what a producer without a broker gives up is not the workers'."""
        with self.turn:
            self.producer.flush_acknowledged(30)
            yield

    def alive(self) -> list[int]:
        return [slot for slot, process in self.group.processes.items() if process.poll() is None]

    def muster(self, workers: int) -> None:
        """As many workers as a fault begins with: the first slots, and nobody else is remembered."""
        for slot in list(self.group.processes):
            if slot >= workers:
                if self.group.processes[slot].poll() is None:
                    assert self.group.stop(slot) == 0, self.group.words()
                del self.group.processes[slot]
        alive = self.alive()
        self.start(*(slot for slot in range(workers) if slot not in alive))

    def start(self, *slots: int, crash_at: str | None = None) -> None:
        for slot in slots:
            self.group.start(slot, crash_at)
        if crash_at is None:
            self.group.await_ready(*slots, seconds=WITHIN_S)

    def rebuild(self) -> None:
        """Start the first worker again as one that decides everything anew."""
        self.group.arguments = ("--rebuild-from", "2020-01-01T00:00:00Z")
        self.start(0)
        self.group.arguments = ()

    def hang_up(self) -> int:
        """SIGHUP to every worker that is far enough to hear it (and not asleep); to how many."""
        told = 0
        for slot in self.alive():
            if self.group.get(slot, "/healthz")[0]:
                self.group.processes[slot].send_signal(signal.SIGHUP)
                told += 1
        return told

    def ended(self, slot: int) -> int:
        """Wait for a worker's end; its exit code."""
        try:
            return self.group.processes[slot].wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {slot} did not end: {self.group.state(slot)}\n{self.group.words()}") from None

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, f"in vain: {what}\n{self.group.words()}"
            time.sleep(0.05)

    def metric(self, slot: int, start: str) -> float:
        """As :meth:`WorkerGroup.metric`."""
        return self.group.metric(slot, start)

    def said(self, pattern: str) -> str | None:
        """The last line of any worker's log that matches."""
        found = None
        for slot in self.group.processes:
            if self.group.log(slot).exists():
                for line in self.group.log(slot).read_text(errors="replace").splitlines():
                    if re.search(pattern, line):
                        found = line
        return found

    def clock_of_checkpoints(self) -> list[int]:
        """Epoch ms at which the writers believed to write."""
        with contextlib.closing(RedisStore(self.redis.url, self.group.name, self.group.name)) as store:
            found = [store.read(key) for key in store.keys() if key.stage == "detect"]  # noqa: SIM118  not a dict's
        return [one.written_at for one in found if one is not None]

    def formats_of_checkpoints(self) -> set[int]:
        """Of those of the sensors, the one topic whose every partition goes on all the time."""
        with redis.Redis.from_url(self.redis.url) as client:
            shards = client.keys(f"{self.group.name}:{self.group.name}:checkpoint:*{BY_STREAM['sensor'].base}/*")
            values = [client.hget(shard, "v") for shard in shards]
        return {format_of(value) for value in values if value is not None}

    def caught_up(self) -> bool:
        """All living workers are ready and less than a second or two of the feed is unread."""
        slots = self.alive()
        return (
            bool(slots)
            and all(self.group.ready(slot) for slot in slots)
            and sum(self.metric(slot, "citywatch_consumer_lag_records") for slot in slots) < self.unread
        )

"""Workers of one consumer group as processes: started, watched, killed and started again."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.e2e.apache_kafka import free_ports
from topologies.crash_points import POINTS

ROOT = Path(__file__).parents[2]
#: Of workers whose alerts nobody times: at the default of 5 ms each spends, with its broker, a fifth of a core on fetches of
#: nothing, which the others lack.
UNHURRIED = MappingProxyType({"CITYWATCH_FETCH_WAIT_MS": "25"})
_LIBC = ctypes.CDLL(None)
#: How long a worker that is to die at a named point may take to come there, before it is killed where it stands.
POINT_WITHIN_S = 30.0
#: How often a point is passed until the kill: each batch, each shard's checkpoint and each delivery is one, each round too.
PASSES = {
    "before_produce": 25,
    "after_produce": 25,
    "after_broker_ack": 5,
    "before_checkpoint": 30,
    "after_checkpoint": 30,
    "after_ack": 3,
    "before_outbox_step": 3,
    "outbox_step": 6,
}


def _die_with_parent() -> None:
    _LIBC.prctl(1, signal.SIGKILL)


@dataclass
class Fate:
    """How a worker ends: at a named point (``point:n``), or ``after_s`` from being ready; it comes back after ``away_s``."""

    point: str | None = None
    after_s: float = 0.0
    away_s: float = 0.0

    def __str__(self) -> str:
        how = self.point or f"{self.after_s:.2f} s after it was ready"
        return f"{how}, for {self.away_s:.0f} s" if self.away_s else how


def fates(seed: int, kills: int) -> list[Fate]:
    """Named points in a drawn order, each before any comes twice, and every third kill at a random moment."""
    rng = random.Random(seed)
    points: list[str] = []
    drawn: list[Fate] = []
    for number in range(kills):
        if number % 3 == 2:
            drawn.append(Fate(after_s=rng.uniform(0.0, 3.0)))
            continue
        if not points:
            points = rng.sample(POINTS, len(POINTS))
        point = points.pop()
        drawn.append(Fate(point=f"{point}:{rng.randint(1, PASSES[point])}"))
    return drawn


@dataclass
class WorkerGroup:
    """``prefix`` names topics, group and namespace alike; ``module`` is what ``python -m`` runs."""

    broker: str
    redis: str
    prefix: str
    folder: Path
    module: str = "citywatch"
    settings: dict[str, str] = field(default_factory=dict)
    #: More words behind ``worker``.
    arguments: tuple[str, ...] = ()
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    _closing: threading.Event = field(default_factory=threading.Event)
    #: What was done to whom, for the one who reads the test's output.
    deeds: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.prefix.rstrip(".")

    def log(self, slot: int) -> Path:
        return self.folder / f"{self.name}-{slot}.log"

    def environment(self, slot: int) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CITYWATCH_")}
        return inherited | {
            "CITYWATCH_BROKER": self.broker,
            "CITYWATCH_REDIS": self.redis,
            "CITYWATCH_TOPIC_PREFIX": self.prefix,
            "CITYWATCH_GROUP": self.name,
            "CITYWATCH_NAMESPACE": self.name,
            "CITYWATCH_WEB_PORT": str(self.ports[slot]),
            "CITYWATCH_CHECKPOINT_EVERY_S": "0.5",
            "CITYWATCH_SESSION_TIMEOUT_S": "3",
            # Machines of tests are busy: an idle tick must not overtake a record whose stamp is older.
            "CITYWATCH_CLOCK_SKEW_S": "2",
            "CITYWATCH_LOG_LEVEL": "WARNING",
            **self.settings,
        }

    def start(self, slot: int, crash_at: str | None = None) -> subprocess.Popen[bytes]:
        (self.ports[slot],) = free_ports(1)
        environment = self.environment(slot) | ({"CITYWATCH_CRASH_AT": crash_at} if crash_at else {})
        with self.log(slot).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, "worker", *self.arguments], env=environment, cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip
        self.processes[slot] = process
        return process

    def get(self, slot: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[slot]}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self, slot: int) -> bool:
        return self.get(slot, "/readyz")[0] == 200

    def await_ready(self, *slots: int, seconds: float = 60.0) -> None:
        """Until all these are ready; says what they said where one is not."""
        deadline = time.monotonic() + seconds
        for slot in slots:
            while not self.ready(slot):
                assert self.processes[slot].poll() is None, f"worker {slot} of {self.name} ended\n{self.words()}"
                assert time.monotonic() < deadline, f"{self.get(slot, '/readyz')[1]}\n{self.words()}"
                time.sleep(0.05)

    def metric(self, slot: int, start: str) -> float:
        """Sum of a worker's samples whose line begins so; NaN, which is neither more nor less than anything, where it does not
        answer."""
        status, text = self.get(slot, "/metrics")
        if status != 200:
            return math.nan
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))

    def state(self, slot: int) -> str:
        """What a worker says of itself, for whoever reads a failed test."""
        wanted = (
            "citywatch_records_total",
            "citywatch_outbox_depth",
            "citywatch_consumer_lag",
            "citywatch_rebalances",
            "citywatch_fenced",
        )
        lines = [
            line for line in self.get(slot, "/metrics")[1].splitlines() if line.startswith(wanted) and not line.endswith(" 0.0")
        ]
        return f"exit {self.processes[slot].poll()}, ready {self.get(slot, '/readyz')}, " + "; ".join(lines)

    def stop(self, slot: int) -> int:
        """SIGTERM; the exit code."""
        self.processes[slot].send_signal(signal.SIGTERM)
        return self.processes[slot].wait(15)

    def kill(self, slot: int) -> None:
        self.processes[slot].kill()
        self.processes[slot].wait(10)

    def words(self) -> str:
        logs = [self.log(slot) for slot in sorted(self.processes)]
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs if log.exists())

    def close(self) -> None:
        self._closing.set()
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)

    # --- dying -------------------------------------------------------------------------------------------------------------

    def suffer(self, slots: Sequence[int], drawn: Sequence[Fate]) -> Callable[[], None]:
        """Let the workers of ``slots`` die of the fates, dealt in turn, each started again at once; afterwards each lives.

        Returns a call that waits for the end of it. Raises there what went wrong.
        """
        failures: list[BaseException] = []
        lived = [threading.Event() for _ in slots]
        threads = [
            threading.Thread(target=self._live, args=(slot, drawn[number :: len(slots)], failures, lived[number]), daemon=True)
            for number, slot in enumerate(slots)
        ]
        for thread in threads:
            thread.start()

        def done() -> None:
            for one in lived:
                one.wait()
            if failures:
                raise failures[0]

        return done

    def _live(self, slot: int, drawn: Sequence[Fate], failures: list[BaseException], lived: threading.Event) -> None:
        try:
            for fate in drawn:
                self._die(slot, self.start(slot, fate.point), fate)
                time.sleep(fate.away_s)
            self.start(slot)
            self.await_ready(slot)
        except BaseException as failure:
            failures.append(failure)
        lived.set()
        # A process that dies with its parent dies with the thread that started it.
        self._closing.wait()

    def _die(self, slot: int, process: subprocess.Popen[bytes], fate: Fate) -> None:
        deadline = time.monotonic() + 60
        while process.poll() is None and not self.ready(slot):
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.05)
        how = f"worker {slot} killed {fate}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POINT_WITHIN_S if fate.point else fate.after_s)
        if process.poll() is None:
            how = f"{how} (not reached: killed where it stood)" if fate.point else how
            self.kill(slot)
        assert process.returncode == -signal.SIGKILL, f"worker {slot} ended by itself: {process.returncode}\n{self.words()}"
        self.deeds.append(how)

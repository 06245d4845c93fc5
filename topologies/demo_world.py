"""The world of a demo: embedded broker and Redis in this process, the worker in one of its own, all gone at the end.

The worker is the real ``citywatch worker``, told by its environment where broker and Redis are; it dies with this process, even
where this one is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from streams.embedded.broker import EmbeddedBroker
from streams.embedded.redis import EmbeddedRedis, free_port
from streams.errors import Mend

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 4.0


class World:
    """Broker, Redis and (after :meth:`start_worker`) a worker, on loopback.

    ``port`` is that of /metrics, 0 for any free one. ``environment`` adds to the worker's settings. ``partitions``: of the
    topics, where not those of the table.
    """

    def __init__(
        self, port: int = 0, environment: dict[str, str] | None = None, partitions: dict[str, int] | None = None
    ) -> None:
        if port:
            _refuse_if_taken(port)
        self.port = port or free_port()
        self._stack = contextlib.ExitStack()
        self._worker: subprocess.Popen[bytes] | None = None
        try:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-demo-")))
            self.log = folder / "worker.log"
            self.broker = self._stack.enter_context(EmbeddedBroker(partitions))
            self.redis = self._stack.enter_context(EmbeddedRedis(folder / "redis"))
        except BaseException:
            self._stack.close()
            raise
        # Nothing of the caller's own citywatch settings leaks into the demo's world.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CITYWATCH_")}
        self._environment = inherited | {
            "CITYWATCH_BROKER": self.broker.bootstrap,
            "CITYWATCH_REDIS": self.redis.url,
            "CITYWATCH_WEB_PORT": str(self.port),
            "CITYWATCH_DEFAULT_CITY": "340100",
            "CITYWATCH_LOG_LEVEL": "WARNING",
            # Broker, feeder and worker share one clock.
            "CITYWATCH_CLOCK_SKEW_S": "0.05",
            **(environment or {}),
        }

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_worker(self) -> None:
        """Start ``citywatch worker`` and return once /readyz says so. Raises Mend with its last words where it does not."""
        with self.log.open("wb") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "citywatch", "worker"], env=self._environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C reaches the demo, which then stops the worker in order.
                start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip
        deadline = time.monotonic() + READY_WITHIN_S
        reasons = "no answer"
        while time.monotonic() < deadline:
            if self._worker.poll() is not None:
                raise Mend(f"the worker ended with code {self._worker.returncode}: {self.last_words()}", "citywatch demo")
            try:
                with urllib.request.urlopen(f"{self.http}/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as error:
                reasons = error.read().decode(errors="replace").strip()
            except OSError:
                pass
            time.sleep(0.1)
        raise Mend(f"the worker was not ready in {READY_WITHIN_S:g} s: {reasons}", self.http, f"see {self.last_words()}")

    def worker_alive(self) -> bool:
        return self._worker is not None and self._worker.poll() is None

    def last_words(self) -> str:
        """The end of the worker's log, one line."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return " | ".join(line for line in text.strip().splitlines()[-3:]) or "it said nothing"

    def close(self) -> None:
        """Stop worker, Redis and broker, in that order; the worker writes its last checkpoint first."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.poll() is None:
            worker.terminate()
            try:
                worker.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self._stack.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _refuse_if_taken(port: int) -> None:
    """Raise Mend where somebody listens there: their /readyz would be taken for our worker's."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Mend(
                f"cannot listen ({error.strerror})", f"127.0.0.1:{port}", "give --port a free one, or leave it out"
            ) from None


def _die_with_parent() -> None:
    """In the child, before exec: end when the demo ends, whatever ends it (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)

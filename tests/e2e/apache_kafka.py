"""Apache Kafka for tests, without Docker: Maven fetches it, KRaft runs it on loopback, its log lives in a temporary folder.

Nodes are ended by their process ids. Where Java or Maven is missing, or Maven can fetch nothing, :func:`missing` says so and
the tests that need it are skipped with that sentence.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
POM = Path(__file__).parent / "kafka" / "pom.xml"
KEPT = ROOT / "var" / "apache-kafka"
_LIBC = ctypes.CDLL(None)
#: Of :func:`_slice`: let go when the process ends, however it ends.
_LOCKS: list[IO[str]] = []
# Starting fast matters more here than running fast: no second compiler, no parallel collector.
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


@cache
def classpath() -> str:
    """Class path of Kafka's jars in Maven's local repository. Raises RuntimeError with the reason where there is none.

    One process fetches, others that want it meanwhile wait: Maven's local repository is not made for two at once.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"Apache Kafka needs {tool}, which is not on the PATH")
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _fetched()


def _fetched() -> str:
    kept = KEPT / f"classpath-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}.txt"
    if kept.is_file():
        path = kept.read_text().strip()
        if all(Path(jar).exists() for jar in path.split(os.pathsep)):
            return path
    made = KEPT / f"making-{os.getpid()}.txt"
    goal = ("dependency:build-classpath", f"-Dmdep.outputFile={made}", "-Dmdep.includeScope=runtime")
    run = subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], capture_output=True, text=True, timeout=600)
    if run.returncode or not made.is_file():
        said = (run.stdout + run.stderr).strip().splitlines() or ["nothing"]
        raise RuntimeError(f"Maven could not fetch Apache Kafka: {said[0][:200]}")
    made.replace(kept)
    return kept.read_text().strip()


def missing() -> str | None:
    """Why Apache Kafka cannot run here; None where it can."""
    try:
        classpath()
    except (RuntimeError, subprocess.TimeoutExpired, OSError) as reason:
        return str(reason)
    return None


def free_ports(count: int) -> list[int]:
    """Different loopback ports nobody listens on at this moment, below those that connections are given: a node comes back on
    its port, and must not find a client there. Nor, as it takes seconds to listen, what another process of tests began."""
    mine, lately = _slice()
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            port = random.SystemRandom().choice(mine)
            if port in lately:
                continue
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                lately.append(port)
                found.append(port)
    return found


@cache
def _slice() -> tuple[range, deque[int]]:
    """Ports that are this process's as long as it lives, and those of them that were given last."""
    folder = Path(tempfile.gettempdir()) / f"citywatch-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(50):
        lock = (folder / str(number)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _LOCKS.append(lock)
        return range(12_000 + 400 * number, 12_400 + 400 * number), deque(maxlen=100)
    raise RuntimeError(f"fifty processes hold ports for tests ({folder})")


def cluster_id(draw: Callable[[], bytes] = lambda: uuid.uuid4().bytes) -> str:
    """A random cluster id as Kafka's own ``Uuid`` writes it. One that begins with a dash, as 1 in 64 does, is drawn again: the
    storage tool takes it for an option, and Kafka's own generator never gives one."""
    while (drawn := urlsafe_b64encode(draw()).decode().rstrip("=")).startswith("-"):
        pass
    return drawn


class ApacheKafka:
    """``nodes`` brokers that are controllers too; ``bootstrap`` names them all.

    Each listens on a second port as well (``wired``, the right one of each pair), which it tells clients to reach by the left
    one: whoever relays the two can slow down those who come that way.
    """

    def __init__(self, nodes: int = 1, *, start_s: float = 60.0) -> None:
        self.classpath = classpath()
        self._folder = tempfile.TemporaryDirectory(prefix="citywatch-kafka-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.nodes = nodes
        ports = free_ports(4 * nodes)
        self.ports, self._controllers, relayed, behind = (ports[part * nodes :][:nodes] for part in range(4))
        self.wired = list(zip(relayed, behind, strict=True))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        cluster = cluster_id()
        (self.folder / "log4j2.yaml").write_text(_LOGGING)
        try:
            for node in range(1, nodes + 1):
                self._settings(node).write_text(self._properties(node))
                self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings(node)))
            for node in range(1, nodes + 1):
                self._launch(node)
            self._wait(start_s)
        except BaseException:
            self.close()
            raise

    def _settings(self, node: int) -> Path:
        return self.folder / f"node{node}.properties"

    def _properties(self, node: int) -> str:
        quorum = ",".join(f"{i + 1}@127.0.0.1:{port}" for i, port in enumerate(self._controllers))
        relayed, behind = self.wired[node - 1]
        copies = min(3, self.nodes)
        in_sync = 2 if copies == 3 else 1
        return "\n".join(
            (
                "process.roles=broker,controller",
                f"node.id={node}",
                f"controller.quorum.voters={quorum}",
                f"listeners=PLAINTEXT://127.0.0.1:{self.ports[node - 1]},WIRED://127.0.0.1:{behind},"
                f"CONTROLLER://127.0.0.1:{self._controllers[node - 1]}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.ports[node - 1]},WIRED://127.0.0.1:{relayed}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,WIRED:PLAINTEXT",
                "inter.broker.listener.name=PLAINTEXT",
                f"log.dirs={self.folder}/log{node}",
                "auto.create.topics.enable=false",
                f"default.replication.factor={copies}",
                f"offsets.topic.replication.factor={copies}",
                "offsets.topic.num.partitions=4",
                f"transaction.state.log.replication.factor={copies}",
                f"transaction.state.log.min.isr={in_sync}",
                "transaction.state.log.num.partitions=4",
                "group.initial.rebalance.delay.ms=100",
                # A killed member is missed after its session: seconds here, not six.
                "group.min.session.timeout.ms=1000",
                "message.max.bytes=12000000",
                "replica.fetch.max.bytes=12000000",
                "num.network.threads=2",
                "num.io.threads=2",
                "log.cleaner.dedupe.buffer.size=20000000",
                "log.segment.delete.delay.ms=100",
            )
        )

    def _java(self, *words: str) -> None:
        run = subprocess.run(self._command(*words), capture_output=True, text=True, timeout=120)
        if run.returncode:
            raise RuntimeError(f"{words[0]} failed: {(run.stdout + run.stderr)[-500:]}")

    def _command(self, *words: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}"
        return ["java", *_JVM, logging, "-cp", self.classpath, *words]

    def _launch(self, node: int) -> None:
        with (self.folder / f"node{node}.out").open("ab") as out:
            self._processes[node] = subprocess.Popen(
                self._command("kafka.Kafka", str(self._settings(node))),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def _wait(self, seconds: float) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        deadline = time.monotonic() + seconds
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        while time.monotonic() < deadline:
            for node, process in self._processes.items():
                if process.poll() is not None:
                    said = (self.folder / f"node{node}.out").read_text(errors="replace")
                    raise RuntimeError(f"Apache Kafka node {node} ended: {said[-1500:]}")
            with contextlib.suppress(KafkaException):
                if len(admin.list_topics(timeout=1).brokers) == len(self._processes):
                    return
            time.sleep(0.1)
        raise RuntimeError(f"Apache Kafka was not ready in {seconds:g} s")

    def kill(self, node: int = 1) -> None:
        """End a node as a power cut would."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def restart(self, *nodes: int, start_s: float = 60.0) -> None:
        """Start nodes that were killed (the first, where none is named), on their own logs."""
        for node in nodes or (1,):
            self._launch(node)
        self._wait(start_s)

    def add_partitions(self, topics: Iterable[str], total: int) -> None:
        """So many partitions for each of these topics, as ``kafka-topics --alter`` would make; over when a leader is known."""
        from confluent_kafka.admin import AdminClient, NewPartitions

        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        names = list(topics)
        for made in admin.create_partitions([NewPartitions(name, total) for name in names]).values():
            made.result()
        deadline = time.monotonic() + 30
        while any(
            len(parts := admin.list_topics(name, timeout=5).topics[name].partitions) < total
            or any(part.leader < 0 for part in parts.values())
            for name in names
        ):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the partitions of {names} have no leaders")
            time.sleep(0.1)

    def close(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self._processes.values():
            process.wait()
        self._processes.clear()
        self._folder.cleanup()

    def __enter__(self) -> ApacheKafka:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_LOGGING = """\
Configuration:
  Appenders:
    Console: {name: out, PatternLayout: {pattern: "%d %p %c %m%n"}}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: out}}
"""


def _die_with_parent() -> None:
    _LIBC.prctl(1, signal.SIGKILL)

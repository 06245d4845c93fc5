"""Kafka's own Java producer, driven from a test: what most systems of a city write with (see ``java/ForeignProducer.java``)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.e2e.apache_kafka import classpath

_SOURCE = Path(__file__).parent / "java" / "ForeignProducer.java"
#: The compiler that comes with the JDK translates the one file at each start.
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
NOTHING: Mapping[str, str | None] = {}


class Written(NamedTuple):
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int


class JavaProducers:
    """Producers by name in one Java process. Every call blocks until it is done, and raises RuntimeError with Java's words."""

    def __init__(self, broker: str) -> None:
        self._process = subprocess.Popen(
            ["java", *_JVM, "-cp", classpath(), str(_SOURCE), broker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _ask(self, *words: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        assert not any({"\t", "\n"} & set(word) for word in words), words
        self._process.stdin.write("\t".join(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if not answer.startswith("ok"):
            raise RuntimeError(f"{words[:3]}: {answer or 'the Java process ended'}")
        return answer[3:]

    def open(self, name: str, **settings: str) -> None:
        """A producer; settings as Kafka names them, with ``_`` for the dot."""
        self._ask("open", name, *(f"{one.replace('_', '.')}={value}" for one, value in settings.items()))

    def send(self, name: str, topic: str, key: str | None, value: str, headers: Mapping[str, str | None] = NOTHING) -> None:
        """Hand a record over; it is written by the next :meth:`flush` at the latest."""
        pairs = (one if text is None else f"{one}={text}" for one, text in headers.items())
        self._ask("send", name, topic, "-" if key is None else key, value, *pairs)

    def flush(self, name: str) -> list[Written]:
        """Where everything stands that was sent since the last flush."""
        places = (one.rsplit("/", 2) for one in self._ask("flush", name).split())
        return [Written(topic, int(partition), int(offset)) for topic, partition, offset in places]

    def begin(self, name: str) -> None:
        self._ask("begin", name)

    def commit(self, name: str) -> None:
        self._ask("commit", name)

    def abort(self, name: str) -> None:
        self._ask("abort", name)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> JavaProducers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

"""What the load run sees of a worker: once a second its lag and memory; at the end the account of law 8 from the topics.

The account needs no look at the input records: none of the feed's is an array, so the rows of a topic are its offsets.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks.latency import Running
from streams.kafka import LogReader
from streams.topics import BY_STREAM, topic_name
from topologies.audit import INPUTS, Audit

EVERY_S = 1.0
_DECIDED = re.compile(r'^citywatch_records_total\{.*stream="([a-z]+)".*\} ([\d.e+]+)', re.M)


class Sample(NamedTuple):
    """``at``: s, monotonic. ``memory``: resident bytes; ``cpu_s``: processor time of all threads so far; NaN where the system
    does not say.

    ``lag``: records of the inputs that stand in the log and are not decided. The worker's own gauge leaves out what it has
    fetched and holds, which is most of a backlog that begins while it is busy.
    """

    at: float
    lag: float
    memory: float
    cpu_s: float


class Ends:
    """How many records each input topic holds; the topics are as old as the run."""

    def __init__(self, bootstrap: str) -> None:
        self._reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-ends", "log_level": 0})
        self._parts: list[TopicPartition] = []
        for topic in (topic_name(BY_STREAM[stream].base) for stream in INPUTS):
            parts = self._reader.list_topics(topic, timeout=10).topics[topic].partitions
            self._parts += [TopicPartition(topic, part) for part in parts]

    def now(self) -> dict[str, int]:
        """Per topic, as the broker says at this moment."""
        counts: Counter[str] = Counter()
        for part in self._parts:
            counts[part.topic] += self._reader.get_watermark_offsets(part, timeout=10)[1]
        return dict(counts)

    def close(self) -> None:
        self._reader.close()


class Watch(threading.Thread):
    """Samples a worker until :meth:`close`; a scrape that fails is left out."""

    def __init__(self, running: Running, bootstrap: str) -> None:
        super().__init__(name="bench-watch", daemon=True)
        self._running, self._broker = running, bootstrap
        self._ended = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        ends = Ends(self._broker)
        while not self._ended.wait(EVERY_S):
            with contextlib.suppress(OSError):
                self.samples.append(sample(self._running, ends))
        ends.close()

    def between(self, start: float, stop: float) -> list[Sample]:
        return [one for one in self.samples if start <= one.at <= stop]

    def close(self) -> None:
        self._ended.set()
        self.join()


def sample(running: Running, ends: Ends) -> Sample:
    """Raises OSError where the worker does not answer."""
    written = sum(ends.now().values())
    with urllib.request.urlopen(f"{running.http}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    decided = sum(float(count) for stream, count in _DECIDED.findall(text) if stream in INPUTS)
    return Sample(time.monotonic(), max(0.0, written - decided), resident(running.pid), _cpu_s(running.pid))


def resident(pid: int) -> float:
    """Bytes of a process's memory; NaN where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return float("nan")


def _cpu_s(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(words[11]) + int(words[12])) / float(os.sysconf("SC_CLK_TCK"))


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs, which a few outliers do not move. 0 of fewer than two.

    >>> slope([0, 1, 2, 3, 4], [5, 7, 1000, 11, 13])
    2.0
    """
    if len(at) < 2:
        return 0.0
    i, j = np.triu_indices(len(at), 1)
    x, y = np.asarray(at, dtype=np.float64), np.asarray(values, dtype=np.float64)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


# --- the account --------------------------------------------------------------------------------------------------------------


class Account(NamedTuple):
    """Law 8: ``written`` rows per topic; ``outcomes`` as the worker's progress records state them. ``opened``: incidents by
    category. ``conflicts``: (id, revision) with two bodies."""

    written: dict[str, int]
    outcomes: dict[str, int]
    opened: Counter[str]
    conflicts: list[str]

    @property
    def missing(self) -> int:
        return sum(self.written.values()) - sum(self.outcomes.values())


def account(bootstrap: str, within_s: float) -> Account:
    """Once every row is accounted for, or after ``within_s`` as it stands then."""
    audit = Audit()
    deadline = time.monotonic() + within_s
    reader = Ends(bootstrap)
    ends = reader.now()
    reader.close()
    with LogReader(bootstrap, [topic_name("signals"), topic_name("incidents")]) as reader:
        while True:
            for record in reader.read_to_end():
                audit.take(record)
            if sum(audit.outcomes.values()) == sum(ends.values()) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
    opened = Counter(incident.category for incident in audit.incidents.values())
    return Account(ends, audit.outcomes, opened, audit.conflicts)


def told(of: Account) -> dict[str, Any]:
    return {**of._asdict(), "opened": dict(of.opened), "missing": of.missing}

"""What the load run sees of a worker: once a second its lag and memory; at the end the account of law 8 from the topics.

The account needs no look at the input records: none of the feed's is an array, so the rows of a topic are its offsets.
"""

from __future__ import annotations

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


class Sample(NamedTuple):
    """``at``: s, monotonic. ``lag``: records in the log that are not decided, of the inputs and of citywatch's own topics.
    ``memory``: resident bytes; ``cpu_s``: processor time of all threads so far; NaN where the system does not say."""

    at: float
    lag: float
    memory: float
    cpu_s: float


class Watch(threading.Thread):
    """Samples a worker until :meth:`close`; a scrape that fails is left out."""

    def __init__(self, running: Running) -> None:
        super().__init__(name="bench-watch", daemon=True)
        self._running = running
        self._ended = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                self.samples.append(sample(self._running))
            except OSError:
                continue

    def between(self, start: float, stop: float) -> list[Sample]:
        return [one for one in self.samples if start <= one.at <= stop]

    def close(self) -> None:
        self._ended.set()
        self.join()


def sample(running: Running) -> Sample:
    """Raises OSError where the worker does not answer."""
    with urllib.request.urlopen(f"{running.http}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lags = map(float, re.findall(r"^citywatch_consumer_lag_records\{.*\} ([\d.e+]+)", text, re.M))
    return Sample(time.monotonic(), sum(lags), _memory(running.pid), _cpu_s(running.pid))


def _memory(pid: int) -> float:
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


def written(bootstrap: str) -> dict[str, int]:
    """Records of each input topic."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-ends", "log_level": 0})
    counts: dict[str, int] = {}
    for stream in INPUTS:
        topic = topic_name(BY_STREAM[stream].base)
        parts = reader.list_topics(topic, timeout=10).topics[topic].partitions
        counts[topic] = sum(reader.get_watermark_offsets(TopicPartition(topic, part), timeout=10)[1] for part in parts)
    reader.close()
    return counts


def account(bootstrap: str, within_s: float) -> Account:
    """Once every row is accounted for, or after ``within_s`` as it stands then."""
    audit = Audit()
    deadline = time.monotonic() + within_s
    ends = written(bootstrap)
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

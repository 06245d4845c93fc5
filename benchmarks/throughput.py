"""Readings a second, side by side: every contender reads the same log, in turn, in each of several rounds.

Reader on one core, broker and feeder on the other. Rounds are interleaved (each contender once per round), so a busy minute of
the machine hits all of them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka

from benchmarks.readings import SENSORS, TOPIC, batches, readings, registry, two_rules
from benchmarks.servers import EMBEDDED_KEEPS, Broker
from benchmarks.tables import Table, spread
from streams.records import Signal
from topologies.detect import DetectStage

ROOT = Path(__file__).parents[1]
LABELS = {
    "citywatch": "citywatch: Faust agent, decode, gate, threshold, robust z",
    "plain_faust": "plain Faust agent, orjson.loads per event",
    "aiokafka": "aiokafka getmany, orjson.loads (ceiling)",
    "confluent": "confluent-kafka loop, orjson.loads (ceiling)",
    "confluent_statistics": "confluent-kafka loop, msgspec, numpy mean and variance",
}
#: A plain agent needs as long for a sixteenth of the records as the others for all.
PLAIN_SHARE = 16
GOAL_RATE, GOAL_TIMES = 200_000, 20


def expected(records: int, sensors: int) -> Counter[str]:
    """Outcomes and signals of the pure stage over the same records: what the agent must have found (law 2)."""
    stage, found = DetectStage(TOPIC, 0, two_rules(), registry()), Counter[str]()
    for raw in batches(records, sensors):
        detected = stage.process(raw)
        found.update(detected.outcomes)
        found.update(f"{one.rule} {one.phase}" if isinstance(one, Signal) else one.control for one in detected.signals)
    return found


class Feed:
    """Writes the readings into one partition; ``room()`` says how many more may be written now."""

    def __init__(self, bootstrap: str, topic: str, records: int, sensors: int) -> None:
        self.bootstrap, self.topic, self.records, self.sensors = bootstrap, topic, records, sensors
        self.written, self.size_total, self.sizes = 0, 0, (1_000, 0)

    def run(self, room: Callable[[int], bool] = lambda written: True) -> None:
        config = {
            "bootstrap.servers": self.bootstrap,
            "acks": "all",
            "linger.ms": 20,
            "batch.num.messages": 5_000,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
        producer = confluent_kafka.Producer(config)
        least, most = self.sizes
        for key, value, arrival in readings(self.records, self.sensors):
            while not room(self.written):
                producer.poll(0.002)
            while True:
                try:
                    producer.produce(self.topic, value, key, 0, timestamp=arrival)
                    break
                except BufferError:
                    producer.poll(0.05)
            self.written += 1
            self.size_total += len(value)
            least, most = min(least, len(value)), max(most, len(value))
        if producer.flush(120):
            raise RuntimeError("the feed was not acknowledged by the broker")
        self.sizes = (least, most)


def contend(
    name: str,
    broker: Broker,
    topic: str,
    records: int,
    core: list[int],
    *,
    check: bool = False,
    sensors: int = SENSORS,
    fed: bool = True,
    seconds: float = 300.0,
) -> dict[str, Any]:
    """Run one contender in a process; where the log is not ``fed`` beforehand, feed it at the reader's pace."""
    command = [sys.executable, "-m", "benchmarks.contender", name, "--bootstrap", broker.bootstrap, "--topic", topic]
    command += ["--records", str(records)]
    command += ["--core", str(core[0])] if core else []
    command += ["--check"] if check else []
    command += [] if fed else ["--progress"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    read = 0
    said: list[str] = []
    errors: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    complaints = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    complaints.start()

    def room(written: int) -> bool:
        return written - read < EMBEDDED_KEEPS or process.poll() is not None

    feeding = threading.Thread(target=Feed(broker.bootstrap, topic, records, sensors).run, args=(room,), daemon=True)
    if not fed:
        feeding.start()
    try:
        for line in process.stdout:
            said.append(line)
            if line.strip().isdigit():
                read = int(line)
        process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    complaints.join(5)
    if process.returncode or not said or not said[-1].startswith("{"):
        raise RuntimeError(f"{name} ended with {process.returncode}: {''.join(errors)[-2000:]}")
    result: dict[str, Any] = json.loads(said[-1])
    return result


def measure(
    broker: Broker,
    core: list[int],
    *,
    records: int,
    rounds: int,
    check: bool,
    tell: Callable[[str], None],
    sensors: int = SENSORS,
) -> Table:
    """The table of throughput. ``figures`` hold every run, and whether the results agreed."""
    fed = broker.kind == "apache" or records <= EMBEDDED_KEEPS
    topic = f"bench.readings.{time.time_ns()}"
    feed = Feed(broker.bootstrap, topic, records, sensors)
    broker.topic(topic, message_timestamp_type="CreateTime", retention_ms="-1")
    if fed:
        began = time.perf_counter()
        feed.run()
        tell(f"{records:,} readings written in {time.perf_counter() - began:.1f} s")
    wanted = expected(records, sensors)
    rates: dict[str, list[float]] = {name: [] for name in LABELS}
    runs: list[dict[str, Any]] = []
    for number in range(rounds):
        for name in LABELS:
            share = max(records // PLAIN_SHARE, min(records, 2_000)) if name == "plain_faust" else records
            source = topic
            if not fed:
                source = f"{topic}.{number}.{name}"
                broker.topic(source)
            run = contend(name, broker, source, share, core, check=check, sensors=sensors, fed=fed)
            if run["records"] != share:
                raise RuntimeError(f"{name} read {run['records']} of {share} records")
            rates[name].append(share / run["seconds"])
            runs.append({"contender": name, "round": number, **run})
            tell(f"round {number + 1}/{rounds} {name:21} {rates[name][-1]:12,.0f} readings/s")
    return _table(broker, feed, rates, runs, wanted, fed)


def _table(
    broker: Broker,
    feed: Feed,
    rates: dict[str, list[float]],
    runs: list[dict[str, Any]],
    wanted: Counter[str],
    fed: bool,
) -> Table:
    ours, plain = statistics.median(rates["citywatch"]), statistics.median(rates["plain_faust"])
    agreed = all(Counter(run["found"]) == wanted for run in runs if run["contender"] == "citywatch")
    if not agreed:
        found = [run["found"] for run in runs if run["contender"] == "citywatch"]
        raise RuntimeError(f"the agent found {found}, the pure stage {dict(wanted)}")
    rows = []
    for name, label in LABELS.items():
        median = statistics.median(rates[name])
        busy = statistics.median(run["records"] / run["processor"] for run in runs if run["contender"] == name)
        rows.append([label, *spread(rates[name]), f"{median / plain:.1f}", f"{median / ours:.2f}", f"{busy:,.0f}"])
    size = f", {feed.sizes[0]}–{feed.sizes[1]} bytes (mean {feed.size_total / feed.records:.0f})" if feed.written else ""
    few = next(run["records"] for run in runs if run["contender"] == "plain_faust")
    lies = "all in one partition before anybody reads" if fed else "fed at the reader's pace: it keeps only 5 MB"
    signals = sum(count for name, count in wanted.items() if " " in name)
    return Table(
        f"Throughput: {feed.records:,} JSON readings of {feed.sensors:,} sensors{size}; {broker.label}",
        ["contender", "readings/s, median", "min", "max", "× plain Faust", "÷ citywatch", "per processor-second"],
        rows,
        [
            f"{len(rates['citywatch'])} rounds, every contender once in each; the log: {lies}.",
            f"The plain Faust agent gets {few:,} of the readings.",
            f"The agent's outcomes and its {signals:,} signals equal those of the pure stage over the same records.",
            "Per processor-second: readings by the processor time of the reading process, all its threads; what other programs "
            "took of its core is not in it.",
            f"Goal: ≥ {GOAL_RATE:,} readings/s and ≥ {GOAL_TIMES} × plain Faust: "
            + ("met." if ours >= GOAL_RATE and ours >= GOAL_TIMES * plain else "MISSED."),
        ],
        {"rates": rates, "runs": runs, "agreed": agreed, "broker": broker.kind, "paced": not fed},
    )

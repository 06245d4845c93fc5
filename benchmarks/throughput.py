"""Readings a second, side by side: every contender reads the same log, in turn, in each of several rounds.

Reader on one core, broker and feeder on the other. Rounds are interleaved (each contender once per round), so a busy minute of
the machine hits all of them. Peers (:mod:`benchmarks.peers`) are asked for by the Python that has them; who does the same job
must raise the same alarms, or the run fails.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka

from benchmarks import job, peers
from benchmarks.detect_speed import book
from benchmarks.performance_plots import engines
from benchmarks.readings import TOPIC, batches, count_signals, readings, registry
from benchmarks.servers import EMBEDDED_KEEPS, Broker
from benchmarks.tables import Table, spread
from streams.records import Signal
from topologies.detect import DetectStage

ROOT = Path(__file__).parents[1]
LABELS = {
    "citywatch": "citywatch: Faust agent, decode, gate, four detectors, checkpoint",
    "citywatch_five": "citywatch: the same and the default anomaly detector on top",
    "plain_faust": "plain Faust agent, orjson.loads per event",
    "aiokafka": "aiokafka getmany, orjson.loads (ceiling)",
    "confluent": "confluent-kafka loop, orjson.loads (ceiling)",
    "confluent_statistics": "confluent-kafka loop, msgspec, numpy mean and variance",
    "hand_loop": "confluent-kafka loop, msgspec, numpy: the same job by hand",
} | peers.PEERS
#: Rules of the contenders that are citywatch.
OURS = {"citywatch": "four", "citywatch_five": "five"}
#: Who does what citywatch does.
SAME_JOB = ("hand_loop", *peers.PEERS)
#: A plain agent needs longer for a twentieth of the records than the others for all; peers get as many as robust z needs.
SHARES = {"plain_faust": 20, **dict.fromkeys(peers.PEERS, 3)}
GOAL_RATE, GOAL_TIMES, GOAL_BY_HAND = 300_000, 20, 0.8


def expected(records: int, sensors: int, rules: str = "four") -> tuple[Counter[str], Counter[str]]:
    """Outcomes and signals of the pure stage over the same records, what the agent must have found (law 2); and of them the
    silences that have not ended by then."""
    stage, found = DetectStage(TOPIC, 0, book(rules), registry(sensors)), Counter[str]()
    silent: dict[str, int] = {}
    for raw in batches(records, sensors):
        detected = stage.process(raw)
        found.update(detected.outcomes)
        count_signals(detected.signals, found)
        for one in detected.signals:
            if isinstance(one, Signal) and one.rule == job.SILENCE_RULE:
                silent.pop(one.entity, None)
                if one.phase == "raised":
                    silent[one.entity] = one.ts
    standing = Counter[str]()
    for entity, ts in silent.items():
        job.tell(standing, job.SILENCE_RULE, entity, ts)
    return found, standing


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
    redis: str,
    check: bool = False,
    sensors: int = job.SENSORS,
    fed: bool = True,
    seconds: float = 300.0,
    python: str = sys.executable,
    under: Sequence[str] = (),
) -> dict[str, Any]:
    """Run one contender in a process; where the log is not ``fed`` beforehand, feed it at the reader's pace. ``redis``: where
    citywatch's own write their checkpoints. ``under``: what is to start it, if anything (a profiler)."""
    command = [*under, python, "-m", "benchmarks.contender", name, "--bootstrap", broker.bootstrap, "--topic", topic]
    command += ["--records", str(records), "--sensors", str(sensors)]
    command += ["--core", str(core[0])] if core else []
    command += ["--check"] if check else []
    command += [] if fed else ["--progress"]
    where = {**os.environ, "CITYWATCH_REDIS": redis}
    process = subprocess.Popen(command, cwd=ROOT, env=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
    told = [line for line in said if line.startswith("{")]
    if process.returncode or not told:
        raise RuntimeError(f"{name} ended with {process.returncode}: {''.join(errors)[-2000:]}")
    result: dict[str, Any] = json.loads(told[-1])
    return result


class Logs:
    """The topics that are written before anybody reads: one with all readings, shorter ones with the first of them."""

    def __init__(self, broker: Broker, sensors: int, tell: Callable[[str], None]) -> None:
        self.broker, self.sensors, self._tell = broker, sensors, tell
        self._topics: dict[int, str] = {}
        self.longest: Feed | None = None

    def of(self, records: int) -> str:
        if records not in self._topics:
            topic = self._topics[records] = f"bench.readings.{time.time_ns()}"
            self.broker.topic(topic, message_timestamp_type="CreateTime", retention_ms="-1")
            feed = Feed(self.broker.bootstrap, topic, records, self.sensors)
            began = time.perf_counter()
            feed.run()
            self._tell(f"{records:,} readings written in {time.perf_counter() - began:.1f} s")
            if self.longest is None or records > self.longest.records:
                self.longest = feed
        return self._topics[records]


def share_of(name: str, records: int, broker: Broker) -> int:
    """How many readings a contender gets; a peer, which is never fed at its pace, no more than the embedded broker keeps."""
    share = max(records // SHARES.get(name, 1), min(records, 2_000 if name == "plain_faust" else 20_000))
    return min(share, EMBEDDED_KEEPS) if name in peers.PEERS and broker.kind == "embedded" else share


def measure(
    broker: Broker,
    core: list[int],
    *,
    redis: str,
    records: int,
    rounds: int,
    check: bool,
    tell: Callable[[str], None],
    sensors: int = job.SENSORS,
    python: str | None = None,
) -> Table:
    """The table of throughput. ``figures`` hold every run. ``python``: that of the peers, where they are wanted;
    ``redis``: where checkpoints go."""
    fed = broker.kind == "apache" or records <= EMBEDDED_KEEPS
    logs = Logs(broker, sensors, tell)
    absent = peers.absent(python, broker.kind) if python else dict.fromkeys(peers.PEERS, "")
    names = [name for name in LABELS if name not in absent]
    shares = {name: share_of(name, records, broker) for name in names}
    wanted = {name: expected(shares[name], sensors, OURS.get(name, "four")) for name in (*OURS, *SAME_JOB) if name in shares}
    rates: dict[str, list[float]] = {name: [] for name in names}
    runs: list[dict[str, Any]] = []
    for number in range(rounds):
        for name in names:
            share, peer = shares[name], name in peers.PEERS
            if fed or peer:
                source = logs.of(share if peer else records)
            else:
                source = f"bench.readings.{time.time_ns()}.{name}"
                broker.topic(source)
            command = python if peer and python else sys.executable
            run = contend(
                name,
                broker,
                source,
                share,
                core,
                redis=redis,
                check=check and not peer,
                sensors=sensors,
                fed=fed or peer,
                python=command,
            )
            if run["records"] != share:
                raise RuntimeError(f"{name} read {run['records']} of {share} records")
            if name in wanted:
                agree(name, Counter(run["found"]), *wanted[name])
            rates[name].append(run["timed"] / run["seconds"])
            runs.append({"contender": name, "round": number, **run})
            tell(f"round {number + 1}/{rounds} {name:21} {rates[name][-1]:12,.0f} readings/s")
    return _table(broker, logs, rates, runs, wanted["citywatch"][0], fed, {name: why for name, why in absent.items() if why})


def agree(name: str, found: Counter[str], wanted: Counter[str], standing: Counter[str]) -> None:
    """Raises RuntimeError where a contender found other things than the pure stage did in the same readings.

    ``standing`` are silences that had not ended: peers, whose state has no timers of the log's time, have not told them yet.
    """
    if name in OURS and found != wanted:
        raise RuntimeError(f"the agent found {dict(found)}, the pure stage {dict(wanted)}")
    if name in SAME_JOB:
        asked = job.alerts(wanted - standing if name in peers.PEERS else wanted)
        if job.alerts(found) != asked:
            raise RuntimeError(f"{name} found {job.alerts(found)}, the pure stage {asked}")


def _table(
    broker: Broker,
    logs: Logs,
    rates: dict[str, list[float]],
    runs: list[dict[str, Any]],
    wanted: Counter[str],
    fed: bool,
    absent: dict[str, str],
) -> Table:
    medians = {name: statistics.median(found) for name, found in rates.items()}
    busy = {
        name: statistics.median(run["timed"] / run["processor"] for run in runs if run["contender"] == name) for name in rates
    }
    ours, plain, by_hand = medians["citywatch"], medians["plain_faust"], medians["hand_loop"]
    rows = [
        [
            LABELS[name], *spread(found), f"{medians[name] / plain:.1f}", f"{medians[name] / ours:.2f}", f"{busy[name]:,.0f}",
            f"{1e6 / busy[name]:.2f}",
        ]
        for name, found in rates.items()
    ]  # fmt: skip
    rows += [[LABELS[name], *["–"] * 7] for name in absent]
    feed = logs.longest
    size = f", {feed.sizes[0]}–{feed.sizes[1]} bytes (mean {feed.size_total / feed.records:.0f})" if feed else ""
    records = {run["contender"]: run["records"] for run in runs}
    lies = "all in one partition before anybody reads" if fed else "fed at the reader's pace: it keeps only 5 MB"
    signals = sum(count for name, count in wanted.items() if " " in name)
    raised = sum(count for name, count in wanted.items() if name.endswith(" raised"))
    fewer = "; ".join(f"{LABELS[name].partition(':')[0]} {count:,}" for name, count in records.items() if name in SHARES)
    notes = [
        f"{len(rates['citywatch'])} rounds, every contender once in each; the log: {lies}.",
        f"The slow ones get the first of the readings only: {fewer}.",
        f"The agent's outcomes and its {signals:,} signals equal those of the pure stage over the same records.",
        "The same job: typed decoding, checks, threshold, robust z, silence and stuck per sensor in order. All who do it "
        f"raised the same alarms over the same readings ({raised:,} in all of them), to the sensor and the millisecond; peers "
        "without the silences that had not ended.",
        "Per processor-second and µs: by the processor time of the reading process, all its threads; what other programs "
        "took of its core is not in it.",
        *(f"{LABELS[name].partition(':')[0]}: not measured: {why}." for name, why in absent.items()),
        f"Goal: ≥ {GOAL_RATE:,} readings/s, ≥ {GOAL_TIMES} × plain Faust and ≥ {GOAL_BY_HAND} of the same job by hand "
        f"(here {ours / by_hand:.2f}, {busy['citywatch'] / busy['hand_loop']:.2f} by processor time): "
        + ("met." if ours >= GOAL_RATE and ours >= GOAL_TIMES * plain and ours >= GOAL_BY_HAND * by_hand else "MISSED."),
    ]
    return Table(
        f"Throughput: {records['citywatch']:,} JSON readings of {logs.sensors:,} sensors{size}; {broker.label}",
        ["contender", "readings/s, median", "min", "max", "× plain Faust", "÷ citywatch", "per processor-second", "µs/reading"],
        rows,
        notes,
        {"rates": rates, "runs": runs, "broker": broker.kind, "paced": not fed},
        {
            "performance-throughput": partial(
                engines, {LABELS[name]: found for name, found in rates.items()}, LABELS["citywatch"]
            )
        },
    )

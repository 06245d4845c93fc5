"""How long an alert takes through the real worker, beside two bare hops on the same broker.

``citywatch worker`` with the rulebook that ships reads 2,000 readings a second; twenty wells a second cross their threshold
and become incidents. An independent consumer of the incident topics takes the time from the arrival of the deciding record
(``updated_ts`` of the opened revision) to when the incident is written in its level's topic, and to when the consumer holds it.
The feeder's records wait 5 ms for company, as with librdkafka's and Java's producers by default; the embedded broker answers
a fetch with one produced batch a partition, so without that it would be asked for each record by itself.
Two relays (consume, produce, nothing between) carry as many records a second from a topic over a second one into a third.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import machine
from benchmarks.city_feed import FEEDING, CityFeed, keep_feeding
from benchmarks.performance_plots import latencies
from benchmarks.servers import Broker
from benchmarks.tables import Table
from streams.embedded.redis import EmbeddedRedis, free_port
from streams.kafka import Producer
from streams.topics import level_topic, topic_name

ROOT = Path(__file__).parents[1]
GOAL_MS = 100.0
#: Categories of incidents that a machine which stops for seconds makes true; any other that was not asked for fails the run.
STUMBLES = frozenset({"device", "platform"})
READY_S = 60.0
#: What librdkafka's and, since 4.0, Java's producers wait unless told otherwise.
LINGER_MS = 5.0
#: The first seconds are not counted: caches are cold and the worker has not frozen its collector.
CALM_S = 5.0


class Beside:
    """A process of :mod:`benchmarks.observer`; :meth:`end` closes its input and returns its lines."""

    def __init__(self, what: str, broker: Broker, core: list[int], topics: list[str]) -> None:
        command = [sys.executable, "-m", "benchmarks.observer", what, "--bootstrap", broker.bootstrap, *topics]
        command += ["--core", str(core[0])] if core else []
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the {what} of {topics} did not start")

    def end(self) -> list[dict[str, Any]]:
        out, _ = self._process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()]

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Running(NamedTuple):
    """A worker that is ready: where it answers, and its process."""

    http: str
    pid: int


@contextlib.contextmanager
def worker(
    broker: Broker, redis: str, core: list[int], folder: Path, ready_s: float = READY_S, settings: str = ""
) -> Iterator[Running]:
    """The real worker on the reader's core, once it is ready; ``settings`` is TOML."""
    port = free_port()
    (folder / "settings.toml").write_text(settings)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CITYWATCH_")} | {
        "CITYWATCH_SETTINGS": str(folder / "settings.toml"),
        "CITYWATCH_BROKER": broker.bootstrap,
        "CITYWATCH_REDIS": redis,
        "CITYWATCH_WEB_PORT": str(port),
        # Broker, feeder and worker share one clock.
        "CITYWATCH_CLOCK_SKEW_S": "0.05",
        "CITYWATCH_LOG_LEVEL": "WARNING",
    }
    log = folder / "worker.log"

    def before() -> None:
        machine.die_with_parent()
        machine.pin(core)

    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "citywatch", "worker"], cwd=ROOT, env=environment, stdout=out, stderr=out,
            preexec_fn=before,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + ready_s
        while not _answers(f"http://127.0.0.1:{port}/readyz"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker was not ready: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
        if process.poll() is not None:
            raise RuntimeError(f"the worker ended: {log.read_text(errors='replace')[-2000:]}")
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _catch_up(http: str, sent: int) -> None:
    """Until a worker that fell behind has decided all that was sent and read its own signals, at most a minute, and a second
    more: late alerts count as such."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{http}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        decided = sum(map(float, re.findall(r'^citywatch_records_total\{.*stream="sensor".*\} ([\d.e+]+)', metrics, re.M)))
        lags = re.findall(r"^citywatch_consumer_lag_records\{.*\} ([\d.e+]+)", metrics, re.M)
        if decided >= sent and not any(map(float, lags)):
            break
        time.sleep(0.2)
    time.sleep(1.0)


def alerts(broker: Broker, core: list[int], *, rate: int, opens: int, seconds: float) -> dict[str, Any]:
    """Latencies in ms of every opened incident, and what the worker's own histogram says."""
    feed = CityFeed(rate, opens, seconds, CALM_S if seconds > 2 * CALM_S else 1.0)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        producer = stack.enter_context(Producer(broker.bootstrap, linger_ms=LINGER_MS, config=FEEDING))
        feed.send_registry(producer, topic_name("registry"))
        http = stack.enter_context(worker(broker, redis.url, core, folder)).http
        watcher = Beside("watch", broker, [], [level_topic(level) for level in (1, 2, 3, 4)])
        stack.callback(watcher.kill)
        stop = threading.Event()
        stack.callback(stop.set)
        keep_feeding(feed, producer, topic_name("sensor.readings"), stop).join()
        _catch_up(http, feed.sent)
        with urllib.request.urlopen(f"{http}/metrics", timeout=5) as answer:
            own = histogram(answer.read().decode())
        seen = watcher.end()
    told = [row for row in seen if row["value"] is not None and row["value"]["event"] == "opened"]
    opened = [row for row in told if row["value"]["category"] not in STUMBLES]
    besides = Counter(row["value"]["rule"]["name"] for row in told if row["value"]["category"] in STUMBLES)
    return {
        "written": [row["log"] - row["value"]["updated_ts"] for row in opened],
        "seen": [row["seen"] - row["value"]["updated_ts"] for row in opened],
        "arrived": [row["value"]["updated_ts"] for row in opened],
        "stages": [row["stages"] for row in opened],
        "opened": len({row["value"]["incident_id"] for row in opened}),
        "decided": feed.decided,
        "besides": dict(besides),
        "sent": feed.sent,
        "feeder_late_ms": feed.late_s * 1000,
        "worker_histogram": own,
    }


def hops(broker: Broker, core: list[int], *, rate: int, seconds: float) -> dict[str, Any]:
    """Latencies in ms of records relayed twice at the same rate."""
    topics = [f"bench.hop.{time.time_ns()}.{n}" for n in range(3)]
    for topic in topics:
        broker.topic(topic, message_timestamp_type="LogAppendTime")
    feed = CityFeed(rate, 0, seconds, 0.0)
    with contextlib.ExitStack() as stack:
        relays = [Beside("relay", broker, core, topics[:2]), Beside("relay", broker, core, topics[1:])]
        watcher = Beside("watch", broker, [], topics[2:])
        for process in (*relays, watcher):
            stack.callback(process.kill)
        producer = stack.enter_context(Producer(broker.bootstrap, linger_ms=LINGER_MS, config=FEEDING))
        stop = threading.Event()
        stack.callback(stop.set)
        keep_feeding(feed, producer, topics[0], stop).join()
        time.sleep(0.5)
        for process in relays:
            process.end()
        seen = watcher.end()
    # As with alerts, the first seconds are not counted: connections are made and leaders asked for.
    began = min((row["at"] for row in seen), default=0) + min(CALM_S, seconds / 2) * 1_000
    late = [row for row in seen if row["at"] >= began]
    return {
        "written": [row["log"] - row["at"] for row in late],
        "seen": [row["seen"] - row["at"] for row in late],
        "relayed": len(seen),
        "sent": feed.sent,
        "feeder_late_ms": feed.late_s * 1000,
    }


def histogram(exposition: str) -> dict[str, float]:
    """Upper bound (s) → share of alerts, over all levels of the worker's own ``citywatch_alert_latency_seconds``."""
    counts: dict[str, float] = {}
    for bound, count in re.findall(r'^citywatch_alert_latency_seconds_bucket\{.*le="([^"]+)".*\} ([\d.e+]+)', exposition, re.M):
        counts[bound] = counts.get(bound, 0.0) + float(count)
    total = counts.get("+Inf", 0.0)
    return {bound: count / total for bound, count in counts.items()} if total else {}


def within(own: dict[str, float], share: float) -> str:
    """The smallest bucket that holds this share of the alerts, as text in ms."""
    bounds = [float(bound) for bound, held in own.items() if bound != "+Inf" and held >= share]
    return f"≤ {min(bounds) * 1000:g}" if bounds else "–"


def together(histograms: list[dict[str, float]]) -> dict[str, float]:
    """Of rounds that had as many alerts each.

    >>> together([{"0.1": 0.5, "+Inf": 1.0}, {"0.1": 1.0, "+Inf": 1.0}])
    {'0.1': 0.75, '+Inf': 1.0}
    """
    return {bound: statistics.mean(one.get(bound, 0.0) for one in histograms) for bound in histograms[0]}


def cells(rounds: list[list[float]]) -> list[str]:
    """Percentiles by round, of which the median counts; lowest and highest p99 of a round; the slowest thousandth and the worst
    of all rounds, and how many."""
    by_round = np.array([np.percentile(np.array(values, dtype=np.float64), (50, 90, 99)) for values in rounds])
    everyone = np.concatenate([np.array(values, dtype=np.float64) for values in rounds])
    found = [*np.median(by_round, axis=0), by_round[:, 2].min(), by_round[:, 2].max()]
    found += [np.percentile(everyone, 99.9), everyone.max()]
    return [*(f"{value:,.0f}" for value in found), f"{sum(map(len, rounds)):,}"]


def one_round(make: Callable[[], Broker], core: list[int], *, rate: int, opens: int, seconds: float) -> dict[str, Any]:
    """Alerts, then bare hops, on a broker that was started for them and has nothing else to do."""
    before = machine.times()
    with make() as broker:
        ours = alerts(broker, core, rate=rate, opens=opens, seconds=seconds)
        if ours["opened"] != ours["decided"]:
            raise RuntimeError(f"{broker.label}: {ours['decided']} wells crossed, {ours['opened']} incidents were opened")
        bare = hops(broker, core, rate=rate, seconds=seconds)
        if bare["relayed"] != bare["sent"]:
            raise RuntimeError(f"{broker.label}: {bare['relayed']} of {bare['sent']} records passed both relays")
        return {
            "kind": broker.kind,
            "label": broker.label,
            "alerts": ours,
            "hops": bare,
            "taken_away": machine.taken_away(before, machine.times()),
        }


def measure(
    brokers: list[Callable[[], Broker]],
    core: list[int],
    *,
    rate: int,
    opens: int,
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> Table:
    """The table of latencies: rounds of ``seconds`` on one broker after the other."""
    figures: dict[str, list[dict[str, Any]]] = {}
    for number in range(rounds):
        for make in brokers:
            found = one_round(make, core, rate=rate, opens=opens, seconds=seconds)
            figures.setdefault(found["kind"], []).append(found)
            tell(
                f"round {number + 1}/{rounds} {found['label']}: alerts p99 {_p99(found, 'alerts'):.0f} ms, "
                f"two bare hops p99 {_p99(found, 'hops'):.0f} ms, {found['taken_away']:.1%} of the processors taken away"
            )
    rows = [row for kind, of_kind in figures.items() for row in _rows(kind, of_kind)]
    notes = [note for of_kind in figures.values() for note in _notes(of_kind)]
    notes.append(
        "Written: on Apache Kafka the log's own time of the record, on the embedded broker the producer's, before the "
        "acknowledgement. Seen is later than the acknowledgement by one fetch, so it bounds it from above, and by what the "
        "consumer, a Python loop that takes record by record, is behind: of bare hops it sees every record."
    )
    paths = {
        f"{kind}: {what}, seen by a consumer": [ms for one in of_kind for ms in one[part]["seen"]]
        for kind, of_kind in figures.items()
        for part, what in (("alerts", "alert"), ("hops", "two bare hops"))
    }
    return Table(
        f"Alert latency at {rate:,} readings/s, {opens} incidents/s, {rounds} rounds of {seconds:g} s; milliseconds",
        ["path", "p50", "p90", "p99", "p99 min", "p99 max", "p99.9", "max", "n"],
        rows,
        notes,
        figures,
        {f"performance-latency-{rate}": partial(latencies, paths)},
    )


def _p99(found: dict[str, Any], part: str) -> float:
    return float(np.percentile(found[part]["seen"], 99))


def _rows(kind: str, found: list[dict[str, Any]]) -> list[list[str]]:
    own = together([one["alerts"]["worker_histogram"] for one in found])
    shares = [within(own, share) for share in (0.5, 0.9, 0.99)]
    return [
        [f"{kind}: alert, seen by a consumer", *cells([one["alerts"]["seen"] for one in found])],
        [f"{kind}: alert, written in its topic", *cells([one["alerts"]["written"] for one in found])],
        [
            f"{kind}: alert, acknowledged (worker's own histogram, all rounds)",
            *shares,
            "",
            "",
            within(own, 0.999),
            within(own, 1.0),
            "all",
        ],
        [f"{kind}: two bare hops, seen by a consumer", *cells([one["hops"]["seen"] for one in found])],
        [f"{kind}: two bare hops, written in the last topic", *cells([one["hops"]["written"] for one in found])],
    ]


def _notes(found: list[dict[str, Any]]) -> list[str]:
    label = found[0]["label"]
    decided, opened = (sum(one["alerts"][name] for one in found) for name in ("decided", "opened"))
    late = max(one[part]["feeder_late_ms"] for one in found for part in ("alerts", "hops"))
    away = ", ".join(f"{one['taken_away']:.1%}" for one in found)
    notes = [
        f"{label}: {decided:,} wells crossed their threshold twice, {opened:,} incidents were opened for them; the feeder was "
        f"at most {late:.0f} ms late. Of the processors' time the machine's host gave to others, by round: {away}."
    ]
    besides: Counter[str] = sum((Counter(one["alerts"]["besides"]) for one in found), Counter())
    if besides:
        names = ", ".join(f"{count} {name}" for name, count in sorted(besides.items()))
        notes.append(f"{label}: besides, the machine stumbled: {names}.")
    if found[0]["kind"] == "embedded":
        p99 = float(np.median([_p99(one, "alerts") for one in found]))
        verdict = "met" if p99 < GOAL_MS else "MISSED"
        notes.append(
            f"Goal: p99 below {GOAL_MS:.0f} ms on the embedded broker, seen by a consumer, median of the rounds: {verdict}."
        )
    return notes

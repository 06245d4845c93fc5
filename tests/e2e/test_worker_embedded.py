"""The real ``citywatch worker`` in a process of its own, on the embedded broker and Redis: readings in, incidents out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from streams.embedded.broker import EmbeddedBroker
from streams.embedded.redis import EmbeddedRedis, free_port
from streams.kafka import LogReader, Producer
from streams.topics import partition_counts

RULES = Path(__file__).parents[1] / "topologies" / "worker_rules"
ROOT = Path(__file__).parents[2]
WITHIN_S = 30.0


class Town:
    """A broker, a Redis, and workers that come and go."""

    def __init__(self, folder: Path, broker: Any = None) -> None:
        self.broker = broker or EmbeddedBroker()
        self.redis = EmbeddedRedis(folder / "redis")
        self.producer = Producer(self.broker.bootstrap)
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self.rebuild_from: str | None = None
        self.prefix = "city."

    def start(self, ready: bool = True, **settings: str) -> subprocess.Popen[bytes]:
        self.port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CITYWATCH_")} | {
            "CITYWATCH_BROKER": self.broker.bootstrap,
            "CITYWATCH_REDIS": self.redis.url,
            "CITYWATCH_WEB_PORT": str(self.port),
            "CITYWATCH_RULES": str(RULES),
            "CITYWATCH_CHECKPOINT_EVERY_S": "0.5",
            "CITYWATCH_CLOCK_SKEW_S": "0.05",
            # The embedded broker makes whoever joins after somebody left wait this long, less a second.
            "CITYWATCH_SESSION_TIMEOUT_S": "2",
            "CITYWATCH_LOG_LEVEL": "WARNING",
            **settings,
        }
        rebuild = ["--rebuild-from", self.rebuild_from] if self.rebuild_from else []
        log = (self.folder / "worker.log").open("ab")
        worker = subprocess.Popen(
            [sys.executable, "-m", "citywatch", "worker", *rebuild], env=environment, cwd=ROOT, stderr=log, stdout=log
        )
        log.close()
        self.workers.append(worker)
        if ready:
            self.wait(lambda: self.get("/readyz")[0] == 200 or worker.poll() is not None)
            assert worker.poll() is None, self.words()
        return worker

    def words(self) -> str:
        return (self.folder / "worker.log").read_text()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait(self, holds) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain\n{self.words()}"
            time.sleep(0.05)

    def read(self, *values: float, sensor: str = "GAS-1") -> None:
        """Readings of one methane sensor, a moment apart."""
        for value in values:
            ts = int(time.time() * 1000)
            record = {"sensor_id": sensor, "ts": ts, "metric": "ch4", "value": value, "unit": "%LEL", "lat": 31.8, "lon": 117.2}
            self.producer.send(self.prefix + "sensor.readings", json.dumps(record).encode(), sensor)
            self.producer.flush_acknowledged(5)
            time.sleep(0.02)

    def incidents(self, topic: str = "city.incidents") -> dict[tuple[str, int], set[bytes]]:
        """Every body seen of every (id, revision)."""
        found: dict[tuple[str, int], set[bytes]] = defaultdict(set)
        with LogReader(self.broker.bootstrap, [topic]) as reader:
            for record in reader.read_to_end():
                assert record.value is not None
                tree = json.loads(record.value)
                found[tree["incident_id"], tree["revision"]].add(record.value)
        return found

    def signals(self) -> bytes:
        """Every value of ``city.signals``, one after the other."""
        with LogReader(self.broker.bootstrap, ["city.signals"]) as reader:
            return b"\n".join(record.value or b"" for record in reader.read_to_end())

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait(10)
        self.producer.close()
        self.redis.close()
        self.broker.close()


@pytest.fixture
def town(tmp_path):
    found = Town(tmp_path)
    yield found
    found.close()


def test_a_reading_becomes_an_incident_in_its_topics_and_the_worker_tells_the_truth_about_itself(town):
    worker = town.start()
    town.read(1.0, 1.0, 25.0)
    town.wait(lambda: town.incidents("city.incidents.level2"))
    town.read(60.0)
    town.wait(lambda: town.incidents("city.incidents.level1"))
    town.wait(
        lambda: any(b'"moved_to":1' in body for bodies in town.incidents("city.incidents.level2").values() for body in bodies)
    )

    assert len({key for key, _ in town.incidents()}) == 1
    assert town.get("/healthz")[0] == 200
    (shown,) = json.loads(town.get("/incidents")[1])
    assert (shown["level"], shown["status"]) == (1, "open")
    metrics = town.get("/metrics")[1]
    assert 'citywatch_records_total{outcome="processed",stream="sensor"} 4.0' in metrics
    assert 'citywatch_incidents_open{category="gas",level="1"} 1.0' in metrics
    assert metrics.endswith("# EOF\n")

    children = psutil.Process(worker.pid).children(recursive=True)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0, town.words()
    assert [child for child in children if child.is_running()] == []


def test_a_restart_goes_on_without_a_second_id_or_body(town):
    worker = town.start()
    town.read(1.0, 25.0)
    town.wait(lambda: town.incidents())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0, town.words()
    town.read(60.0)

    town.start()
    town.wait(lambda: town.incidents("city.incidents.level1"))
    found = town.incidents()
    assert len({key for key, _ in found}) == 1
    assert [len(bodies) for bodies in found.values()] == [1] * len(found)


@pytest.mark.parametrize(
    "point",
    [
        "before_produce:2",
        "after_produce:2",
        "after_broker_ack:2",
        "after_checkpoint:4",
        pytest.param("before_outbox_step:2", marks=pytest.mark.slow),
        "outbox_step:2",
        pytest.param("before_checkpoint:4", marks=pytest.mark.slow),
        pytest.param("after_ack:2", marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_a_named_point_loses_nothing_and_makes_nothing_twice(town, point):
    worker = town.start(CITYWATCH_CRASH_AT=point)
    for value in (1.0, 25.0, 25.0, 60.0):
        town.read(value)
        time.sleep(0.2)
    town.wait(lambda: worker.poll() is not None)
    assert worker.returncode == -signal.SIGKILL, town.words()

    town.start()
    town.wait(lambda: town.incidents("city.incidents.level1"))
    found = town.incidents()
    assert len({key for key, _ in found}) == 1
    assert [len(bodies) for bodies in found.values()] == [1] * len(found)
    revisions = sorted(revision for _, revision in found)
    assert revisions == list(range(1, len(revisions) + 1))


def test_feedback_and_mutes_reach_the_incident_stage_in_its_own_order(town):
    town.start()
    mute = {
        "mute_id": "m1",
        "kind": "silence",
        "matchers": {"entity": "GAS-2"},
        "from": 0,
        "to": 4_000_000_000_000,
        "author": "test",
    }
    town.producer.send("city.mutes", json.dumps(mute).encode(), "m1")
    town.producer.flush_acknowledged(5)
    town.wait(lambda: "citywatch_checkpoint_age_seconds" in town.get("/metrics")[1])
    time.sleep(0.5)
    town.read(1.0, 60.0, sensor="GAS-2")
    town.read(1.0, 25.0, sensor="GAS-1")
    town.wait(lambda: town.incidents())
    ((incident_id, _),) = list(town.incidents())[:1]
    feedback = {"incident_id": incident_id, "action": "acknowledge", "by": "test", "ts": int(time.time() * 1000)}
    town.producer.send("city.feedback", json.dumps(feedback).encode(), incident_id)
    town.producer.flush_acknowledged(5)
    town.wait(lambda: any(b'"acknowledged"' in body for bodies in town.incidents().values() for body in bodies))
    assert len({key for key, _ in town.incidents()}) == 1
    assert 'citywatch_muted_total{reason="silence"}' in town.get("/metrics")[1]


def test_a_lost_store_of_checkpoints_is_refused_with_the_way_out(town):
    worker = town.start()
    town.read(1.0, 25.0)
    town.wait(lambda: town.incidents())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    again = town.start(ready=False, CITYWATCH_NAMESPACE="another")
    assert again.wait(WITHIN_S) == 2
    assert "--rebuild-from" in town.words().splitlines()[-1]


def test_a_store_that_is_away_stops_no_incident_and_loses_nothing(town):
    worker = town.start()
    town.read(1.0)
    town.wait(lambda: 'outcome="processed",stream="sensor"} 1.0' in town.get("/metrics")[1])
    os.kill(town.redis.pid, signal.SIGSTOP)
    try:
        town.read(25.0)
        town.wait(lambda: town.incidents())
        town.wait(lambda: 'citywatch_checkpoint_failures_total{reason="away"} 0.0' not in town.get("/metrics")[1])
    finally:
        os.kill(town.redis.pid, signal.SIGCONT)
    worker.kill()
    worker.wait(10)
    town.start()
    town.read(60.0)
    town.wait(lambda: town.incidents("city.incidents.level1"))
    found = town.incidents()
    assert len({key for key, _ in found}) == 1
    assert [len(bodies) for bodies in found.values()] == [1] * len(found)


def test_rules_and_registry_switch_while_running_and_a_wrong_rule_changes_nothing(town):
    rules = town.folder / "rules"
    shutil.copytree(RULES, rules)
    worker = town.start(CITYWATCH_RULES=str(rules), CITYWATCH_REGISTRY_SETTLE_S="0.1")
    town.read(1.0, 15.0)

    (rules / "methane.toml").write_text((RULES / "methane.toml").read_text().replace("raise = 20.0", "raise = 'high'"))
    worker.send_signal(signal.SIGHUP)
    town.wait(lambda: "citywatch_rules_last_reload_successful 0.0" in town.get("/metrics")[1])
    assert worker.poll() is None

    text = (RULES / "methane.toml").read_text()
    for old, new in (("raise = 20.0", "raise = 12.0"), ("[1, 25.0]", "[1, 13.0]"), ("[1, 15.0]", "[1, 11.0]")):
        text = text.replace(old, new)
    (rules / "methane.toml").write_text(text)
    worker.send_signal(signal.SIGHUP)
    town.wait(lambda: "citywatch_rules_last_reload_successful 1.0" in town.get("/metrics")[1])
    town.wait(lambda: b'"control":"rules"' in town.signals())

    asset = {"asset_id": "GAS-1", "kind": "sensor", "periods": [{"from": 0, "city": "340200", "lat": 31.8, "lon": 117.2}]}
    town.producer.send("city.registry", json.dumps(asset).encode(), "GAS-1")
    town.producer.flush_acknowledged(5)
    town.wait(lambda: b'"control":"registry"' in town.signals())
    town.read(1.0, 15.0)
    town.wait(lambda: town.incidents())
    assert {key[:6] for key, _ in town.incidents()} == {"340200"}


# --- what is not there yet


def test_a_worker_waits_for_topics_and_says_so(tmp_path):
    with contextlib.closing(Town(tmp_path, EmbeddedBroker({}))) as town:
        town.start(ready=False)
        town.wait(lambda: "there is no topic 'city." in town.get("/readyz")[1])
        assert town.get("/readyz")[0] == 503 and town.get("/healthz")[0] == 200
        assert "run `citywatch topics create` (waiting for 120 s more at most)" in town.words()
        for name, count in partition_counts().items():
            town.broker.create_topic(name, count)
        town.wait(lambda: town.get("/readyz")[0] == 200)


def test_a_worker_that_waits_for_its_broker_is_stopped_in_order(tmp_path):
    with contextlib.closing(Town(tmp_path)) as town:
        worker = town.start(ready=False, CITYWATCH_BROKER="127.0.0.1:1", CITYWATCH_BROKER_TIMEOUT_S="0")
        town.wait(lambda: "127.0.0.1:1: no Kafka broker answers" in town.get("/readyz")[1])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0


def test_a_broker_that_does_not_come_ends_the_worker_with_the_mend(tmp_path):
    with contextlib.closing(Town(tmp_path)) as town:
        worker = town.start(ready=False, CITYWATCH_BROKER="127.0.0.1:1", CITYWATCH_BROKER_TIMEOUT_S="1")
        assert worker.wait(WITHIN_S) == 2
        assert town.words().rstrip().endswith("start one, or mend CITYWATCH_BROKER; `citywatch demo` needs none")

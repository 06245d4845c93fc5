"""One scenario, once: fresh topics, a seeded city fed live, the fault, the recovery, the comparison.

The group left in peace begins when the fault is over and reads the same log from its beginning: a fault of the broker cannot
touch it, and on a small machine it takes nothing from the struck one.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from replay.feeder import send_registry
from streams.embedded.redis import EmbeddedRedis
from streams.kafka import Producer
from streams.topics import topic_name
from tests.e2e.apache_kafka import ApacheKafka
from tests.e2e.faults import needs
from tests.e2e.faults.judge import Marks, Verdict, compare, heads_that_fell
from tests.e2e.faults.patient import LabRedis, Patient
from tests.e2e.faults.scenarios import Scenario
from tests.e2e.mirrored_logs import PROGRESS_MS, Told, feed_all, make_topics, settled
from tests.e2e.test_kill_nine import small_city
from tests.e2e.worker_group import ROOT, WorkerGroup

#: Of the city; what is drawn anew each time is the fault.
CITY_SEED, EVERY_S = 20_261_123, 0.6
#: Hazards that have begun before a feed ends: fewer would compare next to nothing.
BEGUN = 60
RULES = ROOT / "detectors" / "rules"


@dataclass
class Outcome:
    scenario: str
    seed: int
    records: int
    verdict: Verdict
    recovery_s: float
    proof: str

    @property
    def passed(self) -> bool:
        return self.verdict.clean and self.verdict.expected > 0

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


class Lab:
    """A broker of ``nodes`` nodes, kept for scenarios that follow each other."""

    def __init__(self, nodes: int, folder: Path) -> None:
        self.folder = folder
        self.kafka = ApacheKafka(nodes)
        self._copies = ["--replication", "3"] if nodes >= 3 else []

    def close(self) -> None:
        self.kafka.close()

    def run(self, scenario: Scenario, seed: int) -> Outcome:
        folder = self.folder / f"{scenario.name}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            return self._run(scenario, seed, folder, stack)

    def _run(self, scenario: Scenario, seed: int, folder: Path, stack: contextlib.ExitStack) -> Outcome:
        broker = self.kafka.bootstrap
        stamp = f"f{time.time_ns() // 1_000_000 % 10**9}"
        redis = self._redis(scenario, folder, stack)
        calm_redis = stack.enter_context(EmbeddedRedis(folder / "calm-redis"))
        settings = self._settings(scenario, folder)
        struck = WorkerGroup(broker, redis.url, f"{stamp}-struck.", folder, scenario.module, settings)
        calm = WorkerGroup(broker, calm_redis.url, f"{stamp}-calm.", folder)
        stack.callback(calm.close)
        stack.callback(struck.close)
        producer = stack.enter_context(Producer(broker))
        patient = Patient(struck, redis, self.kafka, random.Random(seed), folder, scenario.workers, producer)
        groups = [struck, calm] if scenario.judged == "calm" else [struck]
        prefixes = [group.prefix for group in groups]
        city = small_city(CITY_SEED, EVERY_S)
        for prefix in prefixes:
            make_topics(broker, prefix, stamped_by_producer=True, more=self._copies)
            send_registry(producer, city.registry, prefix)
        if scenario.running:
            patient.start(*range(scenario.workers))
        city = small_city(CITY_SEED, EVERY_S)
        stop = threading.Event()
        stack.callback(stop.set)
        fed: list[tuple[int, int]] = []

        def feed() -> None:
            fed.append(feed_all(producer, city.stream(), prefixes, stop, patient.turn))

        feeder = threading.Thread(target=feed, name="feeder", daemon=True)
        feeder.start()
        watched = not scenario.set_back and settings.get("CITYWATCH_CHECKPOINT_STORE") != "topic"
        marks = Marks(redis.url, struck.name)
        if watched:
            marks.start()
        time.sleep(patient.rng.uniform(4.0, 8.0))

        began = time.monotonic()
        proof = scenario.injure(patient)
        patient.until(patient.caught_up, "everything is read again")
        recovery_s = time.monotonic() - began

        if scenario.judged == "calm":
            calm.start(0)
            calm.await_ready(0)
        while sum(row["from_ts"] <= time.time() * 1000 for row in city.truth) < BEGUN:
            time.sleep(0.1)
        assert feeder.is_alive(), "the feed ended before the fault was over"
        time.sleep(PROGRESS_MS / 1000)
        stop.set()
        feeder.join(60)
        ((records, last),) = fed
        horizon = last // PROGRESS_MS * PROGRESS_MS
        told = self._told(prefixes, horizon, groups)
        fell = marks.close() if watched else []
        if settings.get("CITYWATCH_CHECKPOINT_STORE") == "topic":
            fell = heads_that_fell(broker, topic_name("checkpoints", struck.prefix), struck.name)
        if scenario.judged == "calm":
            verdict = compare(told[calm.prefix], told[struck.prefix], horizon)
        else:
            verdict = self._verified(struck, told[struck.prefix], folder)
        verdict.went_back = len(fell)
        verdict.details += fell
        if watched:
            assert marks.looks > 100, "nobody watched the checkpoints"
        return Outcome(scenario.name, seed, records, verdict, recovery_s, proof)

    # --- parts ------------------------------------------------------------------------------------------------------------

    def _redis(self, scenario: Scenario, folder: Path, stack: contextlib.ExitStack) -> LabRedis:
        place = folder / "redis"
        if "tmpfs" in scenario.needs:
            needs.mounted(place, 24)
            stack.callback(needs.unmount, place)
        redis = LabRedis(place)
        stack.callback(redis.close)
        return redis

    def _settings(self, scenario: Scenario, folder: Path) -> dict[str, str]:
        settings = dict(scenario.settings)
        if scenario.judged == "verify":
            for name in ("rules", "rules-before"):
                shutil.copytree(RULES, folder / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            settings["CITYWATCH_RULES"] = str(folder / "rules")
        if scenario.module.endswith("stepped_worker"):
            clock = folder / "clock"
            clock.write_text("0")
            settings["CITYWATCH_CLOCK_FILE"] = str(clock)
        return settings

    def _told(self, prefixes: list[str], horizon: int, groups: list[WorkerGroup]) -> dict[str, Told]:
        try:
            return settled(self.kafka.bootstrap, prefixes, horizon)
        except AssertionError as failure:
            states = [f"{group.name} {slot}: {group.state(slot)}" for group in groups for slot in group.processes]
            raise AssertionError("\n".join([str(failure), *states, *(group.words() for group in groups)])) from None

    def _verified(self, struck: WorkerGroup, told: Told, folder: Path) -> Verdict:
        """Record the log with the commands, and decide it again with the rules from before and after."""
        bag = folder / "struck.bag"
        environment = struck.environment(0)
        before, after = str(folder / "rules-before"), struck.settings["CITYWATCH_RULES"]

        def command(*words: str) -> str:
            run = subprocess.run(
                [sys.executable, "-m", "citywatch", "replay", *words], env=environment, cwd=ROOT, capture_output=True, text=True
            )
            assert run.returncode in (0, 1), run.stderr[-2000:]
            return run.stdout

        command("record", str(bag), "--broker", self.kafka.bootstrap)
        answer = json.loads(command("verify", str(bag), "--json", "--rules", before, "--rules", after))
        found = answer["differences"]
        verdict = Verdict(expected=answer["incidents"], details=[*map(str, found), *told.conflicts])
        verdict.missing = sum(one["kind"] == "missing" for one in found)
        verdict.second_ids = sum(one["kind"] == "extra" for one in found)
        verdict.second_bodies = len(told.conflicts) + sum(one["kind"] == "different" for one in found)
        return verdict

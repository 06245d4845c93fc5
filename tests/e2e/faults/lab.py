"""One scenario, or several one after the other: fresh topics, a seeded city fed live, faults and recoveries, the comparison.

The group left in peace begins when all is over and reads a copy of the log from its beginning: a fault of the broker cannot
touch it, and on a small machine it takes nothing from the struck one. So the struck log bears the broker's time, as in a city.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from replay.feeder import send_registry
from streams.embedded.redis import EmbeddedRedis
from streams.topics import topic_name
from tests.e2e.apache_kafka import ApacheKafka
from tests.e2e.faults import needs
from tests.e2e.faults.injuries import rules
from tests.e2e.faults.judge import Marks, Verdict, compare, heads_that_fell
from tests.e2e.faults.patient import LabRedis, Patient, Sender
from tests.e2e.faults.scenarios import Chain
from tests.e2e.faults.wire import Wire
from tests.e2e.mirrored_logs import PROGRESS_MS, Told, copy_inputs, feed_all, make_topics, settled
from tests.e2e.test_kill_nine import small_city
from tests.e2e.worker_group import ROOT, UNHURRIED, WorkerGroup

#: Of the city; what is drawn anew each time is the fault.
CITY_SEED = 20_261_123
RULES = ROOT / "detectors" / "rules"


@dataclass(frozen=True)
class Pace:
    """``every_s``: between hazards. ``begun``: so many before a feed ends, for fewer would compare next to nothing.
    ``before_s``: of peace before each fault, drawn. ``sensors``: most of the records a second are theirs. ``room_mb``: of
    the small disk."""

    every_s: float = 0.6
    begun: int = 60
    before_s: tuple[float, float] = (4.0, 8.0)
    sensors: int = 900
    room_mb: int = 24


#: Of a fault that is run alone.
ALONE = Pace()
#: For faults that follow each other for minutes. A hundred records a second keep a slow core busy by themselves; and in minutes
#: the append-only file of checkpoints grows to twice the 64 MB at which Redis first writes it anew.
CHAINED = Pace(every_s=1.5, begun=30, before_s=(1.5, 3.0), sensors=300, room_mb=512)
#: In ``make test``: as many hazards, but sooner; most rows are over before thirty have begun.
ONCE = replace(CHAINED, every_s=1.0)


@dataclass
class Struck:
    """What one fault of a chain did, and how long it took to be over."""

    scenario: str
    proof: str
    recovery_s: float


@dataclass
class Outcome:
    """Of a chain of faults, or of one alone: judged once, at the end."""

    seed: int
    records: int
    verdict: Verdict
    struck: list[Struck]
    #: Rules were read again in the middle of each fault.
    reloaded: bool = False

    @property
    def passed(self) -> bool:
        return self.verdict.clean and self.verdict.expected > 0

    def facts(self) -> dict[str, Any]:
        return asdict(self)


class Lab:
    """A broker of ``nodes`` nodes, kept for scenarios that follow each other."""

    def __init__(self, nodes: int, folder: Path) -> None:
        self.folder = folder
        self.kafka = ApacheKafka(nodes)
        self.wire = Wire(self.kafka.wired)
        self._copies = ["--replication", "3"] if nodes >= 3 else []

    def close(self) -> None:
        self.wire.close()
        self.kafka.close()

    def run(self, chain: Chain, seed: int, pace: Pace = CHAINED) -> Outcome:
        """With an odd seed rules change in the middle of each fault; then the recorded log is decided again to judge, and what
        is about a rebuild is left out (by other rules it tells other things, as it must)."""
        again = chain.with_rules_read_again() if seed % 2 else None
        chain = again or chain
        folder = self.folder / f"{chain.links[0].name}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            return self._run(chain, seed, pace, again is not None, folder, stack)

    def _run(self, chain: Chain, seed: int, pace: Pace, reload: bool, folder: Path, stack: contextlib.ExitStack) -> Outcome:
        broker = self.kafka.bootstrap
        judged = "verify" if reload else chain.judged
        stamp = f"f{time.time_ns() // 1_000_000 % 10**9}"
        redis = self._redis(chain, pace, folder, stack)
        calm_redis = stack.enter_context(EmbeddedRedis(folder / "calm-redis"))
        settings = self._settings(chain, judged, folder)
        struck = WorkerGroup(
            self.wire.bootstrap if chain.wired else broker, redis.url, f"{stamp}-struck.", folder, chain.module, settings
        )
        calm = WorkerGroup(broker, calm_redis.url, f"{stamp}-calm.", folder, settings=dict(UNHURRIED))
        stack.callback(calm.close)
        stack.callback(struck.close)
        producer = stack.enter_context(contextlib.closing(Sender(broker)))
        groups = [struck, calm] if judged == "calm" else [struck]
        prefixes = [group.prefix for group in groups]
        workers, unread = chain.links[0].workers, pace.sensors / 3
        patient = Patient(
            struck, redis, self.kafka, random.Random(seed), folder, workers, producer, prefixes, self.wire, unread=unread
        )
        city = small_city(CITY_SEED, pace.every_s, pace.sensors)
        for prefix in prefixes:
            make_topics(broker, prefix, stamped_by_producer=prefix == calm.prefix, more=self._copies)
            send_registry(producer, city.registry, prefix)
        if chain.links[0].running:
            patient.muster(chain.links[0].workers)
        city = small_city(CITY_SEED, pace.every_s, pace.sensors)
        stop = threading.Event()
        stack.callback(stop.set)
        fed: list[tuple[int, int]] = []

        def feed() -> None:
            fed.append(feed_all(producer, city.stream(), [struck.prefix], stop, patient.turn))

        feeder = threading.Thread(target=feed, name="feeder", daemon=True)
        feeder.start()
        in_topic = settings.get("CITYWATCH_CHECKPOINT_STORE") == "topic"
        marks = Marks(redis.url, struck.name)
        done, fell = self._strike(chain, patient, pace, None if in_topic else marks, reload)

        while sum(row["from_ts"] <= time.time() * 1000 for row in city.truth) < pace.begun:
            time.sleep(0.1)
        assert feeder.is_alive(), "the feed ended before the fault was over"
        time.sleep(PROGRESS_MS / 1000)
        stop.set()
        feeder.join(60)
        ((records, last),) = fed
        if judged == "calm":
            copy_inputs(broker, struck.prefix, calm.prefix)
            calm.start(0)
            calm.await_ready(0)
        horizon = last // PROGRESS_MS * PROGRESS_MS
        told = self._told(prefixes, horizon, groups)
        if marks.is_alive():
            fell = self._watched(marks)
        if in_topic:
            fell = heads_that_fell(broker, topic_name("checkpoints", struck.prefix), struck.name)
        if judged == "calm":
            verdict = compare(told[calm.prefix], told[struck.prefix], horizon)
        else:
            verdict = self._verified(struck, told[struck.prefix], folder)
        verdict.went_back = len(fell)
        verdict.details += fell
        return Outcome(seed, records, verdict, done, reload)

    def _strike(
        self, chain: Chain, patient: Patient, pace: Pace, marks: Marks | None, reload: bool
    ) -> tuple[list[Struck], list[str]]:
        """One fault after the other. The checkpoints are watched until one of them sets the store back: what fell till then."""
        done: list[Struck] = []
        fell: list[str] = []
        for number, link in enumerate(chain.links):
            patient.workers = link.workers
            if number and link.running:
                patient.muster(link.workers)
            if marks is not None and link.set_back and marks.is_alive():
                fell = self._watched(marks)
            elif marks is not None and not number and not link.set_back:
                marks.start()
            time.sleep(patient.rng.uniform(*pace.before_s))
            began = time.monotonic()
            meanwhile = rules.Reload(patient) if reload else None
            proof = link.injure(patient)
            if meanwhile is not None:
                proof += meanwhile.over()
            patient.until(patient.caught_up, "everything is read again")
            done.append(Struck(link.name, proof, time.monotonic() - began))
        return done, fell

    @staticmethod
    def _watched(marks: Marks) -> list[str]:
        fell = marks.close()
        assert marks.looks > 100, "nobody watched the checkpoints"
        return fell

    # --- parts ------------------------------------------------------------------------------------------------------------

    def _redis(self, chain: Chain, pace: Pace, folder: Path, stack: contextlib.ExitStack) -> LabRedis:
        place = folder / "redis"
        if chain.confined:
            needs.mounted(place, pace.room_mb)
            stack.callback(needs.unmount, place)
        redis = LabRedis(place)
        stack.callback(redis.close)
        return redis

    def _settings(self, chain: Chain, judged: str, folder: Path) -> dict[str, str]:
        settings = {**UNHURRIED, **chain.settings}
        if judged == "verify":
            rules.rule_sets(folder, RULES)
            settings["CITYWATCH_RULES"] = str(folder / "rules")
        if chain.module.endswith("stepped_worker"):
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
        before, after = str(folder / "rules-before"), str(folder / "rules-after")

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

"""The harm, and the proof that it was done: each call strikes a patient and returns what its logs and exit codes say of it.

A fault that left no trace raises AssertionError: a run in which nothing happened proves nothing.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient

from detectors.families import FAMILIES_FILE
from replay.bag import Bag
from replay.opening import open_recording
from streams.topics import BY_STREAM, topic_name
from tests.e2e.faults import needs
from tests.e2e.faults.patient import Patient
from tests.e2e.worker_group import PASSES, ROOT
from topologies.crash_points import POINTS, SWITCH_POINT
from topologies.worker import EXIT_OUTPUTS, EXIT_WATCHDOG

#: Sessions of the lab's workers last three seconds.
SESSION_S = 3.0
_MORE_PARTITIONS = 6
_LATER = "resolve_after_s = 303.0"


# --- workers


def kill_at_point(patient: Patient) -> str:
    point = patient.rng.choice(POINTS)
    spec = f"{point}:{patient.rng.randint(1, PASSES[point])}"
    patient.group.stop(0)
    patient.start(0, crash_at=spec)
    assert patient.ended(0) == -signal.SIGKILL, patient.group.words()
    patient.start(0)
    return f"worker 0 died at {spec} and was started again"


def kill_anywhere(patient: Patient) -> str:
    patient.group.kill(0)
    patient.start(0)
    return "worker 0 was killed with SIGKILL and started again"


def kill_all(patient: Patient) -> str:
    for slot in patient.alive():
        patient.group.kill(slot)
    patient.start(*patient.group.processes)
    return f"{len(patient.group.processes)} workers were killed at once and started again"


def zombie(patient: Patient) -> str:
    sleeper = patient.group.processes[0]
    before = patient.metric(1, "citywatch_rebalances_total")
    sleeper.send_signal(signal.SIGSTOP)
    try:
        patient.until(lambda: patient.metric(1, "citywatch_rebalances_total") > before, "the other worker takes over")
        patient.until(lambda: patient.group.ready(1), "the other worker is ready")
        time.sleep(patient.rng.uniform(1.0, 4.0))
    finally:
        sleeper.send_signal(signal.SIGCONT)
    code = patient.ended(0)
    assert code == 75, f"the zombie ended with {code}\n{patient.group.words()}"
    patient.start(0)
    return "worker 0 slept, worker 1 took over, worker 0 woke, was fenced and ended with 75"


def zombie_unfenced(patient: Patient) -> str:
    """The same where nothing fences: the sleeper is left to do what it does."""
    sleeper = patient.group.processes[0]
    before = patient.metric(1, "citywatch_rebalances_total")
    sleeper.send_signal(signal.SIGSTOP)
    patient.until(lambda: patient.metric(1, "citywatch_rebalances_total") > before, "the other worker takes over")
    patient.until(lambda: patient.group.ready(1), "the other worker is ready")
    time.sleep(3.0)
    sleeper.send_signal(signal.SIGCONT)
    time.sleep(6.0)
    return f"worker 0 slept, woke and was not fenced (it is {'alive' if sleeper.poll() is None else sleeper.returncode})"


def come_and_go(patient: Patient) -> str:
    before = patient.metric(0, "citywatch_rebalances_total")
    for slot in (1, 2):
        patient.group.start(slot)
    # Of four partitions a topic Faust gives three workers two, two and none: one of them stands by.
    patient.until(lambda: sum(patient.group.ready(slot) for slot in (0, 1, 2)) >= 2, "two of three are ready")
    patient.until(lambda: patient.metric(0, "citywatch_rebalances_total") > before, "a new assignment")
    time.sleep(patient.rng.uniform(1.0, 3.0))
    leaving = patient.rng.sample([0, 1, 2], 2)
    codes = [patient.group.stop(slot) for slot in leaving]
    assert codes == [0, 0], patient.group.words()
    (left,) = patient.alive()
    patient.until(lambda: patient.group.ready(left), "the one that is left is ready")
    return f"workers 1 and 2 joined, {leaving[0]} and {leaving[1]} left with 0"


def two_begin(patient: Patient) -> str:
    patient.start(0, 1)
    shares = [patient.group.get(slot, "/metrics")[1].count("citywatch_consumer_lag_records{") for slot in (0, 1)]
    assert all(shares), shares
    return f"a new group was begun by two at once over a log that was being written; topics read by each: {shares}"


# --- the store


def redis_killed(patient: Patient) -> str:
    patient.redis.kill()
    time.sleep(patient.rng.uniform(2.0, 5.0))
    failures = sum(patient.metric(slot, "citywatch_checkpoint_failures_total") for slot in patient.alive())
    patient.redis.start()
    assert failures > 0 and patient.alive() == [0], patient.group.words()
    return f"Redis was killed for seconds: {failures:.0f} checkpoints could not be written, no worker ended"


def redis_emptied(patient: Patient) -> str:
    patient.group.kill(0)
    patient.redis.kill()
    patient.redis.empty()
    patient.redis.start()
    patient.group.start(0)
    assert patient.ended(0) == 2, patient.group.words()
    refusal = patient.said(r"no checkpoint, but Kafka says")
    assert refusal and "--rebuild-from" in refusal
    _rebuild(patient)
    return "Redis came back empty: refused with 2 and the mend; --rebuild-from decided again"


def _rebuild(patient: Patient) -> None:
    patient.group.arguments = ("--rebuild-from", "2020-01-01T00:00:00Z")
    patient.start(0)
    patient.group.arguments = ()


def redis_set_back(patient: Patient) -> str:
    kept = patient.folder / "backup"
    patient.redis.copy(kept)
    time.sleep(patient.rng.uniform(4.0, 8.0))
    patient.group.kill(0)
    patient.redis.kill()
    patient.redis.set_back(kept)
    patient.redis.start()
    shutil.rmtree(kept)
    patient.start(0)
    return "Redis came back with what it had held seconds before; the worker decided again from there"


def disk_full(patient: Patient) -> str:
    """Redis's folder is a small tmpfs (see scenarios): fill it, then make room."""
    ballast = _filled(patient.redis.folder)
    try:
        patient.until(lambda: patient.metric(0, "citywatch_checkpoint_failures_total") > 0, "a checkpoint that fails")
        time.sleep(patient.rng.uniform(1.0, 3.0))
    finally:
        ballast.unlink()
    failures = patient.metric(0, "citywatch_checkpoint_failures_total")
    patient.until(lambda: patient.metric(0, "citywatch_checkpoint_age_seconds") < 2, "a checkpoint again")
    return f"the disk of Redis was full: {failures:.0f} checkpoints could not be written, then there was room"


def _filled(folder: Path) -> Path:
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:  # full, as was wanted
        while True:
            file.write(bytes(65_536))
    return ballast


def recording_full(patient: Patient) -> str:
    """Somebody records the struck log onto a small tmpfs beside the workers."""
    place = needs.mounted(patient.folder / "recording", 48)
    bag = place / "struck.bag"
    words = [sys.executable, "-m", "citywatch", "replay", "record", str(bag), "--follow", "--broker", patient.kafka.bootstrap]
    recorder = subprocess.Popen(words, env=patient.group.environment(0), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        patient.until(lambda: bag.with_name("struck.bag.partial").exists(), "the recorder has begun")
        time.sleep(patient.rng.uniform(1.0, 4.0))
        _filled(place)
        recorder.send_signal(signal.SIGINT)
        said = recorder.communicate(timeout=60)[1]
        assert recorder.returncode == 2 and re.search(
            r"No space left on device: the recording holds what arrived until", said
        ), said
        kept = open_recording(bag)
        assert isinstance(kept, Bag) and kept.verify() and kept.manifest.counts
        count = sum(kept.manifest.counts.values())
    finally:
        recorder.kill()
        needs.unmount(place)
    return f"the disk of a recording was full: it ended with 2 and the mend, {count} records of it can be replayed"


# --- broker, network, sinks, clock


def broker_killed(patient: Patient) -> str:
    with patient.nothing_arrives():
        patient.kafka.kill(1)
        time.sleep(patient.rng.uniform(3.0, 8.0))
        patient.kafka.restart(1)
    ended = [code for process in patient.group.processes.values() if (code := process.poll()) is not None]
    assert not ended, (ended, patient.group.words())
    return "the only broker was killed and came back on its log; no worker ended"


def leader_killed(patient: Patient) -> str:
    node = patient.rng.randint(1, 3)
    with patient.nothing_arrives():
        patient.kafka.kill(node)
        time.sleep(patient.rng.uniform(4.0, 8.0))
        patient.kafka.restart(node)
    return f"node {node} of three, leader of a third of the partitions, was killed and came back"


def brokers_away(patient: Patient) -> str:
    with patient.nothing_arrives():
        for node in (1, 2, 3):
            patient.kafka.kill(node)
        time.sleep(60.0)
        patient.kafka.restart(1, 2, 3)
    # The watchdog's minute, or outputs that nobody takes: whoever watches the worker starts it again.
    worker = patient.group.processes[0]
    patient.until(lambda: worker.poll() is not None or patient.group.ready(0), "the worker is ready or has ended")
    code = worker.poll()
    assert code in (None, EXIT_OUTPUTS, EXIT_WATCHDOG), (code, patient.group.words())
    if code is not None:
        patient.start(0)
    ended = "the worker did not end" if code is None else f"the worker ended with {code} and was started again"
    return f"all three brokers were killed and came back a minute later; {ended}"


def network_slow(patient: Patient) -> str:
    delay, seconds = patient.rng.uniform(0.2, 0.6), patient.rng.uniform(8.0, 15.0)
    patient.wire.delay_s = delay
    try:
        began = time.monotonic()
        AdminClient({"bootstrap.servers": patient.wire.bootstrap, "log_level": 0}).list_topics(timeout=30)
        answer = time.monotonic() - began
        time.sleep(seconds)
    finally:
        patient.wire.delay_s = 0.0
    assert answer >= 2 * delay and patient.alive() == [0], (answer, patient.group.words())
    return f"for {seconds:.0f} s every packet took {delay * 1000:.0f} ms each way (an answer {answer:.1f} s); no worker ended"


def partitions_added(patient: Patient) -> str:
    """Both logs get them at the same place. A third of the sensors speak in other partitions from there on."""
    base = BY_STREAM["sensor"].base
    with patient.nothing_arrives():
        patient.kafka.add_partitions([topic_name(base, prefix) for prefix in patient.logs], _MORE_PARTITIONS)
        patient.producer.renew()
    assert patient.ended(0) == 2, patient.group.words()
    refusal = patient.said(r"has a partition \d, it had 4 partitions when this worker began")
    assert refusal and "--rebuild-from" in refusal
    patient.group.start(0)
    assert patient.ended(0) == 2, patient.group.words()
    assert patient.said(rf"had 4 partitions, now it has {_MORE_PARTITIONS}")
    _rebuild(patient)
    return f"{base} got {_MORE_PARTITIONS} partitions for 4: refused with 2 and the mend; --rebuild-from decided again"


def network_cut(patient: Patient) -> str:
    """The lab runs in a network namespace of its own; its one interface goes down."""
    seconds = patient.rng.uniform(4.0, 8.0)
    with patient.nothing_arrives():
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        try:
            time.sleep(seconds)
        finally:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return f"every connection between workers, broker and Redis was dead for {seconds:.1f} s"


def sink_hangs(patient: Patient) -> str:
    patient.redis.signal(signal.SIGSTOP)
    try:
        live = 'citywatch_outbox_depth{sink="redis_live"}'
        patient.until(lambda: patient.metric(0, live) > 0, "deliveries that wait")
        time.sleep(patient.rng.uniform(4.0, 8.0))
        depth = patient.metric(0, live)
    finally:
        patient.redis.signal(signal.SIGCONT)
    assert depth > 0
    return f"Redis (as a sink alone; checkpoints in a topic) hung: {depth:.0f} deliveries waited, alerts in Kafka did not"


def clock_stepped(patient: Patient) -> str:
    offset = patient.rng.choice([3600, -3600])
    clock = Path(patient.group.settings["CITYWATCH_CLOCK_FILE"])
    clock.write_text(str(offset))
    time.sleep(patient.rng.uniform(4.0, 8.0))

    def seen() -> bool:
        return any(abs(value / 1000 - time.time() - offset) < 60 for value in patient.clock_of_checkpoints())

    patient.until(seen, "a checkpoint written at the stepped time")
    clock.write_text("0")
    return f"the worker's clock was stepped by {offset:+d} s and back"


# --- rules


def reload_and_die(patient: Patient) -> str:
    """Rules change; the worker dies when the change is announced and neither acknowledged nor in a checkpoint."""
    patient.group.stop(0)
    patient.start(0, crash_at=f"{SWITCH_POINT}:1")
    patient.until(lambda: patient.group.ready(0), "the worker is ready")
    time.sleep(patient.rng.uniform(1.0, 4.0))
    change_rules(Path(patient.group.settings["CITYWATCH_RULES"]))
    patient.group.processes[0].send_signal(signal.SIGHUP)
    assert patient.ended(0) == -signal.SIGKILL, patient.group.words()
    patient.start(0)
    return f"rules were read again, worker 0 died at {SWITCH_POINT} and was started with the new ones"


def die_and_change(patient: Patient) -> str:
    patient.group.kill(0)
    change_rules(Path(patient.group.settings["CITYWATCH_RULES"]))
    patient.start(0)
    return "worker 0 was killed, and started with other rules than it had decided with"


class Reload:
    """Rules that change while a fault goes on: after a moment that is drawn, in whatever state the workers are then."""

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self._told = 0
        self._failure: Exception | None = None
        self._timer = threading.Timer(patient.rng.uniform(0.0, 6.0), self._change)
        self._timer.start()

    def _change(self) -> None:
        try:
            change_rules(Path(self._patient.group.settings["CITYWATCH_RULES"]))
            self._told = self._patient.hang_up()
        except Exception as failure:
            self._failure = failure

    def over(self) -> str:
        self._timer.join()
        assert self._failure is None, self._failure
        return f"; meanwhile rules were changed and {self._told} workers told to read them"


def rule_sets(folder: Path, rules: Path) -> None:
    """The rules a group is to use, twice beside them: as they are, and so that every rule resolves a second later. Its version
    stands then in every signal and every incident as another one."""
    for name in ("rules", "rules-before", "rules-after"):
        shutil.copytree(rules, folder / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for path in (folder / "rules-after").glob("*.toml"):
        text = path.read_text()
        if path.name != FAMILIES_FILE:
            kept = [line for line in text.splitlines() if not line.startswith("resolve_after_s")]
            path.write_text("\n".join([_LATER, *kept]) + "\n")


def change_rules(folder: Path) -> None:
    """To the other one of the two."""
    later = any(path.read_text().startswith(_LATER) for path in folder.glob("*.toml"))
    shutil.copytree(folder.with_name("rules-before" if later else "rules-after"), folder, dirs_exist_ok=True)


# --- deliberate mistakes


def kill_hasty(patient: Patient) -> str:
    """The outputs of the last rounds are still on their way when the checkpoint that stands for them is written."""
    rounds = [10, 12, 11, 10]
    patient.group.stop(0)
    for n in rounds:
        patient.group.start(0, f"after_ack:{n}")
        assert patient.ended(0) == -signal.SIGKILL, patient.group.words()
    patient.start(0)
    return f"killed {len(rounds)} times behind a checkpoint that had not waited"

"""Workers that are killed, put to sleep, sent away and replaced, and what they know of the time; two deliberate mistakes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.e2e.faults.patient import Patient
from tests.e2e.worker_group import PASSES
from topologies.checkpoints import FORMAT
from topologies.crash_points import POINTS

#: Sessions of the lab's workers last three seconds.
SESSION_S = 3.0


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
    before, own = (patient.metric(slot, "citywatch_rebalances_total") for slot in (1, 0))
    sleeper.send_signal(signal.SIGSTOP)
    try:
        patient.until(lambda: patient.metric(1, "citywatch_rebalances_total") > before, "the other worker takes over")
        patient.until(lambda: patient.group.ready(1), "the other worker is ready")
        time.sleep(patient.rng.uniform(1.0, 4.0))
    finally:
        sleeper.send_signal(signal.SIGCONT)

    def joined_again() -> bool:
        return patient.metric(0, "citywatch_rebalances_total") > own and patient.group.ready(0)

    # Which of the two comes first: that it says something and is refused, or that the group tells it what it has missed.
    patient.until(lambda: sleeper.poll() is not None or joined_again(), "the zombie is fenced, or joins the group again")
    if sleeper.poll() is None:
        return "worker 0 slept, worker 1 took over, worker 0 woke, gave up what it had had and joined the group again"
    assert sleeper.poll() == 75, f"the zombie ended with {sleeper.poll()}\n{patient.group.words()}"
    patient.start(0)
    return "worker 0 slept, worker 1 took over, worker 0 woke, was fenced and ended with 75"


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


def upgraded(patient: Patient) -> str:
    """As docs/operating.md has it, and in the middle of it the new worker dies: the old one goes on from what that wrote."""
    group, older = patient.group, FORMAT - 1

    def replace(slot: int) -> None:
        assert group.stop(slot) == 0, group.words()
        patient.start(slot)

    assert patient.formats_of_checkpoints() == {older}, "the workers are not of the version before"
    group.module, group.settings = "citywatch", {**group.settings, "CITYWATCH_CHECKPOINT_FORMAT": str(older)}
    replace(0)
    time.sleep(patient.rng.uniform(0.0, 3.0))
    group.kill(0)
    patient.until(lambda: group.ready(1) and patient.caught_up(), "the old worker goes on alone")
    patient.start(0)
    replace(1)
    assert patient.formats_of_checkpoints() == {older}, "a new worker wrote what old ones cannot read"
    del group.settings["CITYWATCH_CHECKPOINT_FORMAT"]
    replace(0)
    replace(1)
    patient.until(lambda: patient.formats_of_checkpoints() == {FORMAT}, "every checkpoint is of the new format")
    return f"workers were replaced one by one, one killed between old and new: checkpoints of format {older}, then {FORMAT}"


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


def kill_hasty(patient: Patient) -> str:
    """The outputs of the last rounds are still on their way when the checkpoint that stands for them is written."""
    rounds = [10, 12, 11, 10]
    patient.group.stop(0)
    for n in rounds:
        patient.group.start(0, f"after_ack:{n}")
        assert patient.ended(0) == -signal.SIGKILL, patient.group.words()
    patient.start(0)
    return f"killed {len(rounds)} times behind a checkpoint that had not waited"


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

"""Brokers that die, topics that get more partitions, a network that is slow or cut."""

from __future__ import annotations

import subprocess
import time

from confluent_kafka.admin import AdminClient

from streams.topics import BY_STREAM, topic_name
from tests.e2e.faults.patient import Patient
from topologies.worker import EXIT_OUTPUTS, EXIT_WATCHDOG

_MORE_PARTITIONS = 6


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
    patient.rebuild()
    return f"{base} got {_MORE_PARTITIONS} partitions for 4: refused with 2 and the mend; --rebuild-from decided again"


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

"""Redis and its disk, the disk of a recording, and a sink that hangs."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from replay.bag import Bag
from replay.opening import open_recording
from tests.e2e.faults import needs
from tests.e2e.faults.patient import Patient
from tests.e2e.worker_group import ROOT


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
    patient.rebuild()
    return "Redis came back empty: refused with 2 and the mend; --rebuild-from decided again"


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
        recorder.send_signal(signal.SIGTERM)
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

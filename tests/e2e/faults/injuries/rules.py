"""Rules that change: as a fault of its own, and in the middle of others."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from pathlib import Path

from detectors.families import FAMILIES_FILE
from tests.e2e.faults.patient import Patient
from topologies.crash_points import SWITCH_POINT

_LATER = "resolve_after_s = 303.0"


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
    """Two sets of rules: as they are, and so that every rule resolves a second later (its version stands then in every signal
    and every incident as another one). ``rules`` is a link to the first."""
    for name in ("rules-before", "rules-after"):
        shutil.copytree(rules, folder / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "rules").symlink_to("rules-before")
    for path in (folder / "rules-after").glob("*.toml"):
        text = path.read_text()
        if path.name != FAMILIES_FILE:
            kept = [line for line in text.splitlines() if not line.startswith("resolve_after_s")]
            path.write_text("\n".join([_LATER, *kept]) + "\n")


def change_rules(folder: Path) -> None:
    """To the other one of the two, in one step: workers that read at that moment find the one or the other."""
    other = folder.with_name("rules-next")
    other.symlink_to({"rules-before": "rules-after", "rules-after": "rules-before"}[folder.readlink().name])
    other.replace(folder)

"""The instruction count: its works process what they are given; a run that did not is refused; counting where valgrind is."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks import instruction_work, instructions
from benchmarks.growth_feed import City


@pytest.mark.parametrize("name", list(instructions.LABELS))
def test_a_work_processes_every_reading(name):
    take = instruction_work.hand_loop() if name == "hand_loop" else instruction_work.stage(name)
    assert sum(map(take, City(instruction_work.SENSORS, 1).batches(3_000, 500))) == 3_000


def test_instructions_of_a_reading_are_the_difference_of_two_runs(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(instructions, "count", lambda name, readings: 5_000_000 + 700 * readings)
    assert instructions.a_reading("two", 1_000) == 700.0


def test_a_run_that_lost_readings_is_not_counted(monkeypatch):
    done = subprocess.CompletedProcess([], 0, stdout="999\n", stderr="==1== Collected : 123\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(RuntimeError, match="printed '999"):
        instructions.count("two", 1_000)


def test_without_valgrind_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert instructions.main(["--readings", "1000"]) == 2
    assert "apt-get install valgrind" in capsys.readouterr().err

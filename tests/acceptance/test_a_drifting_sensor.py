"""A lamp's sensor leaves its circuit: seventeen days, for what is usual between neighbours takes a week to be known."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from detectors.rulebook import RuleBook
from replay.opening import open_recording
from replay.run import run
from replay.simulate import City
from replay.simulate.export import write_jsonl
from replay.truth import judge, read_truth
from streams.records import Incident

START = 1_772_380_800_000
DAYS = 17
DEFAULT = RuleBook.default()
#: The one rule in question: others mean nothing where sensors report so seldom. (700 sensors: every circuit has four lamps.)
BOOK = RuleBook.of([rule for rule in DEFAULT if rule.name == "device-drift"], DEFAULT.families)


def city(seed: int) -> City:
    return City(
        seed, START, 24.0 * DAYS, sensors=700, vehicles=8, cameras=10, recipes=("DEV-02-DRIFT",), pace=0.05, fix_s=3_600.0
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_lamp_that_drifts_is_told_and_no_other(seed: int, tmp_path: Path) -> None:
    drifting = city(seed)
    write_jsonl(drifting, tmp_path / "city")
    run(open_recording(tmp_path / "city"), BOOK, tmp_path / "run")
    decoder = msgspec.json.Decoder(Incident)
    told = [decoder.decode(line) for line in (tmp_path / "run" / "incidents.jsonl").read_bytes().splitlines()]
    verdict = judge(read_truth(tmp_path / "city" / "truth.jsonl"), told)
    assert (verdict.found, verdict.duplicates, verdict.false_incidents) == (1, [], [])
    assert told[0].rule.reason.startswith(drifting.hazards[0].entities[0])

"""Five cities nobody tuned on: every rule of the rulebook injected, found once, and next to nothing told that is not there."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from detectors.rulebook import RuleBook
from replay.opening import open_recording
from replay.run import run
from replay.simulate import City
from replay.simulate.export import write_jsonl
from replay.simulate.hazards import LEARNED_MIN, RECIPES
from replay.truth import judge, read_truth
from streams.records import Incident

START = 1_772_380_800_000
HOURS = 33.0
#: Drawn once from the clock after the rulebook was written; never looked at while building.
UNSEEN = (730_211, 184_467, 911_003, 402_929, 655_360)
#: Rules that open nothing (shadow) or cannot speak of a simulated city: what its assets lack is said beside each.
NOT_IN_A_CITY = {
    "platform-stream-silent": "all four streams of a simulated city go on to its end",
    "device-drift": "what is usual between neighbours takes it a week to know; test_a_drifting_sensor.py gives it one",
}


def story(path: Path) -> list[Incident]:
    import msgspec

    decoder = msgspec.json.Decoder(Incident)
    return [decoder.decode(line) for line in (path / "incidents.jsonl").read_bytes().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", UNSEEN)
def test_an_unseen_city(seed: int, tmp_path: Path) -> None:
    city = City(seed, START, HOURS)
    assert len(city.truth) == sum(LEARNED_MIN[name] < 60 * HOURS for name in RECIPES)
    write_jsonl(city, tmp_path / "city")
    book = RuleBook.default()
    run(open_recording(tmp_path / "city"), book, tmp_path / "run")
    verdict = judge(read_truth(tmp_path / "city" / "truth.jsonl"), story(tmp_path / "run"))
    days = HOURS / 24
    severe = [incident for incident in verdict.false_incidents if incident.level <= 2]
    told = (
        f"seed {seed}: found {verdict.found} of {verdict.hazards}, missed {verdict.missed}, duplicates {verdict.duplicates}, "
        + (f"false {[(i.incident_id, i.rule.name, i.level) for i in verdict.false_incidents]}")
    )
    print(told)
    assert verdict.found - len(verdict.duplicates) >= 0.95 * verdict.hazards, told
    assert len(severe) <= 1 * days, told
    assert verdict.false <= 5 * days, told
    spoke = set(pq.read_table(tmp_path / "run" / "signals.parquet", columns=["rule"]).column("rule").to_pylist())
    silent = {rule.name for rule in book.rules if not rule.shadow} - spoke - set(NOT_IN_A_CITY)
    assert silent == set(), f"rules that said nothing: {sorted(silent)}"

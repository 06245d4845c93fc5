"""Cities written from the contract alone: found, each once, and next to nothing told that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.rulebook import RuleBook
from replay.opening import open_recording
from replay.run import run
from replay.truth import Verdict, judge, read_truth
from tests.acceptance.outside_city import OutsideCity
from tests.acceptance.outside_hazards import furnish
from tests.acceptance.test_unseen_cities import story


def judged(seed: int, hours: float, share: float, folder: Path) -> Verdict:
    city = OutsideCity(seed, hours)
    furnish(city, share)
    city.play()
    city.write(folder / "city")
    run(open_recording(folder / "city"), RuleBook.default(), folder / "run")
    return judge(read_truth(folder / "city" / "truth.jsonl"), story(folder / "run"))


def told(verdict: Verdict) -> str:
    return (
        f"found {verdict.found} of {verdict.hazards}, missed {verdict.missed}, duplicates {verdict.duplicates}, false "
        f"{[(one.incident_id, one.rule.name, one.level, one.evidence[0].entity) for one in verdict.false_incidents]}"
    )


def holds(verdict: Verdict, days: float) -> None:
    severe = [one for one in verdict.false_incidents if one.level <= 2]
    assert verdict.found - verdict.duplicate >= 0.95 * verdict.hazards, told(verdict)
    assert len(severe) <= max(1, days), told(verdict)
    assert verdict.false <= 5 * max(1, days), told(verdict)


def test_an_evening_of_an_outsiders_city(tmp_path: Path) -> None:
    holds(judged(3, 4.0, 0.4, tmp_path), 1)


@pytest.mark.slow
def test_a_day_of_an_outsiders_city(tmp_path: Path) -> None:
    holds(judged(17, 26.0, 1.0, tmp_path), 26 / 24)

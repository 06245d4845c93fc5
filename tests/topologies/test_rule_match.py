from __future__ import annotations

import pytest

from detectors.base import Series
from detectors.rule import Match
from topologies.rule_match import matches

WELL = Series("S", "ch4", limits={"high": 1.0}, attributes={"place": "well"}, registered=True)


@pytest.mark.parametrize(
    ("match", "watched"),
    [
        (Match("sensor"), True),
        (Match("vehicle"), False),
        (Match("sensor", metrics=["o2", "ch4"]), True),
        (Match("sensor", not_metrics=["ch4"]), False),
        (Match("sensor", kinds=["bus"]), False),
        (Match("sensor", registered_only=True), True),
        (Match("sensor", needs_limits=["high"]), True),
        (Match("sensor", needs_limits=["low"]), False),
        (Match("sensor", without_limits=["high"]), False),
        (Match("sensor", attributes={"place": "well"}), True),
        (Match("sensor", attributes={"place": ["tunnel", "well"]}), True),
        (Match("sensor", attributes={"place": "road"}), False),
        (Match("sensor", attributes={"owner": "x"}), False),
    ],
)
def test_a_rule_watches_what_every_condition_of_its_match_allows(match: Match, watched: bool) -> None:
    assert matches(match, WELL) is watched


def test_attributes_that_another_rule_watches_are_left_to_it() -> None:
    match = Match("sensor", metrics=["tilt"], not_attributes={"place": ["billboard", "pole"]})
    assert matches(match, Series("T-1", "tilt"))
    assert matches(match, Series("T-1", "tilt", attributes={"place": "pier"}))
    assert not matches(match, Series("T-1", "tilt", attributes={"place": "pole"}))

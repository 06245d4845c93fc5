from __future__ import annotations

import pytest

from detectors.rule import Match
from detectors.series import Series
from topologies.rule_match import Matching, matches

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


def _matching(*rules: Match) -> Matching:
    matching = Matching()
    for place, match in enumerate(rules):
        matching.add(place, match)
    return matching


def test_series_that_differ_in_what_a_rule_asks_for_are_not_taken_for_one_another() -> None:
    rules = [
        Match("sensor", attributes={"place": ["well", "tunnel"]}),
        Match("sensor", not_attributes={"owner": "x"}),
        Match("sensor", needs_limits=["high"]),
        Match("sensor", registered_only=True),
        Match("sensor", metrics=["ch4"]),
        Match("vehicle", kinds=["bus"]),
    ]
    series = [
        WELL,
        Series("A", "ch4"),
        Series("B", "ch4", attributes={"place": "well"}),
        Series("C", "ch4", attributes={"place": "road", "owner": "x"}),
        Series("D", "o2", limits={"high": 2.0}),
        Series("E", "o2", limits={"low": 2.0}, registered=True),
        Series("F", stream="vehicle", kind="bus"),
        Series("G", stream="vehicle", kind="taxi"),
        Series("H", "ch4", attributes={"place": ["well"]}),
    ]
    matching = _matching(*rules)
    for one in series * 2:
        assert matching(one) == tuple(place for place, match in enumerate(rules) if matches(match, one))


def test_a_rule_that_joins_is_asked_of_series_known_before() -> None:
    matching = _matching(Match("sensor", metrics=["ch4"]))
    assert matching(WELL) == (0,)
    matching.add(1, Match("sensor", attributes={"place": "well"}))
    assert matching(WELL) == (0, 1)

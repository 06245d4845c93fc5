from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from detectors.families import Escalation, Family
from streams.records import Signal
from tests.acceptance.timeline import BOOK, Draft, Timeline, alarm, call
from topologies.escalate import holding, judge
from topologies.happening import Happening
from topologies.incident_settings import IncidentSettings
from topologies.life_cycle import piece_of, take
from topologies.priority import priority
from topologies.rule_facts import RuleTable
from topologies.weighed import weigh


def _family(**need: object) -> Family:
    tree = {
        "name": "gas",
        "title": "",
        "title_zh": "",
        "categories": ["gas"],
        "radius_m": 300,
        "within_s": 1800,
        "escalate": [{"name": "both", "level": 1, "reason": "both", "needs": [need]}],
    }
    return msgspec.convert(tree, Family)


def _incident(*drafts: tuple[float, Draft]) -> Happening:
    table = RuleTable(BOOK, IncidentSettings())
    city = Timeline()
    incident = Happening("id", "340100", "gas", "gas", False, False, 0, 0, {})
    for at_s, draft in drafts:
        record = city.record(at_s, draft)
        assert isinstance(record, Signal)
        take(incident, piece_of(record, table.of(record), None), 100)
    return incident


def _holding(incident: Happening, family: Family) -> list[Escalation]:
    return holding(weigh(incident).live, family)


TWO_CALLS = _family(streams=["hotline"], witnesses=2, radius_m=100, within_s=60)


def test_two_witnesses_near_each_other_meet_a_need() -> None:
    incident = _incident((0, call("gas-smell-call", "a", "x")), (30, call("gas-smell-call", "b", "y", at=(50, 0))))
    assert [one.name for one in _holding(incident, TWO_CALLS)] == ["both"]


def test_witnesses_too_far_apart_do_not() -> None:
    assert (
        _holding(
            _incident((0, call("gas-smell-call", "a", "x")), (30, call("gas-smell-call", "b", "y", at=(150, 0)))), TWO_CALLS
        )
        == []
    )


def test_witnesses_too_long_apart_do_not() -> None:
    assert _holding(_incident((0, call("gas-smell-call", "a", "x")), (90, call("gas-smell-call", "b", "y"))), TWO_CALLS) == []


def test_one_signal_does_not_meet_two_needs() -> None:
    tree = {"streams": ["sensor"]}
    family = msgspec.convert(
        msgspec.to_builtins(_family(**tree)) | {"escalate": [{"name": "b", "level": 1, "reason": "r", "needs": [tree, tree]}]},
        Family,
    )
    assert _holding(_incident((0, alarm("gas-well", "W1"))), family) == []
    assert len(_holding(_incident((0, alarm("gas-well", "W1")), (1, alarm("gas-well", "W2"))), family)) == 1


def test_a_need_may_leave_out_what_has_cleared() -> None:
    incident = _incident((0, alarm("gas-well", "W1")))
    for piece in incident.pieces.values():
        piece.active = False
    assert _holding(incident, _family(streams=["sensor"], active_only=True)) == []
    assert len(_holding(incident, _family(streams=["sensor"]))) == 1


def test_what_came_too_late_does_not_make_a_live_incident_worse() -> None:
    incident = _incident((0, alarm("gas-well", "W1", level=4)), (1, alarm("gas-well", "W2", level=1, historical=True)))
    assert judge(incident, _family(streams=["video"]), weigh(incident))[0] == 4


def test_level_one_is_the_most_there_is() -> None:
    family = msgspec.structs.replace(_family(streams=["video"]), agree_raises=True)
    incident = _incident((0, alarm("gas-well", "W1", level=1)), (1, call("gas-smell-call", "a")))
    assert judge(incident, family, weigh(incident))[0] == 1


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.integers(0, 9)), min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
)
def test_no_reason_lifts_a_score_into_the_next_level(pieces: list[tuple[int, bool, int]], near: bool, late: bool) -> None:
    drafts = [
        call("gas-smell-call", f"{i}-{who}", level=level) if voice else alarm("gas-well", f"{i}-{who}", level=level)
        for i, (level, voice, who) in enumerate(pieces)
    ]
    incident = _incident(*enumerate(drafts))
    incident.targets = ("school within 10 m",) if near else ()
    incident.overdue = ("confirm", "handle") if late else ()
    for level in (1, 2, 3, 4):
        incident.level = level
        score = priority(incident, weigh(incident), IncidentSettings().weights).score
        assert 100 - 20 * level <= score < 120 - 20 * level

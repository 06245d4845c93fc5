from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streams.records import Point, Signal, Source
from tests.acceptance.timeline import BOOK, T0, Timeline, alarm, call, clear, feedback, update
from topologies.happening import Happening
from topologies.incident_settings import IncidentSettings
from topologies.life_cycle import clear as end
from topologies.life_cycle import count_standing, next_due, piece_of, take
from topologies.rule_facts import RuleTable


def test_a_call_keeps_an_incident_open_for_its_own_time_after_the_alarm_has_cleared() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(10, call("gas-smell-call", "c1")).push(20, clear("gas-well", "W1"))
    city.want(0, event="opened").want(10, event="updated").want(20, status="recovering").want(610, event="resolved")
    city.run(until=700)


def test_a_cleared_alarm_that_was_the_worst_eases_the_incident() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", level=4)).push(1, alarm("gas-well", "W2", level=2)).push(2, clear("gas-well", "W2"))
    city.want(0, event="opened", level=4).want(1, event="escalated", level=2).want(2, event="eased", level=4)
    city.run(until=10)


def test_a_recovering_incident_keeps_its_level() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", level=2)).push(5, clear("gas-well", "W1"))
    city.want(0, event="opened", level=2).want(5, status="recovering", level=2)
    city.run(until=10)


def test_after_recovery_what_people_did_is_the_status_again() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, feedback("dispatch")).push(2, clear("gas-well", "W1")).push(
        3, alarm("gas-well", "W1")
    )
    city.want(0, status="open").want(1, status="dispatched").want(2, status="recovering").want(3, status="dispatched")
    city.run(until=10)


def test_acknowledging_twice_is_no_news() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, feedback("acknowledge")).push(2, feedback("acknowledge"))
    city.want(0, event="opened").want(1, event="acknowledged")
    city.run(until=10)
    assert city.noted["feedback_no_change"] == 1


def test_who_has_acknowledged_is_not_late_to_confirm_but_may_be_late_to_handle() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(60, feedback("acknowledge"))
    city.want(0, event="opened").want(60, event="acknowledged").want(7200, event="overdue", why="handle_overdue")
    city.run(until=10_000)


def test_what_was_handled_is_never_overdue() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(60, feedback("handle"))
    city.want(0, event="opened").want(60, event="updated", why="feedback_handle")
    city.run(until=10_000)


def test_an_escalation_brings_the_deadlines_forward_and_never_back() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", level=3, raised=0)).push(60, update("gas-well", "W1", level=1, raised=0))
    city.push(61, update("gas-well", "W1", level=3, raised=0))
    found = city.play(until=100)
    assert [one.dispatch.confirm_by - T0 for one in found] == [900_000, 240_000, 240_000]


def test_a_queue_item_that_escalates_after_its_time_gets_a_time_of_its_own() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", level=4, raised=0)).push(5000, update("gas-well", "W1", level=2, raised=0))
    city.want(0, event="opened").want(5000, event="escalated").want(5300, event="overdue", why="confirm_overdue")
    city.run(until=6000)


def test_reopening_by_hand_gives_new_deadlines() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(100, feedback("resolve")).push(200, feedback("reopen"))
    city.want(0, event="opened").want(100, event="resolved").want(200, event="reopened", status="open")
    found = city.run(until=210)
    assert found[-1].dispatch.confirm_by == T0 + 1_100_000


def test_a_note_is_kept_with_its_author() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, feedback("note", note="neighbours evacuated"))
    city.want(0, event="opened").want(1, event="updated", notes=("duty: neighbours evacuated",))
    city.run(until=10)


def test_a_resolved_incident_can_still_be_called_a_false_alarm() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, feedback("resolve")).push(2, feedback("false_alarm"))
    city.want(0, event="opened").want(1, status="resolved").want(2, status="false_alarm", event="resolved")
    city.run(until=10)


def test_a_new_raise_after_a_false_alarm_reopens() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, feedback("false_alarm")).push(2, clear("gas-well", "W1")).push(
        9, alarm("gas-well", "W1")
    )
    city.want(0, event="opened").want(1, status="false_alarm").want(9, event="reopened")
    city.run(until=10)


def test_a_closed_alarm_that_stands_for_hours_does_not_come_back_by_itself() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", raised=0)).push(1, feedback("resolve")).push(9000, update("gas-well", "W1", raised=0))
    city.want(0, event="opened").want(1, event="resolved")
    city.run(until=9100)


def test_feedback_for_a_merged_incident_reaches_the_one_it_moved_to() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, alarm("gas-well", "W2", at=(500, 0))).push(
        2, alarm("gas-well", "W3", at=(250, 0))
    )
    city.push(3, feedback("acknowledge", 1))
    found = city.play(until=10)
    assert (found[-1].event, found[-1].incident_id) == ("acknowledged", found[0].incident_id)


def test_feedback_long_after_the_end_is_known_to_be_late() -> None:
    city = Timeline(reopen_s=10)
    city.push(0, alarm("cover", "C1")).push(1, clear("cover", "C1")).push(500, feedback("note", note="late"))
    city.play(until=600)
    assert city.noted["feedback_forgotten"] == 1


def test_a_forgotten_incident_never_gives_its_id_away() -> None:
    city = Timeline(reopen_s=10)
    city.push(0, call("gas-smell-call", "c1")).push(3000, call("gas-smell-call", "c1"))
    opened = [one.incident_id for one in city.play(until=3001) if one.event == "opened"]
    assert len(set(opened)) == 2


def test_a_standing_incident_has_only_deadlines_ahead() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).play(until=1)
    (incident,) = city.stage._casebook.incidents.values()
    assert next_due(incident, IncidentSettings()) == (T0 + 900_000, "confirm")


def test_a_known_caller_who_reports_worse_is_news() -> None:
    city = Timeline()
    city.push(0, call("gas-smell-call", "c1", "a", level=3)).push(5, call("gas-smell-call", "c2", "a", level=2))
    city.want(0, event="opened", level=3).want(5, event="escalated", level=2, sources=1)
    city.run(until=10)


def test_every_word_of_a_signal_stands_under_its_own_name_in_its_piece_of_evidence() -> None:
    signal = Signal(
        signal_id="the id",
        city="the city",
        category="the category",
        hazard="the hazard",
        rule="gas-smell-call",
        rule_version="the version",
        entity="the entity",
        stream="the stream",
        ts=1,
        arrival_ts=2,
        level=3,
        phase="raised",
        source=Source("the topic", 4, 5),
        metric="the metric",
        location=Point((6.0, 7.0)),
        radius_m=8.0,
        grid_code="the grid",
        gateway="the gateway",
        value=9.0,
        expected=10.0,
        unit="the unit",
        threshold=11.0,
        explanation="the explanation",
        witness="the witness",
        momentary=True,
        historical=True,
    )
    facts = RuleTable(BOOK, IncidentSettings()).of(signal)
    piece = piece_of(signal, facts, "the group")
    assert {name: getattr(piece, name) for name in piece.__struct_fields__} == {
        "key": "the id",
        "own_key": "gas-smell-call|the entity",
        "signal_id": "the id",
        "rule": "gas-smell-call",
        "version": "the version",
        "hazard": "the hazard",
        "family": "gas",
        "category": "the category",
        "stream": "the stream",
        "entity": "the entity",
        "witness": "the witness",
        "level": 3,
        "first_ts": 1,
        "last_ts": 1,
        "source": "the topic/4/5",
        "source_topic": "the topic",
        "source_partition": 4,
        "radius_m": 8.0,
        "momentary": True,
        "historical": True,
        "resolve_after_ms": 600_000,
        "until": 600_002,
        "active": True,
        "lends": False,
        "raises": (2,),
        "lat": 7.0,
        "lon": 6.0,
        "grid_code": "the grid",
        "group": "the group",
        "gateway": "the gateway",
        "metric": "the metric",
        "value": 9.0,
        "unit": "the unit",
        "threshold": 11.0,
        "expected": 10.0,
        "explanation": "the explanation",
        "silent_since": 0,
    }
    standing = piece_of(msgspec.structs.replace(signal, momentary=False, witness=None, location=None), facts, None)
    assert (standing.key, standing.witness, standing.until, standing.lat) == (
        "gas-smell-call|the entity",
        "the entity",
        0,
        None,
    )


@given(st.lists(st.tuples(st.sampled_from(["alarm", "call", "clear"]), st.integers(0, 2)), max_size=12))
def test_what_stands_is_what_counting_all_evidence_finds(steps: list[tuple[str, int]]) -> None:
    """A report changes no alarm, so nothing is counted again for it."""
    table, city = RuleTable(BOOK, IncidentSettings()), Timeline()
    incident = Happening("id", "340100", "gas", "gas", False, False, 0, 0, {})
    for second, (what, who) in enumerate(steps):
        draft = call("gas-smell-call", f"c{second}", f"p{who}") if what == "call" else alarm("gas-well", f"W{who}")
        signal = city.record(second, draft)
        assert isinstance(signal, Signal)
        piece = piece_of(signal, table.of(signal), None)
        if what != "clear":
            take(incident, piece, 100)
        elif piece.key in incident.pieces:
            end(incident, incident.pieces[piece.key], signal)
        kept = incident.standing, incident.status
        count_standing(incident)
        assert (incident.standing, incident.status) == kept

from __future__ import annotations

from typing import Any

from streams.records import Control, Matchers, Mute, Signal
from tests.acceptance.timeline import HOME, Draft, Timeline, alarm, call, clear, mute, update
from topologies.incident_settings import IncidentSettings
from topologies.mutes import Mutes, matches


def _muted(*matchers: Mute, **more: Any) -> Mutes:
    return Mutes(IncidentSettings(**more))


def _give(step: Mutes, at_s: float, draft: Draft, city: Timeline) -> list[Signal]:
    record = city.record(at_s, draft)
    return list(step.control(record) if isinstance(record, Control) else step.take(record))


def test_an_alarm_that_gets_worse_while_muted_is_kept_in_its_last_state() -> None:
    step, city = _muted(), Timeline()
    _give(step, 0, mute("m", 0, 100, entity="W1"), city)
    _give(step, 1, alarm("gas-well", "W1", level=3, raised=1), city)
    _give(step, 2, update("gas-well", "W1", level=1, raised=1), city)
    assert [(one.level, one.phase) for one in step.fire(city.record(100, clear("gas-well", "x")).arrival_ts)] == [(1, "raised")]


def test_a_second_mute_takes_over_where_the_first_one_ends() -> None:
    step, city = _muted(), Timeline()
    _give(step, 0, mute("m1", 0, 100, entity="W1"), city)
    _give(step, 1, alarm("gas-well", "W1"), city)
    _give(step, 2, mute("m2", 50, 300, kind="permit", category="gas"), city)
    later = city.record(300, clear("gas-well", "x")).arrival_ts
    assert [one.arrival_ts for one in [*step.fire(later), *step.fire(later)]] == [later]


def test_a_momentary_report_is_muted_for_good() -> None:
    step, city = _muted(), Timeline()
    _give(step, 0, mute("m", 0, 100, category="gas"), city)
    assert _give(step, 1, call("gas-smell-call", "c1"), city) == []
    assert step.timers.next() is None


def test_a_late_reading_of_the_maintenance_is_still_muted() -> None:
    step, city = _muted(), Timeline()
    _give(step, 0, mute("m", 0, 100, entity="W1"), city)
    assert _give(step, 120, alarm("gas-well", "W1", delay_s=60), city) == []


def test_the_end_of_an_alarm_passes_a_mute() -> None:
    step, city = _muted(), Timeline()
    _give(step, 0, mute("m", 0, 100, entity="W1"), city)
    assert [one.phase for one in _give(step, 10, clear("gas-well", "W1"), city)] == ["cleared"]


def test_a_mute_with_unreadable_times_is_counted_and_mutes_nothing() -> None:
    step, city = _muted(), Timeline()
    draft = mute("m", 0, 100, entity="W1")
    assert isinstance(draft.record, Control) and draft.record.mute is not None
    draft.record.mute.to = "tomorrow"
    _give(step, 0, draft, city)
    assert len(_give(step, 10, alarm("gas-well", "W1"), city)) == 1
    assert step.decided.noted == {"mute_unreadable": 1}


def test_more_mutes_than_may_be_are_counted() -> None:
    step, city = _muted(max_mutes=1), Timeline()
    _give(step, 0, mute("m1", 0, 100, entity="W1"), city)
    _give(step, 0, mute("m2", 0, 100, entity="W2"), city)
    assert step.decided.noted == {"mute_overflow": 1}


def test_rather_told_than_lost_when_too_much_is_kept() -> None:
    step, city = _muted(max_retained=1), Timeline()
    _give(step, 0, mute("m", 0, 100, category="gas"), city)
    _give(step, 1, alarm("gas-well", "W1"), city)
    assert [one.entity for one in _give(step, 2, alarm("gas-well", "W2"), city)] == ["W2"]


def _matches(draft: Draft, **matchers: Any) -> bool:
    record = Timeline().record(0, draft)
    assert isinstance(record, Signal)
    return matches(Mute("m", "silence", Matchers(**matchers), 0, 1, "duty"), record)


def test_every_named_field_must_agree() -> None:
    assert _matches(alarm("gas-well", "W1"), category="gas", entity="W1")
    assert not _matches(alarm("gas-well", "W1"), category="gas", entity="W2")


def test_a_place_mutes_what_lies_within_its_radius() -> None:
    here = {"lat": HOME[0], "lon": HOME[1], "radius_m": 100.0}
    assert _matches(alarm("gas-well", "W1", at=(90, 0)), **here)
    assert not _matches(alarm("gas-well", "W1", at=(110, 0)), **here)
    assert not _matches(alarm("gas-well", "W1", at=None), **here)

from __future__ import annotations

import msgspec

from streams.records import Signal
from tests.acceptance.timeline import BOOK, Draft, Timeline, call, rule
from topologies.bursts import Burst, Bursts
from topologies.incident_settings import IncidentSettings
from topologies.rule_facts import RuleTable


def _bursts() -> Bursts:
    return Bursts(RuleTable(BOOK, IncidentSettings()), IncidentSettings())


def _given(step: Bursts, city: Timeline, at_s: float, draft: Draft) -> list[Signal]:
    record = city.record(at_s, draft)
    assert isinstance(record, Signal)
    return [one for one in step.take(record) if one.rule == "calls-burst"]


def _calls(step: Bursts, city: Timeline, start: float, n: int, apart_m: float = 10.0, who: str = "p") -> list[Signal]:
    return [
        one
        for i in range(n)
        for one in _given(step, city, start + i, call("order-call", f"c{start}-{i}", f"{who}{i}", at=(apart_m * i, 0)))
    ]


def test_five_callers_of_one_place_are_a_burst_told_once() -> None:
    assert [one.value for one in _calls(_bursts(), Timeline(), 0, 8)] == [5.0]


def test_one_caller_who_calls_again_and_again_is_no_burst() -> None:
    step, city = _bursts(), Timeline()
    assert [_given(step, city, i, call("order-call", f"c{i}", "same")) for i in range(9)] == [[]] * 9


def test_callers_all_over_the_city_are_no_burst() -> None:
    assert _calls(_bursts(), Timeline(), 0, 8, apart_m=2000) == []


def test_callers_across_a_border_of_cells_are_counted_together() -> None:
    for shift in range(0, 500, 50):
        step, city = _bursts(), Timeline()
        found = [
            one
            for i in range(5)
            for one in _given(step, city, i, call("order-call", f"c{i}", f"p{i}", at=(shift + 80.0 * i, shift)))
        ]
        assert len(found) == 1


def test_what_is_usual_is_no_burst_after_a_while() -> None:
    step, city = _bursts(), Timeline()
    told = [len(_calls(step, city, hour * 3600, 4, who=f"h{hour}-")) for hour in range(24 * 14)]
    assert told == [0] * len(told)
    assert _calls(step, city, 24 * 14 * 3600, 6) == []


def test_a_flagged_window_is_not_learned_from() -> None:
    city, burst = Timeline(), Burst(next(one for one in BOOK.rules if one.name == "calls-burst"))
    for i in range(30):
        record = city.record(i, call("order-call", f"c{i}", f"p{i}"))
        assert isinstance(record, Signal)
        burst.take(record)
    late = city.record(7200, call("order-call", "late", "late"))
    assert burst._usually(next(iter(burst.usual)), late.arrival_ts) == 0.0


def test_a_call_without_a_place_and_one_of_another_category_do_not_count() -> None:
    step, city = _bursts(), Timeline()
    told = [_given(step, city, i, call("order-call", f"c{i}", f"p{i}", at=None)) for i in range(9)]
    told += [_given(step, city, 10 + i, call("gas-smell-call", f"g{i}", f"p{i}")) for i in range(9)]
    assert told == [[]] * 18


def test_its_state_goes_through_bytes() -> None:
    step, city = _bursts(), Timeline()
    _calls(step, city, 0, 8)
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(step.snapshot()))
    other = _bursts()
    other.restore(saved)
    assert msgspec.msgpack.encode(other.snapshot()) == msgspec.msgpack.encode(step.snapshot())


def test_a_rule_with_unreadable_parameters_watches_with_the_defaults() -> None:
    assert Burst(rule("b", "IND-01", "order", "calls", detector={"use": "burst", "radius_m": "wide"})).params.radius_m == 500.0

"""What several streams together make of one happening, by the house's own rulebook, whichever came first."""

from __future__ import annotations

import random
from typing import Any

import pytest

from detectors.rulebook import RuleBook
from streams.records import Incident, Signal, Source
from tests.acceptance.timeline import CITY, TOPICS, Draft, Timeline, place
from topologies.incident import IncidentStage
from topologies.incident_state import from_bytes, to_bytes

BOOK = RuleBook.default()
RULES = {rule.name: rule for rule in BOOK}
ON_TRIAL = {rule.name for rule in BOOK if rule.shadow}
NEEDED = [
    (family.name, escalation.name, rule)
    for family in BOOK.families.values()
    for escalation in family.escalate
    for need in escalation.needs
    for rule in need.rules
]


def say(name: str, entity: str, at: tuple[float, float] = (0.0, 0.0), phase: str = "raised", **more: Any) -> Draft:
    """A signal of a rule of the book, as its detect stage would send it; a call's entity is its caller too."""
    rule = RULES[name]
    signal = Signal(
        signal_id=f"{name}:{entity}:" + (entity if rule.momentary else "1"),
        city=CITY,
        category=rule.category,
        hazard=rule.hazard,
        rule=name,
        rule_version="1",
        entity=entity,
        stream=rule.match.stream,
        ts=0,
        arrival_ts=0,
        level=more.pop("level", max(rung.level for rung in rule.levels)),
        phase=phase,  # type: ignore[arg-type]
        source=Source("", 0, 0),
        location=place(*at),
        radius_m=rule.radius_m,
        momentary=rule.momentary,
        witness=more.pop("witness", entity) if rule.match.stream == "hotline" else None,
        **more,
    )
    return Draft(signal, TOPICS[rule.match.stream], 0)


def after(*pushes: tuple[float, Draft], until: float = 4000) -> tuple[dict[str, Incident], Timeline]:
    """The last revision of every incident."""
    city = Timeline(book=BOOK)
    for at_s, draft in pushes:
        city.push(at_s, draft)
    return {one.incident_id: one for one in city.play(until)}, city


def standing(incidents: dict[str, Incident]) -> list[Incident]:
    return [one for one in incidents.values() if one.status != "merged"]


TRACE = ("gas-methane-trace", "W1", (150.0, 0.0))


def trace(phase: str = "raised", value: float = 12.0) -> Draft:
    return say(*TRACE, phase=phase, value=value)


def smells(caller: str, at: tuple[float, float] = (0.0, 0.0)) -> Draft:
    return say("gas-smell-call", caller, at)


# --- evidence that opens nothing ---


@pytest.mark.parametrize(("family", "escalation", "rule"), NEEDED)
def test_no_escalation_waits_for_a_rule_on_trial(family: str, escalation: str, rule: str) -> None:
    assert rule in RULES and rule not in ON_TRIAL


def test_every_rule_an_escalation_needs_belongs_where_it_can_join() -> None:
    for family, escalation, name in NEEDED:
        hosts = {family, *BOOK.families[family].related, *(guest.family for guest in BOOK.families[family].guest)}
        assert RULES[name].family in hosts, (family, escalation, name)


@pytest.mark.parametrize(
    "pushes",
    [
        [(0, trace()), (600, smells("a")), (900, smells("b", (40, 0)))],
        [(600, smells("a")), (900, smells("b", (40, 0))), (1200, trace())],
        [(600, smells("a")), (700, trace()), (900, smells("b", (40, 0)))],
    ],
    ids=["trace first", "callers first", "between"],
)
def test_two_callers_and_a_trace_of_methane_are_level_one(pushes: list[tuple[float, Draft]]) -> None:
    found, _ = after(*pushes, until=1300)
    (one,) = found.values()
    assert (one.level, one.hazard) == (1, "GAS-03")


def test_a_trace_that_stood_for_hours_counts() -> None:
    found, _ = after((0, trace()), (20_000, smells("a")), (20_300, smells("b")), until=20_400)
    assert [one.level for one in found.values()] == [1]


def test_a_trace_alone_opens_nothing() -> None:
    found, city = after((0, trace()))
    assert not found and city.noted["kept_to_lend"] == 1


def test_a_trace_that_has_cleared_lends_nothing() -> None:
    found, _ = after((0, trace()), (300, trace("cleared")), (600, smells("a")), (900, smells("b")), until=1000)
    assert [(one.level, len(one.evidence)) for one in found.values()] == [(3, 2)]


def test_a_trace_out_of_reach_lends_nothing() -> None:
    far = say("gas-methane-trace", "W1", (900.0, 0.0), value=12.0)
    found, _ = after((0, far), (600, smells("a")), (900, smells("b")), until=1000)
    assert [one.level for one in found.values()] == [3]


def test_a_trace_keeps_no_incident_open() -> None:
    found, _ = after((0, trace()), (600, smells("a")), until=30_000)
    assert [one.status for one in found.values()] == ["resolved"]


def test_traces_in_neighbouring_wells_weigh_together_beside_a_well_that_alarms() -> None:
    well = say("gas-methane-well", "W2", (100.0, 0.0), level=3, value=22.0)
    found, _ = after((0, trace()), (60, well), until=200)
    assert [one.level for one in found.values()] == [2]


def test_neighbours_who_complained_before_the_meter_raise_its_incident() -> None:
    meter = say("site-noise", "N1", value=74.0)
    found, _ = after((0, say("noise-call", "a")), (60, say("noise-call", "b")), (900, meter), until=1000)
    assert [one.level for one in found.values()] == [3]


def test_a_complaint_and_a_camera_are_one_incident_of_level_three() -> None:
    found, _ = after((0, say("street-order-call", "a")), (600, say("street-vendor", "CAM")), until=700)
    assert [one.level for one in found.values()] == [3]


def test_complaints_of_another_day_weigh_nothing() -> None:
    camera = say("street-vendor", "CAM")
    found, _ = after((0, say("street-order-call", "a")), (9000, camera), until=9100)
    assert [one.level for one in found.values()] == [4]


def test_a_flash_rise_in_heavy_rain_is_level_two_though_the_gauge_is_far() -> None:
    gauge = say("rain-rate", "R1", (2000.0, 500.0), value=11.0)
    rise = say("ponding-flash-rise", "P1", value=12.0)
    for pushes in ([(0, gauge), (600, rise)], [(0, rise), (600, gauge)]):
        (one,) = after(*pushes, until=700)[0].values()
        assert (one.level, one.hazard) == (2, "PND-03")
        assert one.radius_m < 1000


def test_one_gauge_speaks_to_every_flash_rise_around() -> None:
    gauge = say("rain-rate", "R1", (0.0, 0.0), value=11.0)
    rises = [(600 + i, say("ponding-flash-rise", f"P{i}", (600.0 * i, 0.0), value=12.0)) for i in range(4)]
    found, _ = after((0, gauge), *rises, until=700)
    assert [one.level for one in found.values()] == [2, 2, 2, 2]


def test_what_is_lent_survives_a_restart() -> None:
    city = Timeline(book=BOOK)
    city._process(city.record(0, trace()))
    saved = from_bytes(to_bytes(city.stage.snapshot()))
    city.stage = IncidentStage.restore(saved, BOOK, city.assets)
    assert to_bytes(city.stage.snapshot()) == to_bytes(saved)
    for at_s, draft in ((600, smells("a")), (900, smells("b"))):
        city._process(city.record(at_s, draft))
    assert city.incidents[-1].level == 1


def test_what_is_lent_is_bounded() -> None:
    city = Timeline(book=BOOK, max_lent=10)
    for i in range(50):
        city.push(i, say("gas-methane-trace", f"W{i}", (1000.0 * i, 0.0), value=12.0))
    city.play(60)
    assert city.noted["lending_overflow"] == 40


# --- one cause, one incident ---

BURST = [
    (0, say("water-burst-call", "a")),
    (300, say("ponding-video", "CAM", (120.0, 0.0))),
    (500, say("road-ponding", "P1", (80.0, 60.0), value=18.0)),
]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0), (2, 1, 0)])
def test_a_burst_and_the_water_it_leaves_on_the_road_are_one_incident_of_the_water_company(order: tuple[int, ...]) -> None:
    pushes = [(200.0 * n, BURST[which][1]) for n, which in enumerate(order)]
    (one,) = standing(after(*pushes, until=700)[0])
    assert (one.category, one.level, len(one.evidence)) == ("water", 2, 3)


def test_a_camera_three_hundred_metres_off_is_evidence_of_the_burst() -> None:
    (one,) = after((0, say("water-burst-call", "a")), (60, say("ponding-video", "CAM", (290.0, 0.0))), until=70)[0].values()
    assert (one.hazard, one.level) == ("WAT-02", 2)


def test_rain_on_a_road_where_taps_are_dry_stays_its_own() -> None:
    found, _ = after((0, say("water-supply-call", "a")), (60, say("ponding-video", "CAM")), until=70)
    assert sorted(one.category for one in found.values()) == ["ponding", "water"]


def test_dry_taps_water_on_the_road_and_then_a_burst_become_one() -> None:
    pushes = [(0, say("water-supply-call", "a")), (60, say("ponding-video", "CAM")), (300, say("water-burst-call", "b"))]
    (one,) = standing(after(*pushes, until=400)[0])
    assert (one.category, one.level) == ("water", 2)


def test_three_callers_make_a_burst_without_any_sensor() -> None:
    calls = [(60.0 * i, say("water-burst-call", f"c{i}", (60.0 * i, 0))) for i in range(3)]
    (one,) = after(*calls, until=200)[0].values()
    assert (one.hazard, one.level) == ("WAT-02", 2)


@pytest.mark.parametrize("first", [0, 1])
def test_a_road_that_collapses_over_a_burst_is_one_incident_of_level_one(first: int) -> None:
    both = [say("water-burst-call", "a", (100, 0)), say("road-collapse-call", "b")]
    (one,) = standing(after((0, both[first]), (300, both[1 - first]), until=400)[0])
    assert (one.category, one.hazard, one.level) == ("road", "RD-01", 1)


def test_one_caller_who_speaks_of_both_is_one_witness() -> None:
    both = (say("water-burst-call", "c1", witness="a"), say("road-collapse-call", "c2", witness="a"))
    (one,) = standing(after((0, both[0]), (1, both[1]), until=10)[0])
    assert one.level == 3


@pytest.mark.parametrize("first", [0, 1])
def test_an_overflowing_drain_and_its_water_on_the_road_are_one(first: int) -> None:
    both = [say("drain-overflow", "D1", value=3.4), say("road-ponding", "P1", (90, 0), value=16.0)]
    (one,) = standing(after((0, both[first]), (300, both[1 - first]), until=400)[0])
    assert one.category == "drainage"


def test_a_gale_in_the_rain_is_told() -> None:
    found, _ = after((0, say("rain-3h", "R1", level=2, value=52.0)), (600, say("weather-wind", "V1", value=19.0)), until=700)
    assert len(found) == 2


# --- callers know their place to some ninety metres ---


def test_calls_about_one_cover_are_one_incident_and_two_callers_raise_it() -> None:
    found, _ = after((0, say("cover-call", "a")), (1200, say("cover-call", "b", (140.0, 0.0))), until=1300)
    assert [one.level for one in found.values()] == [2]


def test_two_tilted_covers_a_street_apart_stay_two() -> None:
    found, _ = after((0, say("cover-tilt", "T1")), (60, say("cover-tilt", "T2", (140.0, 0.0))), until=70)
    assert len(found) == 2


def test_calls_of_one_cover_come_to_the_same_in_any_order() -> None:
    rng = random.Random(7)
    spots = [(rng.uniform(-65, 65), rng.uniform(-40, 40)) for _ in range(5)]
    for _ in range(10):
        rng.shuffle(spots)
        found, _ = after(*[(60.0 * i, say("cover-call", f"c{i}", spot)) for i, spot in enumerate(spots)], until=400)
        assert len(standing(found)) == 1


# --- a device that comes and goes ---


def chatter(times: int, every_s: float = 1800.0) -> Timeline:
    city = Timeline(book=BOOK)
    for i in range(times):
        signal = say("device-silent", "S1", outage="device")
        over = say("device-silent", "S1", phase="cleared")
        for draft in (signal, over):
            draft.record.signal_id = f"device-silent:S1:{i}"  # type: ignore[union-attr]
        city.push(i * every_s, signal).push(i * every_s + 600, over)
    city.play(times * every_s + 30_000)
    return city


def test_a_chattering_device_is_one_incident_a_day() -> None:
    city = chatter(20)
    assert len({one.incident_id for one in city.incidents}) == 1
    assert city.muted["chatter"] > 20
    assert len(city.incidents) < 15


def test_a_latched_incident_goes_behind_the_others_and_says_why() -> None:
    latched = next(one for one in chatter(5).incidents if one.why == "chatter")
    assert latched.priority.score < 20
    assert any("chatters" in ground for ground in latched.priority.because)


def test_a_device_that_returns_after_five_hours_reopens_its_incident() -> None:
    city = chatter(2, every_s=18_000)
    assert [one.event for one in city.incidents if one.event in ("opened", "reopened")] == ["opened", "reopened"]


def test_a_latched_incident_ends_when_the_device_has_been_quiet() -> None:
    assert chatter(6).incidents[-1].status == "resolved"


@pytest.mark.parametrize(("name", "metres"), [("site-complaint-call", 200), ("street-order-call", 120)])
def test_two_callers_who_complain_of_the_same_open_what_one_does_not(name: str, metres: float) -> None:
    alone, _ = after((0, say(name, "A")), until=600)
    both, _ = after((0, say(name, "A")), (300, say(name, "B", (metres, 0.0))), until=600)
    assert (len(alone), [sorted(piece.entity for piece in one.evidence) for one in both.values()]) == (0, [["A", "B"]])


def test_the_same_caller_twice_is_one_witness() -> None:
    found, _ = after(
        (0, say("street-order-call", "A", witness="X")), (300, say("street-order-call", "B", witness="X")), until=600
    )
    assert found == {}


def test_two_complaints_far_apart_are_two_cases_of_the_day() -> None:
    found, _ = after((0, say("site-complaint-call", "A")), (300, say("site-complaint-call", "B", (900.0, 0.0))), until=600)
    assert found == {}


def test_complaints_join_the_meter_of_the_site() -> None:
    found, _ = after(
        (0, say("site-noise-night", "N-1")),
        (300, say("site-complaint-call", "A", (50.0, 0.0))),
        (400, say("site-complaint-call", "B", (80.0, 0.0))),
        until=900,
    )
    assert [one.category for one in found.values()] == ["site"]


def test_a_meter_takes_over_what_the_neighbours_opened() -> None:
    found, _ = after(
        (0, say("site-complaint-call", "A", (50.0, 0.0))),
        (100, say("site-complaint-call", "B", (80.0, 0.0))),
        (500, say("site-noise", "N-1")),
        until=900,
    )
    assert [sorted(piece.entity for piece in one.evidence) for one in found.values()] == [["A", "B", "N-1"]]

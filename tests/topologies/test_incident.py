"""Laws of the incident stage: cutting, saving, repeating and interleaving change nothing; nothing raises."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rulebook import RuleBook
from streams.records import Asset, Control, Incident, Matchers, Mute, Period, Point, Signal, Source
from streams.registry import Registry
from tests.acceptance.timeline import (
    BOOK,
    CITY,
    HOME,
    T0,
    Assets,
    Book,
    Draft,
    Timeline,
    alarm,
    call,
    feedback,
    mute,
    rule,
    silent_share,
)
from topologies.incident import IncidentStage
from topologies.incident_settings import IncidentSettings
from topologies.incident_state import from_bytes, to_bytes
from topologies.life_cycle import next_due

SPOTS = [(0.0, 0.0), (120.0, 40.0), (400.0, 0.0), (700.0, 0.0), (6000.0, 0.0)]
GATEWAYS = {"GW": ["W0", "W1", "W2", "W3"]}
SMALL = IncidentSettings(reopen_s=300.0, evidence_kept=6, evidence_shown=4, every_source_until=3, max_open=4)


def _draft(choice: tuple[int, int, int, int, int]) -> Draft:
    """One thing that may happen, from small numbers."""
    kind, who, level, phase, spot = choice
    phases = ("raised", "updated", "cleared")
    at = SPOTS[spot] if spot < len(SPOTS) else None
    if kind == 0:
        return alarm("gas-well", f"W{who}", level=level, phase=phases[phase], at=at, raised=0, value=4.0 * who)
    if kind == 1:
        return call("gas-smell-call", f"c{random_id(choice)}", f"caller{who}", at=at, level=level)
    if kind == 2:
        return alarm("cover", f"C{who}", level=level, phase=phases[phase], at=at, partition=1)
    if kind == 3:
        evidence = (None, "gateway", "device", "stream")[level - 1]
        return alarm("device-silence", f"W{who}", level=4, phase=phases[phase], at=at, gateway="GW", outage=evidence)
    if kind == 4:
        return mute(f"m{who}", 0, 200 * who + 50, kind=("maintenance", "drill")[level % 2], ended=phase == 2, entity=f"W{who}")
    if kind == 5:
        if who > 1:
            return alarm("platform-stream-silent", "T", phase=phases[phase], at=None, value=60.0, partition=who % 2)
        return silent_share(0.3 * phase, who)
    if kind == 6:
        return call("ponding-video", f"v{random_id(choice)}", at=at, level=level, historical=phase == 2)
    return feedback(
        ("acknowledge", "dispatch", "resolve", "false_alarm", "reopen", "handle", "note")[(who + level) % 7],
        f"?{who}",
        note="seen",
    )


def random_id(choice: Sequence[int]) -> int:
    return hash(tuple(choice)) % 1000


choices = st.tuples(st.integers(0, 7), st.integers(0, 4), st.integers(1, 4), st.integers(0, 2), st.integers(0, 5))
happenings = st.lists(st.tuples(st.floats(0, 120), choices), min_size=1, max_size=40)


def _records(drafts: Iterable[tuple[float, tuple[int, int, int, int, int]]]) -> list[Signal | Control]:
    """The log of a city: arrival rises; feedback names incidents by guess and by the ids that were given."""
    city = Timeline(Assets(gateways=GATEWAYS))
    now, log = 0.0, []
    seen: list[str] = []
    for step, choice in drafts:
        now += step
        record = city.record(round(now, 3), _draft(choice))
        if isinstance(record, Control) and record.feedback is not None and seen:
            record.feedback.incident_id = seen[choice[1] % len(seen)]
        for one in (
            record,
            city.record(
                round(now, 3),
                Draft(Control(control="tick", city=CITY, arrival_ts=0, source=Source("", 0, 0)), "city.progress", 0),
            ),
        ):
            log.append(one)
            seen += [found.incident_id for found in city.stage.process([one]).incidents if found.event == "opened"]
    return log


def _stage(registry: Any = None, small: IncidentSettings = SMALL) -> IncidentStage:
    return IncidentStage(CITY, BOOK, registry or Assets(gateways=GATEWAYS), small)


def _bytes(incidents: Iterable[Incident]) -> list[bytes]:
    return [msgspec.json.encode(one) for one in incidents]


def _whole(log: Sequence[Signal | Control], small: IncidentSettings = SMALL) -> list[bytes]:
    stage = _stage(small=small)
    return _bytes([*stage.process(log).incidents, *stage.advance(log[-1].arrival_ts + 10_000_000).incidents])


@settings(max_examples=60, deadline=None)
@given(happenings, st.lists(st.integers(0, 80), max_size=6))
def test_where_the_records_are_cut_changes_nothing(drafts: Any, cuts: list[int]) -> None:
    log = _records(drafts)
    stage, found = _stage(), []
    edges = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    for start, stop in itertools.pairwise(edges):
        found += stage.process(log[start:stop]).incidents
    found += stage.advance(log[-1].arrival_ts + 10_000_000).incidents
    assert _bytes(found) == _whole(log)


@settings(max_examples=60, deadline=None)
@given(happenings, st.integers(0, 80))
def test_what_is_aimed_is_what_is_due(drafts: Any, cut: int) -> None:
    """Whoever changes an incident aims it anew: a timer that stands is asked instead of the incident."""
    log = _records(drafts)
    stage = _stage()
    for number, record in enumerate(log):
        if number == cut:
            stage = IncidentStage.restore(from_bytes(to_bytes(stage.snapshot())), BOOK, Assets(gateways=GATEWAYS), SMALL)
        stage.process([record])
        book = stage._casebook
        aimed = {name: book.timers.time(name) for name in book.incidents}
        due = {name: next_due(one, SMALL) for name, one in book.incidents.items()}
        assert aimed == {name: None if one is None else one[0] for name, one in due.items()}


@settings(max_examples=60, deadline=None)
@given(happenings, st.integers(0, 80))
def test_a_state_saved_and_restored_through_bytes_changes_nothing(drafts: Any, cut: int) -> None:
    log = _records(drafts)
    stage = _stage()
    found = list(stage.process(log[:cut]).incidents)
    stage = IncidentStage.restore(from_bytes(to_bytes(stage.snapshot())), BOOK, Assets(gateways=GATEWAYS), SMALL)
    found += stage.process(log[cut:]).incidents
    found += stage.advance(log[-1].arrival_ts + 10_000_000).incidents
    assert _bytes(found) == _whole(log)


@settings(max_examples=40, deadline=None)
@given(happenings, st.integers(0, 80))
def test_a_restored_state_saves_as_the_same_bytes(drafts: Any, cut: int) -> None:
    stage = _stage()
    stage.process(_records(drafts)[:cut])
    saved = to_bytes(stage.snapshot())
    assert to_bytes(IncidentStage.restore(from_bytes(saved), BOOK, Assets(gateways=GATEWAYS), SMALL).snapshot()) == saved


def _where(stage: IncidentStage) -> dict[str, Any]:
    """Everything by which the stage finds what a signal may belong to."""
    near, lending, bursts = stage._casebook._near, stage._casebook._lending, stage._bursts
    return {
        "incidents by cell": {family: cells._rows for family, cells in near._cells.items() if cells._rows},
        "incidents by group and gateway": near._topology,
        "incidents by entity": near.of_entity,
        "lent by cell": {reach: cells._rows for reach, cells in lending._cells.items() if cells._rows},
        "calls by cell": {rule: grid._rows for rule, grid in bursts._grids.items()},
        "timers": stage._casebook.timers.snapshot(),
    }


@settings(max_examples=60, deadline=None)
@given(happenings, st.integers(0, 80))
def test_what_is_kept_up_step_by_step_is_what_a_restored_stage_finds_at_once(drafts: Any, cut: int) -> None:
    stage = _stage()
    stage.process(_records(drafts)[:cut])
    restored = IncidentStage.restore(from_bytes(to_bytes(stage.snapshot())), BOOK, Assets(gateways=GATEWAYS), SMALL)
    assert _where(stage) == _where(restored)


#: Every source is heard: an idle one accounts for itself every five seconds.
ALL_HEARD = msgspec.structs.replace(SMALL, stall_s=10_000_000.0)


@pytest.mark.parametrize("small", [SMALL, ALL_HEARD], ids=["some stall", "all are heard"])
@settings(max_examples=40, deadline=None)
@given(drafts=happenings, crash=st.integers(0, 80), back=st.integers(0, 80))
def test_records_sent_again_after_a_crash_are_no_news(small: IncidentSettings, drafts: Any, crash: int, back: int) -> None:
    """A source that has stalled counts again by what it repeats, so what comes behind is compared where none has stalled."""
    log = _records(drafts)
    stage = _stage(small=small)
    found = list(stage.process(log[:crash]).incidents)
    again = stage.process(log[max(0, crash - back) : crash])
    assert (again.incidents, again.repeated) == ([], len(log[max(0, crash - back) : crash]))
    found += stage.process(log[crash:]).incidents
    found += stage.advance(log[-1].arrival_ts + 10_000_000).incidents
    bodies = {(one.incident_id, one.revision) for one in found}
    assert len(bodies) == len(found)
    if small is ALL_HEARD:
        assert _bytes(found) == _whole(log, ALL_HEARD)


@settings(max_examples=60, deadline=None)
@given(happenings, st.integers(0, 80), st.integers(0, 80))
def test_an_older_state_decides_the_same_again(drafts: Any, saved_at: int, crash: int) -> None:
    log = _records(drafts)
    stage = _stage()
    before = list(stage.process(log[:saved_at]).incidents)
    saved = to_bytes(stage.snapshot())
    lost = list(stage.process(log[saved_at : max(saved_at, crash)]).incidents)
    stage = IncidentStage.restore(from_bytes(saved), BOOK, Assets(gateways=GATEWAYS), SMALL)
    again = _bytes(stage.process(log[saved_at:]).incidents)
    assert again[: len(lost)] == _bytes(lost)
    assert _bytes(before) + again == _whole(log)[: len(before) + len(again)]


def _of_district(
    number: int, drafts: Iterable[tuple[float, tuple[int, int, int, int, int]]], pace: float = 40.0
) -> list[Signal | Control]:
    """One source partition whose happenings lie far from all others."""
    city = Timeline()
    begins = silent_share(0.0)
    begins.topic, begins.partition = "city.signals.of", number
    now, log = 0.0, [city.record(0, begins)]
    for n, (step, (kind, who, level, phase, spot)) in enumerate(drafts):
        now += step / pace
        at = SPOTS[spot % 4]
        at = (at[0] + 50_000.0 * number, at[1])
        phases = ("raised", "updated", "cleared")
        if kind % 2:
            draft = call("gas-smell-call", f"d{number}-{n}", f"caller{number}-{who}", at=at, level=level)
        else:
            draft = alarm("cover", f"D{number}-{who}", level=level, phase=phases[phase], at=at)
        draft.topic, draft.partition = "city.signals.of", number
        log.append(city.record(round(now, 3), draft))
    return log


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.floats(0, 120), choices), min_size=1, max_size=12), min_size=2, max_size=3),
    st.randoms(use_true_random=False),
)
def test_how_unrelated_sources_interleave_does_not_change_the_revisions(districts: Any, chance: random.Random) -> None:
    logs = [_of_district(number, drafts) for number, drafts in enumerate(districts)]
    roomy = IncidentSettings(reopen_s=20.0, stall_s=120.0)

    def decided(order: Iterable[int]) -> list[bytes]:
        stage = IncidentStage(CITY, BOOK, Assets(), roomy)
        heads = [iter(log) for log in logs]
        stage.process([next(head) for head in heads])  # every source has said that it is there
        found = list(stage.process([next(heads[number]) for number in order]).incidents)
        return sorted(_bytes([*found, *stage.advance(T0 + 10_000_000).incidents]))

    in_turn = [number for number, log in enumerate(logs) for _ in log[1:]]
    mixed = list(in_turn)
    chance.shuffle(mixed)
    assert decided(mixed) == decided(in_turn)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.floats(0, 120), choices), min_size=1, max_size=12), min_size=2, max_size=3))
def test_a_backlog_read_one_partition_after_the_other_gives_the_revisions_of_the_live_run(districts: Any) -> None:
    logs = [_of_district(number, drafts, pace=1.0) for number, drafts in enumerate(districts)]
    behind = IncidentSettings(reopen_s=20.0, stall_s=5.0)

    def decided(log: Iterable[Signal | Control]) -> list[bytes]:
        stage = IncidentStage(CITY, BOOK, Assets(), behind)
        found = list(stage.process(list(log)).incidents)
        return sorted(_bytes([*found, *stage.advance(T0 + 10_000_000).incidents]))

    live = sorted(itertools.chain(*logs), key=lambda record: record.arrival_ts)
    assert decided(itertools.chain(*logs)) == decided(itertools.chain(*reversed(logs))) == decided(live)


def test_a_silence_that_ended_in_time_is_not_told_because_another_partition_is_minutes_ahead() -> None:
    city = Timeline()
    ahead, began, ended = (
        city.record(200, silent_share(0.0)),
        city.record(0, alarm("device-silence", "W0", level=4, partition=1)),
        city.record(40, alarm("device-silence", "W0", level=4, phase="cleared", partition=1)),
    )
    decided = city.stage.process([ahead, began, ended])
    assert (decided.incidents, decided.muted) == ([], {"held": 1, "heard_in_time": 1})


@settings(max_examples=60, deadline=None)
@given(happenings)
def test_an_id_and_revision_has_one_body_and_revisions_rise_by_one(drafts: Any) -> None:
    log = _records(drafts)
    stage = _stage()
    found = [*stage.process(log).incidents, *stage.advance(log[-1].arrival_ts + 10_000_000).incidents]
    last: dict[str, int] = {}
    for one in found:
        assert one.revision == last.get(one.incident_id, 0) + 1
        last[one.incident_id] = one.revision


@settings(max_examples=60, deadline=None)
@given(happenings)
def test_in_the_end_nothing_is_left_open_but_standing_alarms(drafts: Any) -> None:
    log = _records(drafts)
    stage = _stage()
    stage.process(log)
    decided = stage.advance(log[-1].arrival_ts + 100_000_000)
    assert decided.open == len(stage.open_incidents())
    assert all(any(piece.active for piece in one.evidence) for one in stage.open_incidents())


text = st.text(max_size=12)
numbers = st.integers(-(2**62), 2**62)
coordinates = st.tuples(st.floats(), st.floats())
signals = st.builds(
    Signal,
    signal_id=text,
    city=st.sampled_from([CITY, "", "110100"]),
    category=text,
    hazard=text,
    rule=st.sampled_from([*(one.name for one in BOOK.rules), "", "?"]),
    rule_version=text,
    entity=text,
    stream=st.sampled_from(["sensor", "video", "hotline", ""]),
    ts=numbers,
    arrival_ts=numbers,
    level=st.integers(-5, 9),
    phase=st.sampled_from(["raised", "updated", "cleared"]),
    source=st.builds(Source, topic=text, partition=st.integers(0, 3), offset=numbers, n=st.integers(0, 3)),
    location=st.none() | st.builds(Point, coordinates=coordinates),
    radius_m=st.floats(),
    value=st.none() | st.floats(),
    gateway=st.none() | text,
    momentary=st.booleans(),
    historical=st.booleans(),
)
mutes = st.builds(
    Mute,
    mute_id=text,
    kind=st.sampled_from(["silence", "drill"]),
    matchers=st.builds(
        Matchers,
        entity=st.none() | text,
        lat=st.none() | st.floats(),
        lon=st.none() | st.floats(),
        radius_m=st.none() | st.floats(),
    ),
    from_=numbers | text,
    to=numbers | text,
    author=text,
)
controls = st.builds(
    Control,
    control=st.sampled_from(["mute", "feedback", "rules", "registry", "tick"]),
    city=text,
    arrival_ts=numbers,
    source=st.builds(Source, topic=text, partition=st.integers(0, 3), offset=numbers),
    mute=st.none() | mutes,
    fingerprint=st.none() | text,
    registry_revision=st.none() | numbers,
    silent_fraction=st.none() | st.floats(),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(signals | controls, max_size=15))
def test_no_record_whatever_it_holds_raises(log: list[Signal | Control]) -> None:
    stage = _stage()
    decided = stage.process(log)
    decided.incidents += stage.advance(2**62).incidents
    assert all(1 <= one.level <= 4 and 0 <= one.priority.score <= 100 for one in decided.incidents)


def test_an_announced_rule_book_that_was_offered_is_used_from_the_record_on() -> None:
    city = Timeline()
    other = Book((rule("gas-well", "GAS-02", "gas", "gas", title="Renamed"),), BOOK.families, "other")
    city.stage.offer(rules=other)
    switch = Draft(
        Control(control="rules", city=CITY, arrival_ts=0, source=Source("", 0, 0), fingerprint="other"),
        "city.sensor.readings",
        0,
    )
    city.push(0, alarm("gas-well", "W1")).push(1, switch).push(2, alarm("gas-well", "W2", at=(6000, 0)))
    assert [one.title for one in city.play(until=3)] == ["Methane in a well", "Renamed"]


def test_an_announced_rule_book_nobody_offered_is_noted() -> None:
    city = Timeline()
    switch = Draft(
        Control(control="rules", city=CITY, arrival_ts=0, source=Source("", 0, 0), fingerprint="other"),
        "city.sensor.readings",
        0,
    )
    city.push(0, switch).play(until=1)
    assert city.noted == {"rules_awaited": 1}


def test_open_incidents_show_the_last_revision() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, alarm("gas-well", "W2", at=(50, 0)))
    assert city.stage.open_incidents() == [] and city.play(until=2)[-1:] == city.stage.open_incidents()


def test_the_id_is_of_city_day_category_and_the_deciding_record() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1"))
    other = Timeline()
    other.push(0, call("gas-smell-call", "c0", at=(9000, 0)), alarm("gas-well", "W1", partition=3))
    ids = [city.play(until=1)[0].incident_id, other.play(until=1)[1].incident_id]
    assert ids[0] == ids[1] and ids[0].startswith("340100-20231113-GAS-")


def test_too_many_open_incidents_resolve_the_mildest_and_say_why() -> None:
    city = Timeline(max_open=3)
    for i in range(5):
        city.push(i, alarm("gas-well", f"W{i}", at=(6000.0 * i, 0), level=4 if i == 1 else 3))
    found = city.play(until=6)
    assert [one.evidence[0].entity for one in found if one.why == "capacity"] == ["W1", "W0"]


def test_the_real_registry_and_rule_book_fit() -> None:
    book = RuleBook.of(list(BOOK.rules[:1]), BOOK.families)
    school = Period(from_=0, lat=HOME[0], lon=HOME[1], attributes={"target": "school"})
    registry = Registry.from_assets([Asset("SCH-1", "site", [school])])
    stage = IncidentStage(CITY, book, registry)
    record = Timeline().record(0, alarm("gas-well", "W1", at=(100, 0)))
    assert stage.process([record]).incidents[0].priority.because == ["level 3", "school within 100 m"]


def test_open_incidents_are_counted_by_category_and_level() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1"), alarm("cover", "C1", level=4)).play(until=1)
    assert city.stage.open_counts() == {("gas", 3): 1, ("cover", 4): 1}

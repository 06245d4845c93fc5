"""What becomes of incidents, told as timelines."""

from __future__ import annotations

from tests.acceptance.timeline import (
    EAST,
    HOME,
    T0,
    Assets,
    Timeline,
    alarm,
    between,
    call,
    clear,
    feedback,
    mute,
    silent_share,
    update,
)

FAR = (5000.0, 0.0)
SENSORS = [f"S{i}" for i in range(10)]


def test_an_alarm_opens_one_incident_and_its_end_resolves_it_after_the_hold() -> None:
    city = Timeline()
    city.push(2.2, alarm("gas-well", "W1"))
    city.push(30, clear("gas-well", "W1"))
    city.want(2.2, event="opened", status="open", level=3, colour="yellow", hazard="GAS-01")
    city.want(30, event="updated", status="recovering", why="all_cleared")
    city.want(330, event="resolved", status="resolved", why="hold_elapsed")
    city.run(until=400)


def test_repeated_words_of_one_alarm_are_no_news() -> None:
    city = Timeline()
    city.push(1, alarm("gas-well", "W1", raised=1))
    for second in range(2, 60):
        city.push(second, update("gas-well", "W1", raised=1))
    city.want(1, event="opened")
    city.run(until=60)


def test_a_worse_reading_escalates_and_a_milder_one_eases() -> None:
    city = Timeline()
    city.push(1, alarm("gas-well", "W1", level=3, raised=1))
    city.push(5, update("gas-well", "W1", level=2, raised=1))
    city.push(9, update("gas-well", "W1", level=3, raised=1))
    city.want(1, event="opened", level=3)
    city.want(5, event="escalated", level=2)
    city.want(9, event="eased", level=3)
    city.run(until=20)


def test_two_callers_and_methane_nearby_are_one_incident_of_level_one() -> None:
    city = Timeline()
    city.push(0, call("gas-smell-call", "c1", "138****0001"))
    city.push(60, call("gas-smell-call", "c2", "139****0002", at=(100, 0)))
    city.push(90, alarm("gas-well", "W1", at=(150, 50), value=12.0))
    city.want(0, event="opened", level=3, hazard="GAS-04", sources=1)
    city.want(60, event="updated", why="new_source", sources=2)
    city.want(90, event="escalated", level=1, hazard="GAS-03", why="escalation_callers-and-methane", sources=3)
    city.run(until=120)


def test_the_same_caller_twice_is_one_witness() -> None:
    city = Timeline()
    city.push(0, call("gas-smell-call", "c1", "138****0001"))
    city.push(30, call("gas-smell-call", "c2", "138****0001"))
    city.push(60, alarm("gas-well", "W1", value=12.0))
    city.want(0, event="opened", level=3)
    city.want(60, event="updated", level=3, sources=2, signals=3)
    city.run(until=120)


def test_methane_below_the_needed_value_does_not_escalate_until_it_rises() -> None:
    city = Timeline()
    city.push(0, call("gas-smell-call", "c1", "a"), call("gas-smell-call", "c2", "b"))
    city.push(10, alarm("gas-well", "W1", value=8.0, raised=10))
    city.push(20, update("gas-well", "W1", value=11.0, raised=10))
    city.want(0, event="opened")
    city.want(0, event="updated", sources=2)
    city.want(10, event="updated", level=3, sources=3)
    city.want(20, event="escalated", level=1)
    city.run(until=30)


def test_alarms_five_kilometres_apart_are_two_incidents() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1"))
    city.push(1, alarm("gas-well", "W2", at=FAR))
    city.want(0, event="opened")
    city.want(1, event="opened")
    city.run(until=10)


def test_a_call_too_late_to_belong_opens_its_own_incident() -> None:
    city = Timeline(reopen_s=60)
    city.push(0, call("gas-smell-call", "c1"))
    city.push(3000, call("gas-smell-call", "c2"))
    city.want(0, event="opened")
    city.want(600, event="resolved", why="quiet")
    city.want(3000, event="opened")
    city.run(until=3010)


def test_an_incident_does_not_chain_through_the_city() -> None:
    city = Timeline()
    for i in range(8):
        city.push(i, alarm("gas-well", f"W{i}", at=(250.0 * i, 0)))
    found = city.play(until=20)
    assert len({one.incident_id for one in found}) >= 2
    assert all(max(e.distance_m or 0 for e in one.evidence) <= 600 for one in found)


def test_a_signal_between_two_incidents_merges_the_younger_into_the_older() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1"))
    city.push(1, alarm("gas-well", "W2", at=(500, 0)))
    city.push(2, alarm("gas-well", "W3", at=(250, 0)))
    city.want(0, event="opened")
    city.want(1, event="opened")
    city.want(2, event="merged", status="merged", why="bridged")
    city.want(2, event="updated", why="merged_with", sources=3)
    older = city.run(until=10)
    merged = next(one for one in older if one.event == "merged")
    assert merged.merged_into == older[0].incident_id


def test_a_merged_alarm_clears_in_the_incident_it_moved_to() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1")).push(1, alarm("gas-well", "W2", at=(500, 0)))
    city.push(2, alarm("gas-well", "W3", at=(250, 0)))
    city.push(10, clear("gas-well", "W1"), clear("gas-well", "W2", at=(500, 0)), clear("gas-well", "W3", at=(250, 0)))
    found = city.play(until=400)
    assert [(one.event, one.status) for one in found[-2:]] == [("updated", "recovering"), ("resolved", "resolved")]
    assert found[-1].incident_id == found[0].incident_id


def test_a_fire_nearby_joins_a_gas_incident_but_gas_does_not_join_a_fire() -> None:
    joined = Timeline()
    joined.push(0, alarm("gas-well", "W1")).push(5, call("fire-video", "v1", level=2))
    joined.want(0, event="opened", category="gas")
    joined.want(5, event="escalated", level=2, category="gas")
    joined.run(until=10)
    apart = Timeline()
    apart.push(0, call("fire-video", "v1", level=2)).push(5, alarm("gas-well", "W1"))
    apart.want(0, event="opened", category="fire")
    apart.want(5, event="opened", category="gas")
    apart.run(until=10)


def test_what_returns_soon_after_resolution_reopens_the_same_incident() -> None:
    city = Timeline()
    city.push(0, alarm("cover", "C1")).push(10, clear("cover", "C1")).push(100, alarm("cover", "C1"))
    city.want(0, event="opened").want(10, event="updated", status="recovering")
    city.want(70, event="resolved").want(100, event="reopened", status="open", revision=4)
    found = city.run(until=110)
    assert len({one.incident_id for one in found}) == 1


def test_what_returns_late_is_a_new_incident() -> None:
    city = Timeline(reopen_s=100)
    city.push(0, alarm("cover", "C1")).push(10, clear("cover", "C1")).push(200, alarm("cover", "C1"))
    city.want(0, event="opened").want(10, event="updated").want(70, event="resolved").want(200, event="opened")
    found = city.run(until=210)
    assert found[0].incident_id != found[-1].incident_id


def test_an_alarm_that_returns_while_recovering_stays_the_same_incident() -> None:
    city = Timeline()
    city.push(0, alarm("cover", "C1")).push(10, clear("cover", "C1")).push(50, alarm("cover", "C1"))
    city.want(0, event="opened").want(10, status="recovering").want(50, event="updated", status="open", why="returned")
    city.run(until=300)


def test_people_acknowledge_dispatch_and_resolve() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1"))
    city.push(60, feedback("acknowledge"))
    city.push(120, feedback("dispatch", department="crew-7", deadline=T0 + 3_600_000))
    city.push(900, feedback("resolve", note="valve closed"))
    city.want(0, event="opened", status="open")
    city.want(60, event="acknowledged", status="acknowledged")
    city.want(120, event="dispatched", status="dispatched")
    city.want(900, event="resolved", status="resolved", notes=("duty: valve closed",))
    found = city.run(until=1000)
    assert (found[2].dispatch.lead, found[2].dispatch.handle_by) == ("crew-7", T0 + 3_600_000)


def test_an_unanswered_incident_is_overdue_once_per_deadline() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1"))
    city.want(0, event="opened")
    city.want(900, event="overdue", why="confirm_overdue")
    city.want(7200, event="overdue", why="handle_overdue")
    city.run(until=20_000)


def test_the_mildest_level_is_a_queue_and_never_overdue() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", level=4))
    city.want(0, event="opened", level=4)
    city.run(until=20_000)


def test_a_false_alarm_does_not_come_back_by_itself_but_does_when_it_gets_worse() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", raised=0)).push(10, feedback("false_alarm"))
    city.push(20, update("gas-well", "W1", raised=0)).push(30, update("gas-well", "W1", level=1, raised=0))
    city.want(0, event="opened")
    city.want(10, event="resolved", status="false_alarm")
    city.want(30, event="reopened", level=1)
    city.run(until=40)
    assert city.muted == {"closed_by_hand": 1}


def test_feedback_for_an_incident_nobody_knows_is_counted() -> None:
    city = Timeline()
    city.push(5, feedback("acknowledge", "340100-20231113-GAS-00000000"))
    city.run(until=10)
    assert city.noted == {"feedback_unknown": 1}


def test_a_maintenance_window_mutes_and_what_still_holds_afterwards_is_news() -> None:
    city = Timeline()
    city.push(0, mute("m1", 0, 100, entity="W1"))
    city.push(10, alarm("gas-well", "W1"), alarm("gas-well", "W2", at=FAR))
    city.want(10, event="opened")
    city.want(100, event="opened")
    found = city.run(until=120)
    assert [one.evidence[0].entity for one in found] == ["W2", "W1"]
    assert city.muted == {"maintenance": 1}


def test_what_ends_within_the_mute_was_never_news() -> None:
    city = Timeline()
    city.push(0, mute("m1", 0, 100, entity="W1")).push(10, alarm("gas-well", "W1")).push(50, clear("gas-well", "W1"))
    city.run(until=200)
    assert city.muted == {"maintenance": 1, "cleared_while_muted": 1, "nothing_to_clear": 1}


def test_a_withdrawn_mute_lets_go_at_once() -> None:
    city = Timeline()
    city.push(0, mute("m1", 0, 1000, entity="W1")).push(10, alarm("gas-well", "W1"))
    city.push(40, mute("m1", 0, 1000, ended=True, entity="W1"))
    city.want(40, event="opened")
    city.run(until=50)


def test_a_mute_for_mild_levels_lets_severe_ones_through() -> None:
    city = Timeline()
    city.push(0, mute("m1", 0, 1000, category="gas", max_severity_level=3))
    city.push(10, alarm("gas-well", "W1", level=4)).push(20, alarm("gas-well", "W2", at=FAR, level=2))
    city.want(20, event="opened", level=2)
    city.run(until=30)


def test_a_drill_is_shown_as_an_exercise_and_has_no_deadlines() -> None:
    city = Timeline()
    city.push(0, mute("d1", 0, 1000, kind="drill", category="gas")).push(10, alarm("gas-well", "W1"))
    city.want(10, event="opened", exercise=True)
    found = city.run(until=9000)
    assert found[0].dispatch.confirm_by == 0


def test_a_real_alarm_never_joins_an_exercise() -> None:
    city = Timeline()
    city.push(0, mute("d1", 0, 100, kind="drill", entity="W1")).push(10, alarm("gas-well", "W1"))
    city.push(20, alarm("gas-well", "W2", at=(50, 0)))
    city.want(10, event="opened", exercise=True).want(20, event="opened", exercise=False)
    city.run(until=30)


def test_a_silent_gateway_is_one_outage() -> None:
    city = Timeline(Assets(gateways={"GW": SENSORS}))
    for i, name in enumerate(SENSORS[:9]):
        city.push(i, alarm("device-silence", name, level=4, gateway="GW", at=(20.0 * i, 0)))
    city.want(60, event="opened", level=3, category="device")
    found = city.run(until=200)
    assert found[0].evidence[0].entity == "GW"
    assert "gateway GW silent: 9 of 10 devices" in found[0].rule.reason
    assert found[0].title == "Gateway silent: 9 devices"


def test_a_few_silent_devices_of_a_gateway_are_their_own_incidents() -> None:
    city = Timeline(Assets(gateways={"GW": SENSORS}))
    city.push(0, alarm("device-silence", "S1", level=4, gateway="GW"))
    city.push(1, alarm("device-silence", "S2", level=4, gateway="GW", at=FAR))
    city.want(60, event="opened").want(60, event="opened")
    city.run(until=100)


def test_a_silence_that_ends_within_the_wait_is_no_incident() -> None:
    city = Timeline()
    city.push(0, alarm("device-silence", "S1", level=4)).push(30, clear("device-silence", "S1"))
    city.run(until=100)
    assert city.muted == {"held": 1, "heard_in_time": 1}


def test_an_outage_ends_when_half_of_the_gateway_is_back() -> None:
    city = Timeline(Assets(gateways={"GW": SENSORS}))
    for name in SENSORS:
        city.push(0, alarm("device-silence", name, level=4, gateway="GW", raised=0))
    for name in SENSORS[:6]:
        city.push(100, clear("device-silence", name, gateway="GW"))
    for name in SENSORS[6:]:
        city.push(110, clear("device-silence", name, gateway="GW"))
    city.want(60, event="opened")
    city.want(100, event="updated", status="recovering")
    city.want(400, event="resolved")
    city.run(until=500)


def test_who_is_still_silent_after_an_outage_waits_anew_and_stands_for_itself() -> None:
    city = Timeline(Assets(gateways={"GW": SENSORS}))
    for i, name in enumerate(SENSORS):
        city.push(0, alarm("device-silence", name, level=4, gateway="GW", raised=0, at=(1000.0 * i, 0)))
    for name in SENSORS[:9]:
        city.push(100, clear("device-silence", name, gateway="GW"))
    found = city.play(until=200)
    assert [(one.event, one.evidence[0].entity) for one in found if one.event == "opened"] == [
        ("opened", "GW"),
        ("opened", "S9"),
    ]


def test_a_silent_partition_is_one_outage_of_its_topic() -> None:
    city = Timeline()
    for i in range(5):
        city.push(i, alarm("device-silence", f"S{i}", level=4, at=(3000.0 * i, 0)))
    city.push(30, silent_share(0.95))
    for i in range(3):
        city.push(61, clear("device-silence", f"S{i}"))
    city.want(60, event="opened", level=2, category="platform", hazard="PLT-01", location=None)
    city.want(61, event="updated", status="recovering")
    found = city.run(until=62)
    assert found[0].evidence[0].entity == "city.sensor.readings"


def test_all_partitions_silent_are_one_outage_of_the_topic() -> None:
    city = Timeline()
    for i in range(3):
        city.push(i, alarm("device-silence", f"S{i}", level=4), alarm("device-silence", f"P{i}", level=4, partition=1))
    city.push(30, silent_share(0.95), silent_share(0.9, partition=1))
    city.want(60, event="opened", level=2)
    assert city.run(until=100)[0].evidence[0].entity == "city.sensor.readings"


def test_a_single_incident_that_turns_out_to_be_the_gateways_is_merged_into_its_outage() -> None:
    city = Timeline(Assets(gateways={"GW": SENSORS}))
    city.push(0, alarm("device-silence", "S0", level=4, gateway="GW", raised=0))
    city.push(100, alarm("device-silence", "S1", level=4, gateway="GW", outage="gateway", at=(500, 0)))
    city.want(60, event="opened", level=4).want(110, event="opened", level=3)
    city.want(110, event="merged", status="merged").want(110, event="updated", why="merged_with")
    found = city.run(until=200)
    assert found[2].merged_into == found[1].incident_id


def test_a_sensor_that_falls_silent_in_alarm_keeps_its_incident_open_and_says_so() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", level=4)).push(100, alarm("device-silence", "W1", level=4))
    city.want(0, event="opened")
    city.want(100, event="updated", why="sensor_silent", status="open")
    city.want(160, event="opened", category="device")
    found = city.run(until=4000)
    assert "the last known state stands" in found[1].evidence[0].explanation


def test_a_school_nearby_raises_a_level_where_the_family_says_so_and_is_named() -> None:
    school = Assets(sites=[(HOME[0], HOME[1] + 150 * EAST, "school")])
    city = Timeline(school)
    city.push(0, alarm("cover", "C1"))
    city.want(0, event="opened", level=2)
    assert "raised one step: school within 150 m" in city.run(until=10)[0].priority.because


def test_a_school_near_a_gas_leak_only_adds_to_the_priority() -> None:
    school = Assets(sites=[(HOME[0], HOME[1] + 150 * EAST, "school")])
    near, apart = Timeline(school), Timeline()
    for city in (near, apart):
        city.push(0, alarm("gas-well", "W1"))
    one, other = near.play(until=1)[0], apart.play(until=1)[0]
    assert (one.level, other.level) == (3, 3)
    assert one.priority.score > other.priority.score
    assert "school within 150 m" in one.priority.because


def test_depth_and_camera_agree_and_raise_ponding_one_step() -> None:
    city = Timeline()
    city.push(0, alarm("ponding-depth", "P1")).push(20, call("ponding-video", "v1"))
    city.want(0, event="opened", level=3)
    city.want(20, event="escalated", level=2)
    city.run(until=30)


def test_a_call_goes_quiet_and_its_incident_resolves() -> None:
    city = Timeline()
    city.push(0, call("gas-smell-call", "c1", "a")).push(300, call("gas-smell-call", "c2", "b"))
    city.want(0, event="opened").want(300, event="updated").want(900, event="overdue").want(900, event="resolved", why="quiet")
    city.run(until=1000)


def test_old_records_make_historical_incidents_that_nobody_is_late_for() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", historical=True, delay_s=80_000))
    city.want(0, event="opened", historical=True)
    city.run(until=20_000)


def test_a_live_word_makes_a_historical_incident_live() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", historical=True, delay_s=80_000)).push(10, update("gas-well", "W1"))
    city.want(0, event="opened", historical=True)
    city.want(10, event="updated", historical=False, why="live_evidence")
    assert city.run(until=20)[-1].dispatch.confirm_by == T0 + 910_000


def test_a_rule_on_trial_opens_nothing() -> None:
    city = Timeline()
    city.push(0, alarm("trial", "N1"))
    city.run(until=10)
    assert city.muted == {"shadow": 1}


def test_a_rule_the_book_does_not_know_is_still_told() -> None:
    city = Timeline()
    city.push(0, alarm("of-yesterday", "X1"))
    city.want(0, event="opened", hazard="UNK-01")
    city.run(until=10)
    assert city.noted["rule_unknown"] == 1


def test_a_truck_takes_its_own_incident_along() -> None:
    city = Timeline()
    for i in range(5):
        city.push(i, alarm("overspeed", "T1", raised=0, at=(900.0 * i, 0), phase="updated" if i else "raised"))
    city.want(0, event="opened")
    city.run(until=10)


def test_signals_without_a_place_meet_by_group() -> None:
    city = Timeline(Assets(groups={"B1": "bridge-9", "B2": "bridge-9", "B3": "bridge-1"}))
    for i, name in enumerate(("B1", "B2", "B3")):
        city.push(i, alarm("strain", name, at=None))
    city.want(0, event="opened").want(1, event="updated", sources=2).want(2, event="opened")
    city.run(until=10)


def test_a_storm_of_callers_is_told_when_it_has_grown_and_not_with_every_call() -> None:
    city = Timeline()
    for i in range(200):
        city.push(i / 10, call("gas-smell-call", f"c{i}", f"caller{i}"))
    found = city.play(until=21)
    assert 20 < len(found) < 40
    assert len(found[-1].evidence) <= 50


def test_a_burst_of_calls_is_evidence_in_their_incident_and_no_source_more() -> None:
    city = Timeline()
    for i in range(3):
        city.push(i * 30, call("order-call", f"c{i}", f"caller{i}", level=4, at=(40.0 * i, 0)))
    city.want(0, event="opened").want(30, event="updated", sources=2).want(60, event="updated", sources=3)
    city.want(60, event="updated", why="new_evidence", sources=3, level=4)
    found = city.run(until=70)
    assert any("3 callers in 30 min" in piece.explanation for piece in found[-1].evidence)


def test_another_city_is_none_of_our_business() -> None:
    city = Timeline()
    city.push(0, alarm("gas-well", "W1", city="110100"))
    city.run(until=10)
    assert city.muted == {"other_city": 1}


def test_a_stalled_source_does_not_keep_incidents_open() -> None:
    city = Timeline()
    city.push(0, call("gas-smell-call", "c1"))
    city.want(0, event="opened").want(between(600, 600), event="resolved")
    city.run(until=620)

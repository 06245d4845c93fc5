from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streams.records import Control, Signal
from tests.acceptance.timeline import T0, Assets, Draft, Timeline, alarm, clear, silent_share, update
from topologies.incident_settings import OutageSettings
from topologies.outage import Outages

STREAM = OutageSettings().stream_rule
TEN = Assets(gateways={"GW": [f"S{i}" for i in range(10)]})


class Rig:
    def __init__(self, assets: Any = TEN) -> None:
        self.step, self.city = Outages(assets, OutageSettings()), Timeline()

    def give(self, at_s: float, *drafts: Draft) -> list[Signal]:
        found: list[Signal] = []
        for draft in drafts:
            record = self.city.record(at_s, draft)
            if isinstance(record, Control):
                self.step.tick(record)
            else:
                found += self.step.stream(record) if record.rule == STREAM else self.step.take(record)
        return found

    def wait(self, until_s: float) -> list[Signal]:
        found: list[Signal] = []
        while (due := self.step.timers.next()) is not None and due <= T0 + until_s * 1000:
            found += self.step.fire(due)
        return found


def silence(i: int, **more: Any) -> Draft:
    return alarm("device-silence", f"S{i}", level=4, gateway="GW", **more)


@pytest.mark.parametrize(("silent", "outage"), [(7, False), (8, True), (10, True)])
def test_four_of_five_members_make_an_outage(silent: int, outage: bool) -> None:
    rig = Rig()
    rig.give(0, *(silence(i) for i in range(silent)))
    assert ([one.entity for one in rig.wait(60)] == ["GW"]) == outage


def test_two_of_two_are_no_outage() -> None:
    rig = Rig(Assets(gateways={"GW": ["S0", "S1"]}))
    rig.give(0, silence(0), silence(1))
    assert [one.entity for one in rig.wait(60)] == ["S0", "S1"]


def test_silences_that_come_while_the_outage_stands_are_folded() -> None:
    rig = Rig()
    rig.give(0, *(silence(i) for i in range(9)))
    rig.wait(60)
    assert (rig.give(70, silence(9)), rig.wait(500)) == ([], [])


def test_what_went_on_alone_ends_when_the_gateway_turns_out_to_be_it() -> None:
    rig = Rig()
    rig.give(0, silence(0))
    rig.wait(60)
    rig.give(100, *(silence(i) for i in range(1, 9)))
    assert [(one.entity, one.phase) for one in rig.wait(160)] == [("GW", "raised"), ("S0", "cleared")]


def test_an_outage_keeps_standing_between_the_two_shares() -> None:
    rig = Rig()
    rig.give(0, *(silence(i) for i in range(10)))
    rig.wait(60)
    assert rig.give(100, *(clear("device-silence", f"S{i}", gateway="GW") for i in range(5))) == []
    assert [one.phase for one in rig.give(101, clear("device-silence", "S5", gateway="GW"))] == ["cleared"]


def test_the_wait_that_is_over_is_decided_before_the_next_silence_of_the_gateway() -> None:
    rig = Rig()
    rig.give(0, *(silence(i) for i in range(7)))
    assert len(rig.give(61, silence(7))) == 7


def test_a_share_told_after_the_wait_does_not_change_the_decision() -> None:
    rig = Rig(Assets())
    rig.give(0, *(alarm("device-silence", f"P{i}", level=4) for i in range(4)))
    rig.give(90, silent_share(0.99))
    assert len(rig.wait(60)) == 4


def test_few_silent_devices_of_a_small_partition_are_no_outage() -> None:
    rig = Rig(Assets())
    rig.give(0, alarm("device-silence", "P0", level=4), silent_share(1.0))
    assert [one.entity for one in rig.wait(60)] == ["P0"]


def test_a_longer_silence_of_a_device_that_stands_alone_passes() -> None:
    rig = Rig()
    rig.give(0, silence(0, raised=0))
    rig.wait(60)
    assert [one.level for one in rig.give(100, update("device-silence", "S0", level=3, gateway="GW", raised=0))] == [3]


def seen(i: int, evidence: str | None, every_s: float = 60.0, **more: Any) -> Draft:
    return silence(i, outage=evidence, value=3.5 * every_s, **more)


def quiet(partition: int = 0, phase: str = "raised") -> Draft:
    return alarm(STREAM, "city.sensor.readings", phase=phase, partition=partition, value=600.0, expected=600.0, at=None)


def heard(at_s: float, partition: int = 0) -> Draft:
    draft = silent_share(0.0, partition)
    assert isinstance(draft.record, Control)
    draft.record.heard_ts = T0 + round(at_s * 1000)
    return draft


def test_one_silence_is_an_outage_where_the_shard_has_seen_that_the_gateway_is_quiet() -> None:
    rig = Rig()
    rig.give(0, seen(0, "gateway"))
    assert [(one.entity, one.level, one.outage) for one in rig.wait(10)] == [("GW", 3, "gateway")]


def test_a_silence_among_neighbours_that_are_heard_is_not_kept_longer_than_the_wait() -> None:
    rig = Rig(Assets(gateways=TEN.gateways, every_s={f"S{i}": 3600.0 for i in range(10)}))
    rig.give(0, seen(0, "device"))
    assert [one.entity for one in rig.wait(60)] == ["S0"]


def test_a_silence_stays_held_while_too_few_neighbours_could_have_been_missed() -> None:
    rig = Rig(Assets(gateways=TEN.gateways, every_s={f"S{i}": 60.0 if i == 0 else 200.0 for i in range(10)}))
    rig.give(0, seen(0, None))
    assert (rig.wait(559), [one.entity for one in rig.wait(560)]) == ([], ["S0"])


def test_a_doubt_has_an_end() -> None:
    rig = Rig(Assets(gateways=TEN.gateways, every_s={f"S{i}": 60.0 if i == 0 else 86_400.0 for i in range(10)}))
    rig.give(0, seen(0, None))
    assert (rig.wait(899), [one.entity for one in rig.wait(900)]) == ([], ["S0"])


def test_only_members_that_could_have_been_missed_are_counted() -> None:
    rig = Rig(Assets(gateways=TEN.gateways, every_s={f"S{i}": 60.0 if i < 3 else 3600.0 for i in range(10)}))
    rig.give(0, *(seen(i, None) for i in range(3)))
    assert [one.entity for one in rig.wait(60)] == ["GW"]


def test_one_that_had_missed_a_report_while_others_were_heard_is_no_part_of_the_outage() -> None:
    rig = Rig(Assets(gateways=TEN.gateways, every_s={f"S{i}": 60.0 for i in range(10)}))
    rig.give(0, seen(0, "device"))
    rig.wait(60)
    rig.give(700, seen(1, "gateway"))
    assert [one.entity for one in rig.wait(710)] == ["GW"]


def test_an_outage_that_doubles_is_told_again() -> None:
    rig = Rig()
    rig.give(0, seen(0, "gateway"))
    rig.wait(10)
    assert [one.phase for one in rig.give(20, seen(1, None), seen(2, None), seen(3, None))] == ["updated", "updated"]


def test_who_was_last_heard_before_the_end_of_an_outage_has_its_full_time_from_then() -> None:
    rig = Rig(Assets(gateways=TEN.gateways, every_s={f"S{i}": 60.0 if i < 9 else 600.0 for i in range(10)}))
    rig.give(0, seen(0, "gateway"))
    rig.wait(10)
    rig.give(100, clear("device-silence", "S0", gateway="GW"))
    rig.give(150, seen(9, "device", 600.0))
    assert (rig.wait(2199), [one.entity for one in rig.wait(2200)]) == ([], ["S9"])


def test_silences_of_many_gateways_are_one_outage_of_the_stream() -> None:
    rig = Rig()
    rig.give(0, seen(0, "stream"), alarm("device-silence", "X", level=4, gateway="OTHER", outage="stream"))
    assert [(one.entity, one.category, one.hazard, one.level) for one in rig.wait(10)] == [
        ("city.sensor.readings", "platform", "PLT-01", 2)
    ]


def test_an_outage_of_a_gateway_that_has_just_begun_ends_in_that_of_the_stream() -> None:
    rig = Rig()
    rig.give(0, seen(0, "gateway"))
    rig.wait(10)
    rig.give(60, seen(1, "stream"), alarm("device-silence", "X", level=4, gateway="OTHER", outage="stream"))
    assert [(one.entity, one.phase) for one in rig.wait(70)] == [("city.sensor.readings", "raised"), ("GW", "cleared")]


def test_a_quiet_partition_of_a_topic_that_is_heard_is_no_outage() -> None:
    rig = Rig()
    rig.give(0, heard(-600, 0), heard(-5, 1), quiet(0))
    assert rig.wait(590) == []


def test_a_topic_is_silent_when_all_its_partitions_are() -> None:
    rig = Rig()
    rig.give(0, heard(-600, 0), heard(-5, 1), quiet(0))
    assert [(one.entity, one.rule) for one in rig.wait(595)] == [("city.sensor.readings", STREAM)]


def test_a_topic_is_back_when_its_partitions_are() -> None:
    rig = Rig()
    rig.give(0, heard(-600), quiet())
    rig.wait(10)
    assert [one.phase for one in rig.give(20, quiet(phase="cleared"))] == ["cleared"]


def test_a_stream_that_is_back_in_its_own_log_was_away_before_whoever_is_read_later() -> None:
    """No timer has fired: others are hours behind in theirs."""
    rig = Rig()
    rig.give(0, heard(-600), quiet())
    found = rig.give(3600, quiet(phase="cleared"))
    assert [(one.phase, one.arrival_ts - found[0].arrival_ts) for one in found] == [("raised", 0), ("cleared", 3_590_000)]


@pytest.mark.parametrize("heard_meanwhile", [False, True])
def test_whether_a_topic_was_silent_waits_for_its_partition_that_is_read_later(heard_meanwhile: bool) -> None:
    rig = Rig()
    rig.give(0, heard(-600, 0), heard(-600, 1), quiet(0))
    assert rig.give(3600, quiet(0, phase="cleared")) == []
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.step.snapshot()))
    rig.step = Outages(TEN, OutageSettings())
    rig.step.restore(saved)
    for at_s in range(9, 3700, 100):
        rig.give(at_s, heard(at_s - 5 if heard_meanwhile else -600, 1))
    assert [one.phase for one in rig.wait(3700)] == ([] if heard_meanwhile else ["raised", "cleared"])


def test_its_state_goes_through_bytes() -> None:
    rig = Rig()
    rig.give(0, *(silence(i) for i in range(9)), silent_share(0.2))
    rig.wait(60)
    rig.give(70, silence(9), alarm("device-silence", "Q", level=4), quiet(3), heard(60, 3))
    rig.give(80, *(clear("device-silence", f"S{i}", gateway="GW") for i in range(8)))
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.step.snapshot()))
    other = Outages(TEN, OutageSettings())
    other.restore(saved)
    assert other.snapshot() == rig.step.snapshot()

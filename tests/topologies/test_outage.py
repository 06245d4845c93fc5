from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streams.records import Control, Signal
from tests.acceptance.timeline import T0, Assets, Draft, Timeline, alarm, clear, silent_share, update
from topologies.incident_settings import OutageSettings
from topologies.outage import Outages

TEN = Assets(gateways={"GW": [f"S{i}" for i in range(10)]})


class Rig:
    def __init__(self, assets: Any = TEN) -> None:
        self.step, self.city = Outages(assets, OutageSettings()), Timeline()

    def give(self, at_s: float, *drafts: Draft) -> list[Signal]:
        found: list[Signal] = []
        for draft in drafts:
            record = self.city.record(at_s, draft)
            found += self.step.tick(record) if isinstance(record, Control) else self.step.take(record)
        return found

    def wait(self, until_s: float) -> list[Signal]:
        found: list[Signal] = []
        while (due := self.step.due()) is not None and due <= T0 + until_s * 1000:
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
    assert [(one.entity, one.phase) for one in rig.wait(160)] == [("S0", "cleared"), ("GW", "raised")]


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


def test_its_state_goes_through_bytes() -> None:
    rig = Rig()
    rig.give(0, *(silence(i) for i in range(9)), silent_share(0.2))
    rig.wait(60)
    rig.give(70, silence(9), alarm("device-silence", "Q", level=4))
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.step.snapshot()))
    other = Outages(TEN, OutageSettings())
    other.restore(saved)
    assert other.snapshot() == rig.step.snapshot()

from __future__ import annotations

from typing import Any

import msgspec

from detectors.burst import BurstSettings
from streams.records import Signal
from tests.acceptance.timeline import Draft, Timeline, call
from topologies.bursts import Bursts


class Rig:
    def __init__(self) -> None:
        self.step, self.city = Bursts(BurstSettings(min_count=3)), Timeline()

    def give(self, at_s: float, draft: Draft) -> list[Signal]:
        """Bursts that come with the call."""
        record = self.city.record(at_s, draft)
        assert isinstance(record, Signal)
        passed, *bursts = self.step.take(record)
        assert passed is record
        return bursts

    def callers(self, start_s: float, n: int, apart_m: float = 10.0, **more: Any) -> list[Signal]:
        found: list[Signal] = []
        for i in range(n):
            name = f"{start_s}-{i}"
            found += self.give(start_s + i, call("order-call", f"c{name}", f"p{name}", at=(apart_m * i, 0), **more))
        return found


def test_three_callers_of_one_place_are_a_burst_of_their_own_category_told_once() -> None:
    found = Rig().callers(0, 8)
    assert [(one.rule, one.category, one.value) for one in found] == [("call-burst/order-call", "order", 3.0)]


def test_one_caller_again_and_again_is_no_burst() -> None:
    rig = Rig()
    assert [rig.give(i, call("order-call", f"c{i}", "same")) for i in range(9)] == [[]] * 9


def test_callers_all_over_the_city_are_no_burst() -> None:
    assert Rig().callers(0, 8, apart_m=3000) == []


def test_callers_across_a_border_of_cells_are_counted_together() -> None:
    told = []
    for shift in range(0, 500, 50):
        rig = Rig()
        told.append(sum(len(rig.give(i, call("order-call", f"c{i}", f"p{i}", at=(shift + 80.0 * i, shift)))) for i in range(4)))
    assert told == [1] * 10


def test_what_a_place_is_used_to_is_no_burst() -> None:
    rig = Rig()
    for third in range(24 * 3 * 5):
        rig.callers(third * 1200, 1)
    assert rig.callers(24 * 3 * 5 * 1200 + 10, 4) == []


def test_a_burst_does_not_become_its_own_excuse() -> None:
    rig = Rig()
    assert [len(rig.callers(day * 86_400, 5)) for day in range(10)] == [1] * 10


def test_what_happens_elsewhere_later_does_not_change_a_burst_here() -> None:
    alone, among = Rig(), Rig()
    among.give(5000, call("order-call", "far", "far", at=(9000, 0)))
    assert [(one.value, one.expected) for one in alone.callers(0, 4)] == [
        (one.value, one.expected) for one in among.callers(0, 4)
    ]


def test_drills_old_calls_and_calls_without_a_place_do_not_count() -> None:
    rig = Rig()
    told = [rig.give(i, call("order-call", f"a{i}", f"p{i}", at=None)) for i in range(4)]
    told += [rig.give(i, call("order-call", f"b{i}", f"p{i}", exercise=True)) for i in range(4)]
    told += [rig.give(i, call("order-call", f"c{i}", f"p{i}", historical=True)) for i in range(4)]
    assert told == [[]] * 12


def test_its_state_goes_through_bytes() -> None:
    rig = Rig()
    rig.callers(0, 8)
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.step.snapshot()))
    other = Bursts(BurstSettings(min_count=3))
    other.restore(saved)
    assert msgspec.msgpack.encode(other.snapshot()) == msgspec.msgpack.encode(rig.step.snapshot())

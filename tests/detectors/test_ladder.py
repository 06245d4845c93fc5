from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from detectors.ladder import Ladder, resolve
from detectors.rule import Limit, Rung
from detectors.series import Series
from streams import compiled


def test_a_limit_is_multiplied_before_it_is_shifted() -> None:
    assert resolve(Limit("design", times=0.5, plus=1.0), Series("b", limits={"design": 10.0})) == 6.0


def test_a_missing_limit_is_not_a_number() -> None:
    assert np.isnan(resolve(Limit("design"), Series("b")))


def test_the_most_severe_rung_comes_first() -> None:
    assert Ladder([Rung(3, 1.0), Rung(1, 3.0), Rung(2, 2.0)], "above", []).levels.tolist() == [1, 2, 3]


def test_a_rung_whose_clear_is_unknown_is_not_judged() -> None:
    ladder = Ladder([Rung(3, 5.0, clear=Limit("low"))], "above", [Series("b")])
    ladder.grow(1)
    reached, left = ladder.judge(np.zeros(1, np.int32), np.array([9.0]))
    assert (reached.tolist(), left.tolist()) == ([[False]], [[True]])


def test_bounds_come_back_in_their_own_sign() -> None:
    ladder = Ladder([Rung(3, 0.14, clear=0.16)], "below", [Series("p")])
    ladder.grow(1)
    assert ladder.bounds(0, 3) == (0.14, 0.16)


def test_each_series_has_its_own_bounds() -> None:
    series = [Series("a", limits={"warning": 5.0}), Series("b", limits={"warning": 9.0})]
    ladder = Ladder([Rung(3, Limit("warning"))], "above", series)
    ladder.grow(2)
    assert ladder.touched(np.array([0, 1], np.int32), np.array([6.0, 6.0])).tolist() == [True, False]


def test_changed_facts_change_the_bounds() -> None:
    series = [Series("a", limits={"warning": 5.0})]
    ladder = Ladder([Rung(3, Limit("warning"))], "above", series)
    ladder.grow(1)
    series[0] = Series("a", limits={"warning": 7.0})
    ladder.changed([0])
    assert ladder.bounds(0, 3) == (7.0, 7.0)


def test_growing_keeps_the_bounds_there_were() -> None:
    series = [Series(str(i), limits={"warning": float(i)}) for i in range(100)]
    ladder = Ladder([Rung(3, Limit("warning"))], "above", series)
    for size in (1, 17, 100):
        ladder.grow(size)
    assert [ladder.bounds(i, 3)[0] for i in range(100)] == [float(i) for i in range(100)]


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("direction", ["above", "below"])
def test_a_batch_stirs_where_a_rung_is_reached_or_a_slot_is_busy(direction: str, is_compiled: bool) -> None:
    ladder = Ladder([Rung(3, 5.0)], direction, [Series("a"), Series("b")])
    ladder.grow(2)
    beyond = 9.0 if direction == "above" else 1.0
    slot, idle, busy = np.array([0, 1], np.int32), np.array([False, False]), np.array([False, True])
    within, reached = np.array([np.nan, 10.0 - beyond]), np.array([np.nan, beyond])
    with mock.patch.object(compiled, "AVAILABLE", is_compiled):
        stirs = [ladder.stirs(slot, m, b) for m, b in ((within, idle), (reached, idle), (within, busy))]
    assert stirs == [False, True, True]

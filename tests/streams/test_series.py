"""streams.series: slots of series."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.series import SeriesIndex


def ask(index: SeriesIndex, *entities: str, at: int = 0) -> list[int]:
    return index.slots(entities, [None] * len(entities), np.full(len(entities), at, dtype=np.int64))[0].tolist()


def test_slots_are_given_in_order_of_appearance() -> None:
    assert ask(SeriesIndex(), "b", "a", "b", "c") == [0, 1, 0, 2]


def test_a_series_is_an_entity_and_a_second() -> None:
    index = SeriesIndex()
    slots, _ = index.slots(["a", "a", "a"], ["ch4", "o2", None], np.zeros(3, dtype=np.int64))
    assert (slots.tolist(), index.key(1), index.slot("a", "o2")) == ([0, 1, 2], ("a", "o2"), 1)


def test_the_newest_arrival_is_kept_per_slot() -> None:
    index = SeriesIndex()
    ask(index, "a", at=20)
    ask(index, "a", at=10)
    assert index.last_arrival[0] == 20


def test_a_forgotten_slot_is_used_again() -> None:
    index = SeriesIndex()
    ask(index, "a", "b")
    index.forget([0])
    assert (index.key(0), ask(index, "c", "a"), len(index), index.live) == (None, [0, 2], 3, 3)


def test_a_slot_used_again_has_not_arrived_before() -> None:
    index = SeriesIndex()
    ask(index, "a", at=50)
    index.forget([0])
    ask(index, "b", at=10)
    assert index.last_arrival[0] == 10


def test_forgetting_twice_is_forgetting_once() -> None:
    index = SeriesIndex()
    ask(index, "a")
    index.forget([0])
    index.forget([0])
    assert ask(index, "b", "c") == [0, 1]


steps = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef"), st.integers(0, 9)), max_size=30)


@given(steps, st.integers(0, 30))
def test_a_restored_index_goes_on_as_the_old_one(moves: list[tuple[bool, str, int]], stop: int) -> None:
    def run(restart: int | None) -> list[object]:
        index, seen = SeriesIndex(), []
        for i, (forget, entity, at) in enumerate(moves):
            if i == restart:
                saved, index = index.snapshot(), SeriesIndex()
                index.restore(saved)
            if forget and (slot := index.slot(entity)) is not None:
                index.forget([slot])
            else:
                seen.append(ask(index, entity, at=at))
        return [seen, index.last_arrival[: len(index)].tolist()]

    assert run(stop) == run(None)

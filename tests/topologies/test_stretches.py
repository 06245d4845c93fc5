from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topologies.stretches import Stretches

LATER = 10**12


def _stretches(times: list[int], soonest: list[int] | None = None) -> Stretches:
    made = Stretches(np.array(times, dtype=np.int64))
    made.soonest = None if soonest is None else np.array(soonest, dtype=np.int64)
    return made


def test_a_second_ends_where_the_grid_does() -> None:
    stretches = _stretches([999, 1000, 1999, 2000])
    assert [stretches.second(row) for row in range(4)] == [1, 3, 3, 4]
    assert [stretches.begins(row) for row in range(4)] == [0, 1, 1, 3]


def test_rows_from_a_known_tick_on_are_out_of_reach() -> None:
    assert _stretches([500, 1500, 2000, 2500]).reach(0, 2000) == 2


def test_without_timers_rows_are_shown_as_far_as_reached() -> None:
    assert _stretches([0, 1000, 5000], [LATER] * 3).calm(0, 3) == 3


def test_a_timer_that_is_due_between_two_rows_parts_them() -> None:
    assert _stretches([0, 1000, 5000, 5001], [LATER, 4000, LATER, LATER]).calm(0, 4) == 2


def test_a_timer_due_in_its_own_second_waits_for_the_next() -> None:
    assert _stretches([1000, 1001, 1900, 2000], [1000, LATER, LATER, LATER]).calm(0, 4) == 3


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 9000)), min_size=1, max_size=30))
def test_the_stretch_ends_in_front_of_the_first_tick_a_row_could_bring(rows: list[tuple[int, int]]) -> None:
    times = np.cumsum([gap for gap, _ in rows]).tolist()
    soonest = [time + ahead - 3000 for time, (_, ahead) in zip(times, rows, strict=True)]
    shown = 1
    while shown < len(times):
        after_second = times[shown - 1] // 1000 * 1000 + 1000
        tick = max(-(-min(soonest[:shown]) // 1000) * 1000, after_second)
        if tick <= times[shown]:
            break
        shown += 1
    assert _stretches(times, soonest).calm(0, len(times)) == shown

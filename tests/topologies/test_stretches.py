from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topologies.stretches import Stretches

LATER = 10**12


def _stretches(times: list[int], soonest: list[int] | None = None) -> Stretches:
    asked = None if soonest is None else (lambda: np.array(soonest, dtype=np.int64))
    return Stretches(np.array(times, dtype=np.int64), asked)


def test_where_nothing_is_foreseen_a_second_ends_where_the_grid_does() -> None:
    stretches = _stretches([999, 1000, 1999, 2000])
    assert [stretches.end(row, None) for row in range(4)] == [1, 3, 3, 4]


def test_rows_from_a_known_tick_on_are_out_of_reach() -> None:
    assert _stretches([500, 1500, 2000, 2500], [LATER] * 4).end(0, 2000) == 2


def test_without_timers_all_rows_are_shown() -> None:
    assert _stretches([0, 1000, 5000], [LATER] * 3).end(0, None) == 3


def test_a_timer_that_is_due_between_two_rows_parts_them() -> None:
    assert _stretches([0, 1000, 5000, 5001], [LATER, 4000, LATER, LATER]).end(0, None) == 2


def test_a_timer_due_in_its_own_second_waits_for_the_next() -> None:
    assert _stretches([1000, 1001, 1900, 2000], [1000, LATER, LATER, LATER]).end(0, None) == 3


def test_the_second_in_which_a_series_is_first_heard_of_stands_alone_and_then_all_are_asked_anew() -> None:
    asked: list[int] = []

    def soonest() -> np.ndarray:
        asked.append(1)
        return np.full(6, LATER)

    stretches = Stretches(np.array([0, 1000, 2000, 2001, 3000, 4000]), soonest)
    unheard = np.array([False, False, False, True, False, False])
    ends = [stretches.end(done, None, lambda a, b: unheard[a:b]) for done in (0, 2)]
    unheard[:] = False
    assert (ends, asked) == ([2, 4], [1])
    assert (stretches.end(4, None, lambda a, b: unheard[a:b]), asked) == (6, [1, 1])


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
    assert _stretches(times, soonest).end(0, None) == shown

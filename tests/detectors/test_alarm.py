"""The alarm against its plain-Python meaning, and one fact at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.alarm import Alarm, Transition
from detectors.ladder import Ladder
from detectors.rule import Limit, Rung
from detectors.series import Series
from streams.batch import rounds
from tests.detectors.alarm_reference import ReferenceAlarm

SERIES = [Series("a", limits={"high": 5.0}), Series("b"), Series("c", limits={"high": 3.0})]

bounds = st.integers(2, 8).map(float)
seconds = st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0])
counts = st.sampled_from([1, 1, 2, 3])


@st.composite
def ladders(draw: st.DrawFn) -> tuple[list[Rung], str]:
    direction = draw(st.sampled_from(["above", "below"]))
    rungs = []
    for level in draw(st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True)):
        up: Any = draw(bounds | st.builds(Limit, st.just("high"), st.just(1.0), st.sampled_from([0.0, 1.0])))
        gap = draw(st.none() | st.integers(0, 3).map(float))
        away = -1 if direction == "above" else 1
        if gap is None:
            clear: Any = None
        else:
            clear = Limit(up.limit, up.times, up.plus + away * gap) if isinstance(up, Limit) else up + away * gap
        mode = draw(st.sampled_from(["all", "any"]))
        rungs.append(Rung(level, up, clear, draw(seconds), draw(counts), mode, draw(seconds), draw(counts)))
    return rungs, direction


rows_of = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([float("nan"), *(float(v) for v in range(11)), *(float(v) for v in range(11))]),
        st.integers(-500, 3000),
    ),
    max_size=60,
)


def timed(rows: list[tuple[int, float, int]]) -> list[tuple[int, float, int]]:
    """Gaps to times; now and then a step back, which event time of ticks and rows together may show."""
    at, out = 1_000_000, []
    for slot, measure, gap in rows:
        at += gap
        out.append((slot, measure, at))
    return out


def in_batches(alarm: Alarm, rows: list[tuple[int, float, int]], cuts: list[int]) -> list[tuple[int, tuple[Any, ...]]]:
    """Rows through :meth:`Alarm.step` as the stage gives them: batches cut anywhere, in rounds of distinct slots."""
    said = []
    edges = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    for first, last in pairwise(edges):
        slot = np.array([row[0] for row in rows[first:last]], dtype=np.int32)
        measure = np.array([row[1] for row in rows[first:last]])
        ts = np.array([row[2] for row in rows[first:last]], dtype=np.int64)
        for piece in rounds(slot):
            said += [
                (first + int(piece[t.row]), (t.phase, t.level, t.before, t.raised_ts, t.since_ts, t.ts))
                for t in alarm.step(slot[piece], measure[piece], ts[piece])
            ]
    return sorted(said)


def fresh(rungs: list[Rung], direction: str = "above", momentary: bool = False, quiet_s: float = 0.0) -> Alarm:
    alarm = Alarm(Ladder(rungs, direction, SERIES), momentary=momentary, quiet_s=quiet_s)
    alarm.grow(len(SERIES))
    return alarm


@given(ladders(), rows_of, st.lists(st.integers(0, 60)), st.booleans(), st.sampled_from([0.0, 0.0, 4.0]))
@settings(max_examples=300, deadline=None)
def test_batches_say_what_one_row_at_a_time_says(
    ladder: tuple[list[Rung], str], raw: list[tuple[int, float, int]], cuts: list[int], momentary: bool, quiet_s: float
) -> None:
    rungs, direction = ladder
    rows = timed(raw)
    reference = ReferenceAlarm(rungs, direction, SERIES, momentary, quiet_s)
    wanted = [(i, change) for i, row in enumerate(rows) if (change := reference.row(*row)) is not None]
    assert in_batches(fresh(rungs, direction, momentary, quiet_s), rows, cuts) == wanted


@given(ladders(), rows_of, st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_restored_alarm_goes_on_as_if_nothing_had_been(
    ladder: tuple[list[Rung], str], raw: list[tuple[int, float, int]], at: int
) -> None:
    rungs, direction = ladder
    rows = timed(raw)
    straight, broken, other = (fresh(rungs, direction) for _ in range(3))
    in_batches(straight, rows[:at], [])
    in_batches(broken, rows[:at], [])
    other.restore(broken.snapshot())
    assert in_batches(straight, rows[at:], []) == in_batches(other, rows[at:], [])


@given(ladders(), rows_of)
@settings(max_examples=40, deadline=None)
def test_phases_of_one_slot_form_raised_updates_cleared(
    ladder: tuple[list[Rung], str], raw: list[tuple[int, float, int]]
) -> None:
    rungs, direction = ladder
    rows = [(0, measure, ts) for _, measure, ts in timed(raw)]
    open_since: int | None = None
    for _, (phase, _level, _before, raised, _since, _ts) in in_batches(fresh(rungs, direction), rows, []):
        assert (phase == "raised") == (open_since is None)
        assert open_since in (None, raised)
        open_since = None if phase == "cleared" else raised


def step(alarm: Alarm, measure: float, at_s: float, slot: int = 0) -> list[Transition]:
    return alarm.step(np.array([slot], np.int32), np.array([measure]), np.array([round(at_s * 1000)], np.int64))


def phases(alarm: Alarm, series: list[tuple[float, float]]) -> list[tuple[float, str, int]]:
    return [(at, t.phase, t.level) for at, measure in series for t in step(alarm, measure, at)]


def test_a_level_is_reached_at_its_bound() -> None:
    assert phases(fresh([Rung(3, 20.0)]), [(0, 19.9), (1, 20.0)]) == [(1, "raised", 3)]


def test_between_clear_and_raise_the_alarm_stays_as_it_is() -> None:
    alarm = fresh([Rung(3, 20.0, clear=10.0)])
    assert phases(alarm, [(0, 25), (1, 15), (2, 10.1), (3, 10)]) == [(0, "raised", 3), (3, "cleared", 3)]


def test_a_row_below_raise_starts_the_count_again() -> None:
    alarm = fresh([Rung(3, 20.0, for_count=2)])
    assert phases(alarm, [(0, 25), (1, 15), (2, 25), (3, 25)]) == [(3, "raised", 3)]


def test_for_and_count_must_both_hold() -> None:
    alarm = fresh([Rung(3, 20.0, for_s=10, for_count=3)])
    assert phases(alarm, [(0, 25), (20, 25), (21, 25)]) == [(21, "raised", 3)]


def test_any_takes_whichever_comes_first() -> None:
    alarm = fresh([Rung(3, 20.0, for_s=600, for_count=2, for_mode="any")])
    assert phases(alarm, [(0, 25), (1, 25)]) == [(1, "raised", 3)]


def test_the_hold_begins_anew_when_the_value_comes_back() -> None:
    alarm = fresh([Rung(3, 20.0, clear=10.0, hold_s=10)])
    series = [(0.0, 25.0), (1, 5), (8, 12), (9, 5), (18, 5), (19, 5)]
    assert phases(alarm, series) == [(0, "raised", 3), (19, "cleared", 3)]


def test_an_alarm_climbs_and_eases_through_its_levels() -> None:
    alarm = fresh([Rung(3, 20.0, clear=10.0), Rung(2, 50.0, clear=40.0)])
    assert phases(alarm, [(0, 25), (1, 55), (2, 30), (3, 5)]) == [
        (0, "raised", 3),
        (1, "updated", 2),
        (2, "updated", 3),
        (3, "cleared", 3),
    ]


def test_all_transitions_of_an_alarm_carry_the_time_of_its_raise() -> None:
    alarm = fresh([Rung(3, 20.0), Rung(2, 50.0)])
    times = [t.raised_ts for at, m in [(7, 25), (8, 55), (9, 1)] for t in step(alarm, m, at)]
    assert times == [7000, 7000, 7000]


def test_a_raise_names_its_bound_and_a_clear_the_bound_it_went_under() -> None:
    alarm = fresh([Rung(3, 20.0, clear=10.0)])
    assert [t.threshold for at, m in [(0, 25), (1, 5)] for t in step(alarm, m, at)] == [20.0, 10.0]


def test_below_turns_everything_round() -> None:
    alarm = fresh([Rung(3, 0.14, clear=0.16)], "below")
    assert phases(alarm, [(0, 0.15), (1, 0.14), (2, 0.15), (3, 0.16)]) == [(1, "raised", 3), (3, "cleared", 3)]


def test_a_series_without_the_limit_is_never_judged() -> None:
    assert step(fresh([Rung(3, Limit("high"))]), 1e9, 0, slot=1) == []


def test_an_alarm_whose_limit_was_withdrawn_ends_at_the_next_row() -> None:
    series = [Series("a", limits={"high": 5.0})]
    alarm = Alarm(Ladder([Rung(3, Limit("high"))], "above", series))
    alarm.grow(1)
    step(alarm, 9.0, 0)
    series[0] = Series("a")
    alarm.ladder.changed([0])
    assert [t.phase for t in step(alarm, 9.0, 1)] == ["cleared"]


def test_a_measure_that_says_nothing_keeps_the_count() -> None:
    alarm = fresh([Rung(3, 20.0, for_count=2)])
    assert phases(alarm, [(0, 25), (1, float("nan")), (2, 25)]) == [(2, "raised", 3)]


def test_a_momentary_alarm_raises_at_every_row() -> None:
    alarm = fresh([Rung(3, 1.0)], momentary=True)
    assert phases(alarm, [(0, 1), (1, 0), (2, 1)]) == [(0, "raised", 3), (2, "raised", 3)]


def test_quiet_time_keeps_a_series_from_repeating_itself() -> None:
    alarm = fresh([Rung(3, 1.0)], momentary=True, quiet_s=10)
    assert phases(alarm, [(0, 1), (9, 1), (10, 1)]) == [(0, "raised", 3), (10, "raised", 3)]


def test_a_more_severe_level_breaks_the_quiet() -> None:
    alarm = fresh([Rung(3, 1.0), Rung(1, 5.0)], momentary=True, quiet_s=10)
    assert phases(alarm, [(0, 1), (1, 5)]) == [(0, "raised", 3), (1, "raised", 1)]


def test_an_ordinary_alarm_waits_out_the_quiet_and_then_raises() -> None:
    alarm = fresh([Rung(3, 20.0)], quiet_s=10)
    series = [(0.0, 25.0), (1, 5), (2, 25), (11, 25)]
    assert phases(alarm, series) == [(0, "raised", 3), (1, "cleared", 3), (11, "raised", 3)]


def test_forgetting_a_slot_ends_its_alarm_without_a_word() -> None:
    alarm = fresh([Rung(3, 20.0)])
    step(alarm, 25, 0)
    alarm.forget(np.array([0]))
    assert (alarm.level(0), step(alarm, 5, 1)) == (0, [])


def test_a_slot_that_never_reached_a_rung_has_no_row_and_a_forgotten_one_s_is_given_out_again() -> None:
    alarm = fresh([Rung(3, 20.0)])
    step(alarm, 5, 0, slot=0)
    step(alarm, 25, 0, slot=1)
    assert (alarm.state.size, alarm.snapshot()["slot"].tolist()) == (1, [1])
    alarm.forget(np.array([1]))
    assert alarm.snapshot()["slot"].tolist() == []
    assert [one.phase for one in step(alarm, 25, 3, slot=2)] == ["raised"]
    assert (alarm.state.size, alarm.snapshot()["slot"].tolist(), alarm.level(1), alarm.level(2)) == (1, [2], 0, 3)


def test_active_names_the_raised_slots() -> None:
    alarm = fresh([Rung(3, 20.0)])
    step(alarm, 25, 0, slot=2)
    assert alarm.active().tolist() == [2]


def test_a_snapshot_of_another_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="other rungs"):
        fresh([Rung(3, 20.0), Rung(2, 30.0)]).restore(fresh([Rung(3, 20.0)]).snapshot())

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.records import Source
from topologies.incident_clock import FOREVER, Due, HighWater, Progress, instant


def test_a_tick_comes_before_the_record_it_fired_in_front_of() -> None:
    marks = HighWater()
    assert [
        marks.is_news(Source("t", 0, 5, tick=100)),
        marks.is_news(Source("t", 0, 5)),
        marks.is_news(Source("t", 0, 5, tick=200)),
    ] == [
        True,
        True,
        False,
    ]


def test_partitions_have_marks_of_their_own() -> None:
    marks = HighWater()
    assert marks.is_news(Source("t", 0, 5))
    assert marks.is_news(Source("t", 1, 4))


def test_marks_survive_a_snapshot() -> None:
    marks = HighWater()
    marks.is_news(Source("t", 0, 5, n=2))
    restored = HighWater(marks.snapshot())
    assert [restored.is_news(Source("t", 0, 5, n=2)), restored.is_news(Source("t", 0, 5, n=3))] == [False, True]


def test_the_slowest_running_source_sets_the_time() -> None:
    progress = Progress(60_000)
    progress.advance(("a", 0), 50_000)
    progress.advance(("b", 0), 20_000)
    assert progress.low == 20_000


def test_a_source_that_comes_back_from_a_stall_counts_again() -> None:
    progress = Progress(60_000)
    for source, at in (("a", 0), ("b", 0), ("a", 200_000), ("b", 150_000)):
        progress.advance((source, 0), at)
    assert progress.low == 150_000


def test_a_floor_lifts_the_time_of_a_merged_replay() -> None:
    progress = Progress(60_000)
    progress.advance(("a", 0), 10)
    progress.floor(500)
    assert progress.low == 500


def test_without_any_record_there_is_no_time() -> None:
    assert Progress(60_000).low is None


def test_a_source_that_is_behind_and_speaks_is_waited_for() -> None:
    progress = Progress(60_000)
    for source, at in (("a", 200_000), ("b", 1_000), ("b", 2_000)):
        progress.advance((source, 0), at)
    assert progress.low == 2_000


def test_who_says_nothing_while_the_others_come_further_is_left_out() -> None:
    progress = Progress(60_000)
    for source, at in (("a", 200_000), ("b", 1_000), *(("a", ms) for ms in range(205_000, 265_000, 5_000))):
        progress.advance((source, 0), at)
    before = progress.low
    progress.advance(("a", 0), 260_001)
    assert (before, progress.low) == (1_000, 260_001)


def test_after_all_were_away_the_first_one_read_does_not_leave_the_others_out() -> None:
    progress = Progress(60_000)
    for source, at in (("a", 0), ("b", 0), ("a", 90_000), ("a", 95_000)):
        progress.advance((source, 0), at)
    assert progress.low == 0
    progress.advance(("b", 0), 5_000)
    assert progress.low == 5_000


def test_who_repeats_itself_speaks() -> None:
    progress = Progress(60_000)
    for source, at in (("a", 0), ("b", 0)):
        progress.advance((source, 0), at)
    for ms in range(5_000, 300_000, 5_000):
        progress.advance(("a", 0), ms)
        if ms % 25_000 == 0:
            progress.heard(("b", 0))
    assert progress.low == 0


def test_who_was_left_out_is_back_when_it_repeats_itself_and_a_stranger_is_not() -> None:
    progress = Progress(60_000)
    for source, at in (("b", 0), *(("a", ms) for ms in range(0, 200_000, 5_000))):
        progress.advance((source, 0), at)
    before = progress.low
    progress.heard(("c", 0))
    progress.heard(("b", 0))
    assert (before, progress.low) == (195_000, 0)


def test_progress_goes_on_from_a_snapshot() -> None:
    progress = Progress(60_000)
    for source, at in (("a", 200_000), ("b", 1_000), ("a", 900_000)):
        progress.advance((source, 0), at)
    again = Progress(60_000, progress.snapshot())
    assert again.snapshot() == progress.snapshot()
    assert again.low == 1_000


def test_a_snapshot_of_the_version_that_counted_every_step_in_full_is_read() -> None:
    old = {"reached": [("a", 0, 200_000), ("b", 0, 1_000)], "floor": None, "spoke": [("a", 0, 200_000), ("b", 0, 150_000)]}
    progress = Progress(60_000, old)
    assert progress.low == 1_000
    for ms in (205_000, 210_000, 210_001):
        progress.advance(("a", 0), ms)
    assert progress.low == 210_001


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=40))
def test_the_time_is_the_least_of_those_not_stalled(moves: list[tuple[int, int]]) -> None:
    progress, reached, spoke, come = Progress(60), {}, {}, 0
    for source, at in moves:
        progress.advance(("t", source), at)
        come += min(5, max(0, at - max(reached.values(), default=-5)))
        reached[source] = max(at, reached.get(source, at))
        spoke[source] = come
        assert progress.low == min(ms for one, ms in reached.items() if spoke[one] >= come - 60)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 50)), max_size=40))
def test_keys_come_due_in_the_order_of_their_last_aim(aims: list[tuple[str, int | None]]) -> None:
    due, model = Due(), {}
    for key, at in aims:
        due.aim(key, at)
        model[key] = at
    wanted = sorted((at, key) for key, at in model.items() if at is not None)
    assert [(due.next(), due.pop(100)) for _ in wanted] == wanted
    assert due.next() is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 50), st.booleans()), max_size=40))
def test_nothing_is_due_before_the_soonest(aims: list[tuple[str, int | None, bool]]) -> None:
    due, model = Due(), {}
    for key, at, pops in aims:
        due.aim(key, at)
        model[key] = at
        if pops and (gone := due.pop(25)) is not None:
            model[gone] = None
        times = [at for at in model.values() if at is not None]
        assert due.soonest <= min(times, default=FOREVER)
        assert due.next() == min(times, default=None) and due.soonest == min(times, default=FOREVER)


def test_nothing_is_due_before_its_time() -> None:
    due = Due()
    due.aim("a", 10)
    assert (due.pop(9), due.pop(10), len(due)) == (None, "a", 0)


def test_a_time_that_cannot_be_read_is_none() -> None:
    assert [instant("soon"), instant(2**70), instant("2023-11-15")] == [None, None, None]


def test_what_is_restored_takes_the_place_of_what_was_aimed() -> None:
    due = Due()
    due.aim("a", 10)
    due.restore([("b", 20)])
    assert (due.snapshot(), due.soonest, due.pop(15), due.pop(20)) == ([("b", 20)], 20, None, "b")

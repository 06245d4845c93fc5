"""streams.event_time: instants, watermarks, and ticks on the grid of arrival time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.event_time import TickGrid, Watermark, epoch_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2023-11-15T06:13:20+08:00", 1_700_000_000_000),
        ("2023-11-14T22:13:20.1239Z", 1_700_000_000_123),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800_000 - 14 * 3_600_000),
    ],
)
def test_rfc3339_text_becomes_milliseconds(text: str, ms: int) -> None:
    assert epoch_ms(text) == ms


@pytest.mark.parametrize("text", ["", "now", "2023-11-15", "2023-11-15T06:13:20", "2023-13-01T00:00:00Z", "1700000000000"])
def test_text_without_an_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        epoch_ms(text)


def test_a_number_wider_than_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        epoch_ms(2**63)


@given(st.text(max_size=30))
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    try:
        found: int | None = epoch_ms(text)
    except ValueError:
        found = None
    assert found is None or isinstance(found, int)


def test_a_watermark_never_moves_back() -> None:
    mark = Watermark(1000)
    mark.observe(np.array([5000, 3000]))
    mark.observe(np.array([4000]))
    assert mark.value == 4000


def test_before_the_first_record_there_is_no_watermark() -> None:
    mark = Watermark(1000)
    mark.observe(np.zeros(0, dtype=np.int64))
    assert mark.value is None


def test_a_restored_watermark_is_where_it_was() -> None:
    mark, again = Watermark(1000, newest=7000), Watermark(1000)
    again.restore(mark.snapshot())
    assert again.value == 6000


def test_a_timer_fires_on_the_grid_at_or_after_it_is_due() -> None:
    grid = TickGrid()
    assert [grid.next(due) for due in (1000, 1001, 1999, 2000, None)] == [1000, 2000, 2000, 2000, None]


def test_no_tick_fires_twice() -> None:
    grid = TickGrid()
    grid.fire(5000)
    assert grid.next(3000) == 6000


def test_a_tick_fires_before_the_first_record_at_or_after_it() -> None:
    running = TickGrid().running(np.array([900, 1999, 2000, 2500]))
    assert [TickGrid.cut(running, tick) for tick in (1000, 2000, 3000)] == [1, 2, 4]


def test_arrivals_that_step_back_do_not_turn_time_back() -> None:
    assert TickGrid(reached=1500).running(np.array([1000, 3000, 2000])).tolist() == [1500, 3000, 3000]


def test_an_idle_partition_lets_time_pass_up_to_the_skew() -> None:
    assert TickGrid(reached=1000).pass_idle(10_400, skew_ms=2000) == 8000


def test_idle_time_never_lies_before_what_was_reached() -> None:
    assert TickGrid(reached=9500).pass_idle(10_000, skew_ms=2000) == 9500


@given(
    st.lists(st.integers(0, 20_000), max_size=20),
    st.sets(st.integers(0, 20), max_size=4),
    st.lists(st.integers(0, 20_000), max_size=8),
)
def test_ticks_fall_between_the_same_records_however_batches_are_cut(
    arrivals: list[int], cuts: set[int], timers: list[int]
) -> None:
    def run(bounds: list[int]) -> list[object]:
        grid, due, log = TickGrid(), sorted(timers), list[object]()
        for start, stop in pairwise(bounds):
            piece = np.array(arrivals[start:stop], dtype=np.int64)
            running, at = grid.running(piece), 0
            while (tick := grid.next(due[0] if due else None)) is not None and (cut := TickGrid.cut(running, tick)) < len(
                piece
            ):
                log += piece[at:cut].tolist()
                at = max(at, cut)
                grid.fire(tick)
                log.append(("tick", tick))
                due = [timer for timer in due if timer > tick]
            log += piece[at:].tolist()
            if len(running):
                grid.reach(int(running[-1]))
        return log

    n = len(arrivals)
    assert run(sorted({cut for cut in cuts if cut < n} | {0, n})) == run([0, n])

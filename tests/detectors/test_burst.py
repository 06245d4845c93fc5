"""A burst is more reports than the place is used to, by different people, and it ends."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.burst import BurstCounter, BurstSettings, tail

MINUTE = 60_000
START = 1_700_000_000_000
PLACE = (31.82, 117.22)


def report(counter: BurstCounter, minute: float, category: str = "gas", place=PLACE, witness: str | None = None):
    return counter.on_report(START + int(minute * MINUTE), category, *place, witness=witness)


def counter(**settings) -> BurstCounter:
    return BurstCounter(BurstSettings(**{"window_s": 1800, "min_count": 3, **settings}))


def test_three_reports_in_a_quiet_place_are_a_burst():
    c = counter()
    assert [report(c, m) is not None for m in (0, 5, 10)] == [False, False, True]


def test_reports_far_apart_are_none():
    c = counter()
    assert not any(report(c, m, place=(31.82 + m / 50, 117.22)) for m in range(6))


def test_reports_of_different_categories_do_not_add_up():
    c = counter()
    assert not any(report(c, m, category) for m, category in enumerate(("gas", "water", "fire")))


def test_one_witness_who_calls_five_times_is_one():
    c = counter()
    assert not any(report(c, m, witness="138****1") for m in range(5))


def test_reports_across_a_corner_of_cells_are_one_burst():
    c = counter(cell_m=500)
    size = 500 / 111_195
    lat = math.floor(31.82 / size) * size
    assert report(c, 0, place=(lat + 1e-5, 117.22)) is None
    assert report(c, 1, place=(lat - 1e-5, 117.22)) is None
    assert report(c, 2, place=(lat + 1e-5, 117.22)).phase == "raised"


def test_a_place_used_to_many_reports_needs_more():
    c = counter()
    for minute in range(0, 20 * 1440, 12):
        report(c, minute)
        c.advance(START + minute * MINUTE)
    assert not any(report(c, 20 * 1440 + m) for m in (1, 2, 3))
    assert any(report(c, 20 * 1440 + 3 + m / 10) for m in range(12))


def test_a_burst_keeps_its_id_from_raise_to_end():
    c = counter()
    found = [report(c, m) for m in (0, 5, 10, 15)]
    cleared = c.advance(START + 120 * MINUTE)
    assert {b.burst_id for b in (*found[2:], *cleared)} == {found[2].burst_id}


def test_a_burst_is_cleared_once():
    c = counter()
    for m in (0, 5, 10):
        report(c, m)
    due = c.due()
    assert [b.phase for b in c.advance(due)] + [b.phase for b in c.advance(due + MINUTE)] == ["cleared"]


def test_nothing_is_due_without_a_burst():
    c = counter()
    report(c, 0)
    assert c.due() is None


def test_a_burst_does_not_become_its_own_excuse():
    c = counter()
    for day in range(10):
        found = [report(c, day * 1440 + m) for m in (0, 5, 10)]
        assert found[2] is not None
        c.advance(START + (day * 1440 + 120) * MINUTE)


@pytest.mark.parametrize("place", [(math.nan, 117.0), (31.0, math.inf), (91.0, 117.0)])
def test_a_report_without_a_position_is_not_counted(place):
    c = counter()
    assert [report(c, m, place=place) for m in range(5)] == [None] * 5


def test_a_flood_of_reports_is_bounded_and_counted():
    c = counter(max_reports=100)
    for i in range(500):
        report(c, i / 100, place=(31.0 + i * 0.01, 117.0))
    assert (len(c.snapshot()["reports"]), c.overflowed) == (100, 400)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 119))
def test_a_restored_counter_goes_on_where_it_was(seed, cut):
    rng = np.random.default_rng(seed)
    rows = [
        (m, str(rng.choice(["gas", "water"])), (31.8 + rng.normal(0, 0.01), 117.2 + rng.normal(0, 0.01)), str(rng.integers(9)))
        for m in np.cumsum(rng.exponential(3, 120)).tolist()
    ]
    whole, first, second = counter(), counter(), counter()
    wanted = [report(whole, *row) for row in rows]
    got = [report(first, *row) for row in rows[:cut]]
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    got += [report(second, *row) for row in rows[cut:]]
    assert got == wanted


@given(st.integers(1, 60), st.floats(0.001, 40))
def test_the_tail_is_the_poisson_one(count, mean):
    below = math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count))
    assert tail(count, mean) == pytest.approx(1 - below, abs=1e-9)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="min_count"):
        BurstSettings(min_count=1)

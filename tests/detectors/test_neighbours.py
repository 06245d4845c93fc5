from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.neighbours import Gateways, Neighbours, whose

MINUTE = 60_000


def around(now: int, *series: tuple[int, int], every: int = MINUTE) -> Neighbours:
    """Series as (last arrival, newest event time) in seconds; silence is reported after three intervals."""
    last, spoke = (np.array([one[k] for one in series], dtype=np.int64) * 1000 for k in (0, 1))
    step = np.full(len(series), every, dtype=np.int64)
    return Neighbours(now * 1000, last, spoke, step, 3 * step)


def asked(neighbours: Neighbours, members: int | None = None, needed: int = 3) -> str | None:
    mine = None if members is None else np.arange(members)
    return whose(neighbours, 0, mine, needed=needed, share=0.2)


def test_a_gateway_whose_reports_are_all_missing_is_quiet() -> None:
    assert asked(around(200, (0, 0), (10, 10), (20, 20), (190, 190), (195, 195)), 3) == "gateway"


def test_a_silence_among_neighbours_that_are_heard_is_the_devices_own() -> None:
    assert asked(around(200, (0, 0), (190, 190), (195, 195)), 3) == "device"


def test_too_few_reports_due_tell_nothing() -> None:
    assert asked(around(200, (0, 0), (150, 20), (190, 30), (195, 195)), 3) is None


def test_everything_quiet_is_the_streams_silence() -> None:
    assert asked(around(200, (0, 0), (10, 10), (20, 20), (30, 30), (40, 40)), 3) == "stream"


def test_where_all_hang_on_one_gateway_it_is_the_gateways() -> None:
    assert asked(around(200, (0, 0), (10, 10), (20, 20)), 3) == "gateway"


def test_a_row_that_was_long_on_its_way_is_no_sign_of_life() -> None:
    late = around(200, (0, 0), (10, 10), (20, 20), (130, 30), (140, 40))
    assert asked(late, None) == "stream"


def test_a_fifth_of_the_reports_may_come() -> None:
    quiet = [(i, i) for i in range(8)]
    assert [asked(around(200, *quiet, *[(190, 190)] * n)) for n in (2, 3)] == ["stream", "device"]


def test_who_had_long_been_silent_before_tells_nothing() -> None:
    assert asked(around(2000, (1800, 1800), (100, 100), (200, 200), (300, 300)), None) is None


rows = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=12)


@given(rows)
def test_counting_over_all_is_counting_among_all(series: list[tuple[int, int]]) -> None:
    # A row tells of no later time than it came.
    neighbours = around(400, *((last, min(last, spoke)) for last, spoke in series))
    own = int(np.argmin(neighbours.last))
    if 400_000 - neighbours.last[own] >= 3 * MINUTE:
        assert neighbours.count(own) == neighbours.count(own, np.arange(len(series)))


@pytest.mark.parametrize("gateway", ["A", None])
def test_a_series_that_leaves_is_no_member_any_more(gateway: str | None) -> None:
    gateways = Gateways()
    gateways.put(3, "A")
    gateways.put(3, gateway)
    gateways.put(4, "A")
    gateways.drop([4])
    assert (gateways.of(3), gateways.members("A")) == (gateway, [3] if gateway else [])

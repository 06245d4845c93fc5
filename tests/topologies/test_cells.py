from __future__ import annotations

import math
from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from streams.geography import METRES_PER_DEGREE
from topologies.cells import Grid, Names, metres_between, to_decimetre

latitudes = st.floats(-80, 80)
longitudes = st.floats(-179, 179)


@given(latitudes, longitudes, st.floats(-1, 1), st.floats(-1, 1), st.floats(10, 2000))
def test_what_is_within_the_size_lies_in_a_neighbouring_cell(lat: float, lon: float, dy: float, dx: float, size: float) -> None:
    lat2 = lat + dy * size / 111_195.08
    lon2 = lon + dx * size / 111_195.08 / math.cos(math.radians(lat))
    assume(metres_between(lat, lon, lat2, lon2) <= 0.999 * size)
    grid: Grid[str] = Grid(size)
    grid.put(grid.of(lat2, lon2), "it")
    assert grid.near(lat, lon) == ["it"]


@given(latitudes, longitudes, latitudes, longitudes)
def test_distance_is_the_same_both_ways(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    assert metres_between(lat1, lon1, lat2, lon2) == metres_between(lat2, lon2, lat1, lon1)


def test_the_nine_cells_are_looked_at_by_row_and_column() -> None:
    grid: Grid[tuple[int, int]] = Grid(300)
    rows = [grid.of(31.82 + up * 300 / METRES_PER_DEGREE, 117.22) for up in (-1, 0, 1)]
    around = [(row, column + right) for row, column in rows for right in (-1, 0, 1)]
    for cell in reversed(around):
        grid.put(cell, cell)
    assert grid.near(31.82, 117.22) == around


def test_the_poles_have_cells() -> None:
    grid: Grid[str] = Grid(300)
    grid.put(grid.of(90.0, 0.0), "pole")
    assert grid.near(90.0, 0.0) == ["pole"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("ab"), st.sampled_from([1, 1, -1]))))
def test_names_are_where_they_were_counted_more_often_up_than_down(steps: list[tuple[int, int, str, int]]) -> None:
    names, held = Names(300), Counter[tuple[int, int, str]]()
    for north, east, name, by in steps:
        names.count(31.0 + 0.01 * north, 117.0 + 0.01 * east, name, by)
        held[north, east, name] = max(0, held[north, east, name] + by)
    for north in range(4):
        for east in range(4):
            here = {name: held[north, east, name] for name in "ab" if held[north, east, name]}
            assert names.near(31.0 + 0.01 * north, 117.0 + 0.01 * east) == ([here] if here else [])


@given(st.floats(30, 33), st.floats(116, 119), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05))
def test_the_plane_agrees_with_the_great_circle_to_a_thousandth(lat: float, lon: float, dy: float, dx: float) -> None:
    p1, p2 = math.radians(lat), math.radians(lat + dy)
    a = math.sin((p2 - p1) / 2) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(math.radians(dx) / 2) ** 2
    circle = 2 * 6_371_008.8 * math.asin(math.sqrt(a))
    assert abs(metres_between(lat, lon, lat + dy, lon + dx) - circle) <= 0.001 * circle + 0.01


@given(st.one_of(st.floats(-1e9, 1e9), st.integers(-(10**7), 10**7).map(lambda n: n / 20), st.floats(-1, 1)))
def test_a_decimetre_is_what_rounding_makes_of_it(metres: float) -> None:
    """Also half way between two of them, where rounding looks at what the number exactly is."""
    for beside in (metres, math.nextafter(metres, math.inf), math.nextafter(metres, -math.inf)):
        assert to_decimetre(beside) == round(beside, 1)

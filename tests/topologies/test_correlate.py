from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from topologies.correlate import Cells, metres_between

latitudes = st.floats(-80, 80)
longitudes = st.floats(-179, 179)


@given(latitudes, longitudes, st.floats(-1, 1), st.floats(-1, 1), st.floats(10, 2000))
def test_what_is_within_the_size_lies_in_a_neighbouring_cell(lat: float, lon: float, dy: float, dx: float, size: float) -> None:
    lat2 = lat + dy * size / 111_195.08
    lon2 = lon + dx * size / 111_195.08 / math.cos(math.radians(lat))
    assume(metres_between(lat, lon, lat2, lon2) <= 0.999 * size)
    cells = Cells(size)
    assert cells.of(lat2, lon2) in set(cells.around(lat, lon))


@given(latitudes, longitudes, latitudes, longitudes)
def test_distance_is_the_same_both_ways(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    assert metres_between(lat1, lon1, lat2, lon2) == metres_between(lat2, lon2, lat1, lon1)


def test_the_own_cell_is_the_fifth_of_the_nine() -> None:
    cells = Cells(300)
    assert list(cells.around(31.82, 117.22))[4] == cells.of(31.82, 117.22)


def test_the_poles_have_cells() -> None:
    assert len(set(Cells(300).around(90.0, 0.0))) == 9


@given(st.floats(30, 33), st.floats(116, 119), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05))
def test_the_plane_agrees_with_the_great_circle_to_a_thousandth(lat: float, lon: float, dy: float, dx: float) -> None:
    p1, p2 = math.radians(lat), math.radians(lat + dy)
    a = math.sin((p2 - p1) / 2) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(math.radians(dx) / 2) ** 2
    circle = 2 * 6_371_008.8 * math.asin(math.sqrt(a))
    assert abs(metres_between(lat, lon, lat + dy, lon + dx) - circle) <= 0.001 * circle + 0.01

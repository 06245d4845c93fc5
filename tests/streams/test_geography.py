"""streams.geography: metres, Chinese coordinate systems, cells, lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.geography import (
    cell,
    distance_to_line_m,
    gcj02_to_bd09,
    gcj02_to_wgs84,
    haversine_m,
    metres_per_degree,
    to_wgs84,
    wgs84_to_gcj02,
)

#: City, WGS-84 (lat, lon), GCJ-02 (lat, lon), offset in metres: domain.md B6.
VECTORS = [
    ("Hefei", (31.8206, 117.2272), (31.818601, 117.232682), 563.7),
    ("Wuhu", (31.3526, 118.4329), (31.350748, 118.438281), 550.9),
    ("Fuyang", (32.8901, 115.8142), (32.888102, 115.819571), 548.5),
    ("Huangshan", (29.7147, 118.3375), (29.712301, 118.342705), 569.0),
]
in_china = st.tuples(st.floats(18.0, 53.0), st.floats(74.0, 134.0))
anything = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(("city", "wgs", "gcj", "offset"), VECTORS)
def test_the_vectors_are_met_within_a_metre(
    city: str, wgs: tuple[float, float], gcj: tuple[float, float], offset: float
) -> None:
    assert haversine_m(*wgs84_to_gcj02(*wgs), *gcj) < 1.0, city


@pytest.mark.parametrize(("city", "wgs", "gcj", "offset"), VECTORS)
def test_the_offset_has_the_published_length(
    city: str, wgs: tuple[float, float], gcj: tuple[float, float], offset: float
) -> None:
    assert haversine_m(*wgs, *wgs84_to_gcj02(*wgs)) == pytest.approx(offset, abs=1.0), city


@given(in_china)
def test_the_way_to_gcj02_and_back_ends_within_a_millimetre(point: tuple[float, float]) -> None:
    assert haversine_m(*point, *gcj02_to_wgs84(*wgs84_to_gcj02(*point))) < 0.001


@given(in_china)
def test_the_way_to_bd09_and_back_ends_within_a_millimetre(point: tuple[float, float]) -> None:
    assert haversine_m(*point, *to_wgs84(*gcj02_to_bd09(*wgs84_to_gcj02(*point)), "bd09")) < 0.001


@given(st.lists(in_china, min_size=1, max_size=5), st.sampled_from(["gcj02", "bd09", "wgs84"]))
def test_arrays_and_scalars_agree(points: list[tuple[float, float]], crs: str) -> None:
    lat, lon = to_wgs84(np.array([p[0] for p in points]), np.array([p[1] for p in points]), crs)
    assert list(zip(lat.tolist(), lon.tolist(), strict=True)) == [to_wgs84(*point, crs) for point in points]


@given(anything, anything, st.sampled_from(["wgs84", "cgcs2000", "gcj02", "bd09"]))
def test_no_number_makes_a_conversion_raise(lat: float, lon: float, crs: str) -> None:
    assert len(to_wgs84(lat, lon, crs)) == 2


@pytest.mark.parametrize("crs", ["gcj02", "bd09"])
@pytest.mark.parametrize("point", [(0.0, 0.0), (40.7, -74.0), (-33.9, 151.2)])
def test_outside_china_the_systems_are_the_same(crs: str, point: tuple[float, float]) -> None:
    assert to_wgs84(*point, crs) == point


def test_cgcs2000_is_taken_as_wgs84() -> None:
    assert to_wgs84(31.8, 117.2, "cgcs2000") == (31.8, 117.2)


def test_another_system_is_refused() -> None:
    with pytest.raises(ValueError, match="mars"):
        to_wgs84(0.0, 0.0, "mars")


def test_a_degree_at_hefei_has_the_published_metres() -> None:
    assert metres_per_degree(31.82) == pytest.approx((111_195, 94_483), abs=1.0)


def test_distances_are_measured_over_the_date_line() -> None:
    assert haversine_m(0.0, 179.9, 0.0, -179.9) == pytest.approx(22_239, abs=1)


def test_opposite_points_are_half_the_earth_apart() -> None:
    assert haversine_m(0.0, 0.0, 0.0, 180.0) == pytest.approx(math.pi * 6_371_008.8)


@given(in_china, in_china)
def test_the_distance_is_the_same_both_ways_and_as_an_array(a: tuple[float, float], b: tuple[float, float]) -> None:
    one = haversine_m(*a, *b)
    assert one == pytest.approx(haversine_m(*b, *a)) == pytest.approx(float(haversine_m(*np.array([a]).T, *b)[0]))


@given(in_china)
def test_a_cell_holds_its_point(point: tuple[float, float]) -> None:
    row, column = cell(*point, 0.01)
    assert row * 0.01 - 1e-9 <= point[0] + 90 <= (row + 1) * 0.01 + 1e-9 and (column + 1) * 0.01 + 1e-9 >= point[1] + 180


ROUTE = [[117.20, 31.80], [117.22, 31.80], [117.22, 31.82]]


def test_a_point_on_the_line_is_no_distance_away() -> None:
    assert distance_to_line_m(31.80, 117.21, ROUTE) == pytest.approx(0.0, abs=0.01)


def test_a_point_beside_the_line_is_as_far_as_its_nearest_segment() -> None:
    assert distance_to_line_m(31.81, 117.23, ROUTE) == pytest.approx(haversine_m(31.81, 117.23, 31.81, 117.22), rel=0.001)


def test_a_point_beyond_the_end_is_as_far_as_the_end() -> None:
    assert distance_to_line_m(31.83, 117.22, ROUTE) == pytest.approx(haversine_m(31.83, 117.22, 31.82, 117.22), rel=0.001)


def test_a_line_of_one_point_is_a_point() -> None:
    assert distance_to_line_m(31.81, 117.20, ROUTE[:1]) == pytest.approx(haversine_m(31.81, 117.20, 31.80, 117.20), rel=0.001)


def test_many_points_are_measured_at_once() -> None:
    assert distance_to_line_m(np.array([31.80, 31.83]), np.array([117.21, 117.22]), ROUTE).shape == (2,)

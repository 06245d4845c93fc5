"""The fence index answers as shapely does, away from borders, whatever the shape and wherever the point."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.fence_grid import FenceGrid


def star(rng: np.random.Generator, x: float, y: float, size: float, vertices: int) -> shapely.Polygon:
    angle = np.sort(rng.uniform(0, 2 * np.pi, vertices))
    radius = size * rng.uniform(0.3, 1.0, vertices)
    return shapely.Polygon(np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)])


def random_area(rng: np.random.Generator) -> shapely.Geometry:
    parts = []
    for _ in range(rng.integers(1, 4)):
        x, y, size = rng.uniform(116.9, 117.1), rng.uniform(31.7, 31.9), 10 ** rng.uniform(-3, -1)
        outer = shapely.make_valid(star(rng, x, y, size, int(rng.integers(3, 60))))
        parts.append(outer.difference(shapely.make_valid(star(rng, x, y, size / 3, int(rng.integers(3, 9))))))
    return shapely.union_all(parts)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_equals_shapely_for_random_areas_with_holes_and_parts_away_from_borders(seed, count):
    rng = np.random.default_rng(seed)
    areas = [random_area(rng) for _ in range(count)]
    lon, lat = rng.uniform(116.7, 117.3, 400), rng.uniform(31.5, 32.1, 400)
    # Half of the points near the areas, where it matters.
    near = np.array([area.centroid.coords[0] for area in areas])[rng.integers(0, count, 400)]
    lon, lat = np.r_[lon, near[:, 0] + rng.normal(0, 0.02, 400)], np.r_[lat, near[:, 1] + rng.normal(0, 0.02, 400)]
    ours = np.zeros((len(lon), count), dtype=bool)
    ours[FenceGrid(areas).query(lon, lat)] = True
    for number, area in enumerate(areas):
        clear = shapely.distance(shapely.boundary(area), shapely.points(lon, lat)) > 1e-8
        assert np.array_equal(ours[clear, number], shapely.contains_xy(area, lon, lat)[clear])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_borders_that_run_along_the_lines_of_the_grid_and_meet_in_its_corners(seed, count):
    rng = np.random.default_rng(seed)
    areas = []
    for _ in range(count):
        corners = rng.integers(0, 8, (int(rng.integers(1, 6)), 2)).astype(float)
        boxes = [shapely.box(x, y, x + rng.integers(1, 5), y + rng.integers(1, 5)) for x, y in corners]
        whole = shapely.union_all(boxes[::2])
        areas.append(whole.difference(shapely.union_all(boxes[1::2])))
    lon, lat = rng.uniform(-1, 13, 300), rng.uniform(-1, 13, 300)
    # On the lines themselves, where they are no border.
    lon, lat = np.r_[lon, np.round(lon), lon], np.r_[lat, lat, np.round(lat * 4) / 4]
    ours = np.zeros((len(lon), count), dtype=bool)
    ours[FenceGrid(areas).query(lon, lat)] = True
    for number, area in enumerate(areas):
        clear = shapely.distance(shapely.boundary(area), shapely.points(lon, lat)) > 1e-8
        clear |= area.is_empty
        assert np.array_equal(ours[clear, number], shapely.contains_xy(area, lon, lat)[clear])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_the_compiled_loop_and_numpy_say_the_same_of_every_point(seed, count):
    rng = np.random.default_rng(seed)
    areas = [random_area(rng) for _ in range(count)]
    grid = FenceGrid(areas)
    lon, lat = rng.uniform(116.8, 117.2, 300), rng.uniform(31.6, 32.0, 300)
    # Borders, lines of the grid, its outer lines, and what is no place.
    corners = [shapely.get_coordinates(area)[:20] for area in areas]
    lines = grid.frame.west + grid.frame.width * np.arange(6), grid.frame.south + grid.frame.height * np.arange(6)
    odd = np.array(
        [
            [np.nan, 31.8],
            [117.0, np.inf],
            [1e308, -1e308],
            [grid.frame.west + grid.frame.columns * grid.frame.width, grid.frame.south],
        ]
    )
    asked = np.concatenate([np.c_[lon, lat], *corners, np.c_[lines], odd])
    with np.errstate(invalid="ignore", over="ignore"):
        compiled = grid._ask(asked[:, 0].copy(), asked[:, 1].copy())
        plain = grid._ask_in_numpy(asked[:, 0], asked[:, 1])
    assert [hits.tolist() for hits in compiled] == [hits.tolist() for hits in plain]


def test_a_point_in_a_hole_is_outside():
    ring = shapely.box(0, 0, 3, 3).difference(shapely.box(1, 1, 2, 2))
    assert FenceGrid([ring]).inside(np.array([1.5, 0.5]), np.array([1.5, 0.5])).tolist() == [False, True]


def test_points_outside_the_box_of_all_fences_are_in_none():
    grid = FenceGrid([shapely.box(0, 0, 1, 1)])
    far = np.array([-1e9, 50.0, np.inf, 0.5])
    assert grid.query(far, np.array([0.5, 0.5, 0.5, 1e300]))[0].tolist() == []


def test_not_a_number_is_in_no_fence():
    assert not FenceGrid([shapely.box(0, 0, 1, 1)]).inside(np.array([np.nan]), np.array([0.5])).any()


def test_overlapping_fences_are_all_named_in_order():
    grid = FenceGrid([shapely.box(0, 0, 4, 4), shapely.box(1, 1, 3, 3), shapely.box(1.9, 1.9, 2.1, 2.1)])
    assert grid.query(np.array([2.0]), np.array([2.0]))[1].tolist() == [0, 1, 2]


def test_no_fences_is_an_index_too():
    assert FenceGrid([]).query(np.array([1.0]), np.array([1.0]))[0].tolist() == []


def test_a_city_sized_border_of_many_vertices_is_cut_piece_by_piece():
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    radius = 0.5 + 0.02 * np.sin(200 * angle)
    city = shapely.Polygon(np.c_[117 + radius * np.cos(angle), 32 + radius * np.sin(angle)])
    small = [shapely.box(117 + i * 0.01, 32, 117.002 + i * 0.01, 32.002) for i in range(20)]
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(116.4, 117.6, 5000), rng.uniform(31.4, 32.6, 5000)
    inside = np.zeros(5000, dtype=bool)
    point, area = FenceGrid([*small, city]).query(lon, lat)
    inside[point[area == 20]] = True
    assert np.array_equal(inside, shapely.contains_xy(city, lon, lat))


@pytest.mark.parametrize("x", [0.0, 0.25, 0.5, 0.75])
def test_points_on_grid_lines_inside_an_area_are_inside(x):
    grid = FenceGrid([shapely.box(-1, -1, 1, 1).union(shapely.box(2, -1, 4, 1))])
    west, _, width, _, columns, _ = grid.frame
    lines = np.array([west + k * width for k in range(1, columns) if -1 < west + k * width < 1])
    assert grid.inside(lines, np.full(len(lines), x)).all()

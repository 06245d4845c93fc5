"""Fences are read from GeoJSON and the registry; what cannot be read has a named reason."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.fences import FenceSet, epoch_ms, in_daily, read_fence
from streams.records import Asset, Period

SQUARE = {"type": "Polygon", "coordinates": [[[117, 31], [117.1, 31], [117.1, 31.1], [117, 31.1], [117, 31]]]}
ROUTE = {"type": "LineString", "coordinates": [[117.0, 31.0], [117.1, 31.0]]}
HOUR = 3_600_000


def local(hour: float) -> np.ndarray:
    """Epoch ms of that hour of a day in +08:00."""
    return np.array([1_700_000_000_000 // 86_400_000 * 86_400_000 + int((hour - 8) * HOUR)])


def test_a_feature_collection_gives_a_fence_per_feature_with_its_own_id():
    features = [{"type": "Feature", "id": name, "geometry": SQUARE, "properties": {}} for name in ("a", "b")]
    fences = FenceSet.from_geojson({"type": "FeatureCollection", "features": features}, fence_kind="school")
    assert [(fence.fence_id, fence.kind) for fence in fences.fences] == [("a", "school"), ("b", "school")]


def test_a_period_of_an_asset_is_the_time_its_fence_holds():
    asset = Asset("S1", "site", [Period(from_=1000, to=2000, attributes={"fence": SQUARE, "fence_kind": "disposal_site"})])
    fences = FenceSet.from_assets([asset])
    held = fences.times([0], np.array([0, 0, 0]), np.array([999, 1000, 2000]))
    assert held.tolist() == [False, True, False]


def test_an_asset_without_a_fence_gives_none_and_no_problem():
    fences = FenceSet.from_assets([Asset("G1", "sensor", [Period(from_=0)])])
    assert (len(fences), fences.problems) == (0, [])


@pytest.mark.parametrize(
    ("hour", "held"), [(23, True), (3, True), (5.99, True), (6, False), (12, False), (22, True), (21.9, False)]
)
def test_a_daily_window_may_cross_midnight(hour, held):
    assert in_daily((22 * HOUR, 6 * HOUR), local(hour)).tolist() == [held]


def test_a_daily_window_of_the_whole_day_always_holds():
    fence = read_fence("f", SQUARE, {"daily_from": "00:00", "daily_to": "24:00"})
    assert in_daily(fence.daily, np.concatenate([local(h) for h in (0, 7, 23.9)])).all()


def test_a_negative_margin_shrinks_and_a_positive_one_widens():
    fences = FenceSet.from_geojson(SQUARE)
    lat = np.array([31.05, 31.05])
    edge = 117.1 + np.array([-5, 20]) / (111195 * math.cos(math.radians(31.05)))
    assert fences.grid([0], -10.0).inside(edge, lat).tolist() == [False, False]
    assert fences.grid([0], 30.0).inside(edge, lat).tolist() == [True, True]


def test_a_site_too_small_for_the_margin_keeps_its_own_border():
    tiny = {"type": "Point", "coordinates": [117.0, 31.0]}
    fences = FenceSet.from_geojson(tiny, radius_m=8)
    assert fences.grid([0], -10.0).inside(np.array([117.0]), np.array([31.0])).all()


def test_a_route_has_a_distance_but_no_inside():
    fences = FenceSet.from_geojson(ROUTE, fence_kind="route")
    assert not fences.grid([0]).inside(np.array([117.05]), np.array([31.0])).any()
    assert fences.distance_m(0, np.array([117.05]), np.array([31.001])) == pytest.approx(111.2, abs=0.2)


def test_distance_inside_an_area_is_zero():
    assert FenceSet.from_geojson(SQUARE).distance_m(0, np.array([117.05]), np.array([31.05])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (None, "not_geojson"),
        ("POLYGON((0 0))", "not_geojson"),
        ({"type": "Circle"}, "unknown_type"),
        ({"type": "Polygon"}, "not_geojson"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "not_geojson"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [500, 0], [0, 95], [0, 0]]]}, "out_of_range_coordinate"),
        ({"type": "Polygon", "coordinates": [[["a", "b"], [1, 1], [2, 2], ["a", "b"]]]}, "not_geojson"),
        ({"type": "Point", "coordinates": [math.nan, 1]}, "out_of_range_coordinate"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_a_reason(geometry, reason):
    fences = FenceSet.from_geojson(geometry)
    assert (len(fences), [problem.reason for problem in fences.problems]) == (0, [reason])


def test_a_daily_window_that_is_no_time_of_day_is_a_problem():
    assert read_fence("f", SQUARE, {"daily_from": "noon"}).reason == "bad_window"


def test_a_moment_without_offset_is_refused():
    with pytest.raises(ValueError, match="offset"):
        epoch_ms("2025-01-01T00:00:00")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "features"]), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(["Polygon", "MultiPolygon", "Point", "FeatureCollection", "Feature"]))
def test_no_document_raises(inner, kind):
    fences = FenceSet.from_geojson({"type": kind, "coordinates": inner, "geometry": inner, "features": inner})
    assert len(fences) + len(fences.problems) >= 0

"""Geofence: what counts as inside, entered, left, dwelt in and off route."""

import math

import msgspec
import numpy as np
import pytest

from detectors.fences import FenceSet
from detectors.geofence import Geofence, GeofenceParams
from streams.records import Asset
from tests.detectors.vehicle_rows import HOUR, batch, measures, truck

METRE = 1 / 111_195


def square(side_m: float = 1000.0, lon: float = 117.0, lat: float = 31.0) -> dict:
    """A square whose south-west corner is given."""
    dx, dy = side_m * METRE / math.cos(math.radians(lat)), side_m * METRE
    return {
        "type": "Polygon",
        "coordinates": [[[lon, lat], [lon + dx, lat], [lon + dx, lat + dy], [lon, lat + dy], [lon, lat]]],
    }


def north(metres: float, ts: float, **more: object) -> dict:
    """A fix so many metres north of the square's south side (negative: outside)."""
    return {"lat": 31.0 + metres * METRE, "lon": 117.005, "ts": ts, **more}


def fenced(*series, fences=None, **params) -> Geofence:
    detector = Geofence(msgspec.convert({"kinds": ["zone"], **params}, GeofenceParams), list(series) or [truck()])
    detector.attach(fences if fences is not None else FenceSet.from_geojson(square(), "Z", fence_kind="zone"))
    return detector


def test_inside_is_one_inside_and_zero_outside():
    assert measures(fenced(), [north(-100, 0), north(500, 10)]) == [0, 1]


def test_a_fence_is_entered_ten_metres_inside_and_left_thirty_metres_outside():
    walk = [north(m, i) for i, m in enumerate((-50, 5, 15, 5, -20, -40, -20))]
    assert measures(fenced(), walk) == [0, 0, 1, 1, 1, 0, 0]


def test_enter_fires_once_at_the_crossing():
    assert measures(fenced(mode="enter"), [north(m, i) for i, m in enumerate((-100, 100, 200, -100, 100))]) == [0, 1, 0, 0, 1]


def test_a_vehicle_first_seen_inside_has_not_entered():
    assert measures(fenced(mode="enter"), [north(100, 0), north(200, 1)]) == [0, 0]


def test_exit_fires_once_at_the_crossing():
    assert measures(fenced(mode="exit"), [north(m, i) for i, m in enumerate((100, -100, -200))]) == [0, 1, 0]


def test_a_crossing_needs_as_many_fixes_in_a_row_as_asked():
    walk = [north(m, i) for i, m in enumerate((-100, -100, -100, 100, 100, -100, 100, 100, 100))]
    assert measures(fenced(points=3), walk) == [0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_dwell_counts_seconds_since_the_first_fix_inside():
    assert measures(fenced(mode="dwell"), [north(-100, 0), north(100, 30), north(100, 60), north(100, 90)]) == [0, 0, 30, 60]


def test_dwell_outside_counts_seconds_outside_of_all_fences():
    found = measures(fenced(mode="dwell", dwell_in="outside"), [north(100, 0), north(-100, 30), north(-100, 60)])
    assert found == [0, 0, 30]


def test_dwell_outside_says_nothing_of_a_vehicle_without_fences():
    found = measures(fenced(mode="dwell", dwell_in="outside", fences=FenceSet()), [north(-100, 0), north(-100, 99)])
    assert np.isnan(found).all()


def test_dwell_is_broken_by_driving_on():
    walk = [north(100, 0, speed_kmh=0), north(100, 60, speed_kmh=0), north(120, 90, speed_kmh=20), north(120, 120, speed_kmh=0)]
    assert measures(fenced(mode="dwell", below_kmh=5), walk) == [0, 60, 0, 30]


def test_outside_measures_metres_from_the_route():
    route = {"type": "LineString", "coordinates": [[116.9, 31.0], [117.1, 31.0]]}
    fences = FenceSet.from_geojson(route, "R1", fence_kind="zone")
    assert measures(fenced(mode="outside", fences=fences), [north(80, 0), north(0, 1)]) == pytest.approx([80, 0], abs=0.1)


def test_outside_is_zero_within_the_area():
    assert measures(fenced(mode="outside"), [north(500, 0)]) == [0]


def test_outside_with_many_fences_measures_to_the_nearest():
    features = [
        {"type": "Feature", "id": f"Z{i}", "geometry": square(100, lon=117.0 + 0.01 * i), "properties": {}} for i in range(50)
    ]
    fences = FenceSet.from_geojson({"type": "FeatureCollection", "features": features}, fence_kind="zone")
    assert measures(fenced(mode="outside", fences=fences), [{"lat": 30.999, "lon": 117.2005, "ts": 0}]) == pytest.approx(
        [111.2], abs=0.3
    )


def test_a_vehicle_with_its_own_route_is_judged_by_it_alone():
    fences = FenceSet(
        [
            *FenceSet.from_geojson(square(), "mine", fence_kind="route").fences,
            *FenceSet.from_geojson(square(lat=31.1), "other", fence_kind="route").fences,
        ]
    )
    detector = fenced(truck(attributes={"route": "mine"}), fences=fences, kinds=[], attribute="route")
    assert measures(detector, [north(100, 0), north(100 + 0.1 / METRE, 60)]) == [1, 0]


def test_a_vehicle_without_the_attribute_is_not_judged_off_route():
    detector = fenced(truck(), kinds=[], attribute="route", mode="outside")
    assert np.isnan(measures(detector, [north(-5000, 0)])).all()


def test_a_fix_without_position_is_not_seen():
    walk = [north(100, 0, status_bits=2), north(-500, 1, status_bits=0), north(100, 2, status_bits=3)]
    assert measures(fenced(), walk) == pytest.approx([1, np.nan, 1], nan_ok=True)


def test_an_inaccurate_fix_is_not_seen():
    assert np.isnan(measures(fenced(max_accuracy_m=50), [north(100, 0, accuracy_m=200)])).all()


def test_an_empty_truck_in_a_zone_for_loaded_ones_is_no_finding_and_an_unknown_load_says_nothing():
    walk = [north(100, i, load=load) for i, load in enumerate((2, 1, 0, np.nan))]
    assert measures(fenced(loaded_only=True), walk) == pytest.approx([1, 1, 0, np.nan], nan_ok=True)


def test_other_kinds_of_vehicle_are_not_judged():
    detector = Geofence(GeofenceParams(kinds=("zone",), only_kinds=("bus",)), [truck()])
    assert np.isnan(measures(detector, [north(100, 0)])).all()


def test_the_local_hours_of_the_rule_cross_midnight():
    walk = [north(100, hour * HOUR / 1000) for hour in (1, 5, 7, 21, 23)]
    assert measures(fenced(daily=["22:00", "06:00"]), walk) == [1, 1, 0, 0, 1]


def test_a_zone_closed_by_day_holds_by_day_only():
    fences = FenceSet.from_geojson(square(), "Z", fence_kind="zone", daily_from="07:00", daily_to="19:00")
    assert measures(fenced(fences=fences), [north(100, h * 3600) for h in (6, 8, 20)]) == [0, 1, 0]


def test_without_fences_nothing_is_inside():
    assert measures(fenced(fences=FenceSet()), [north(100, 0)]) == [0]


def test_a_fence_that_the_registry_withdraws_is_left():
    detector = fenced()
    assert measures(detector, [north(100, 0)]) == [1]
    detector.attach(FenceSet())
    assert measures(detector, [north(100, 10)]) == [0]


def test_a_restored_detector_goes_on_where_it_was():
    walk = [north(m, i * 10) for i, m in enumerate((-100, 15, 5, -20, 40, -40, -40))]
    whole = measures(fenced(mode="dwell"), walk)
    first, second = fenced(mode="dwell"), fenced(mode="dwell")
    start = measures(first, walk[:3])
    second.restore(first.snapshot())
    assert start + measures(second, walk[3:]) == whole


def test_a_finding_names_the_fence():
    detector = fenced()
    detector.grow(1)
    assert detector.measure(batch([north(100, 0)])).explain(0) == "inside Z (zone)"


def test_a_rule_that_names_no_fences_is_refused():
    with pytest.raises(msgspec.ValidationError, match="names no fences"):
        msgspec.convert({"mode": "inside"}, GeofenceParams)


def test_nonsense_in_every_column_raises_nothing():
    nonsense = [
        {"ts": 0, "lat": v, "lon": v, "status_bits": v, "accuracy_m": v, "load": v, "speed_kmh": v} for v in (1e308, -1, np.inf)
    ]
    assert len(measures(fenced(loaded_only=True, below_kmh=5, max_accuracy_m=10), nonsense)) == 3


def test_a_route_drawn_in_the_trucks_own_attributes_is_its_route():
    line = {"type": "LineString", "coordinates": [[117.0, 31.0], [117.1, 31.0]]}
    period = {"from": 0, "city": "340100", "attributes": {"route": line}}
    asset = msgspec.convert({"asset_id": "T1", "kind": "vehicle", "periods": [period]}, Asset)
    detector = Geofence(GeofenceParams(attribute="route", mode="outside"), [truck(attributes={"route": line})])
    detector.attach(FenceSet.from_assets([asset]))
    assert measures(detector, [north(0, 0), north(500, 60)])[1] > 400

"""Overspeed: percent over the limit that holds here; what no vehicle can do is not believed."""

import msgspec
import numpy as np
import pytest

from detectors.fences import FenceSet
from detectors.overspeed import Overspeed, OverspeedParams
from tests.detectors.vehicle_rows import measures, truck

ZONE = {"type": "Polygon", "coordinates": [[[117, 31], [117.1, 31], [117.1, 31.1], [117, 31.1], [117, 31]]]}


def fix(ts, speed=np.nan, lat=31.05, lon=117.05, **more):
    return {"ts": ts, "speed_kmh": speed, "lat": lat, "lon": lon, **more}


def detector(limits=None, **params) -> Overspeed:
    return Overspeed(OverspeedParams(**params), [truck(limits=limits or {})])


def test_the_limit_of_the_registry_is_the_measure_of_the_vehicle():
    assert measures(detector({"speed_kmh": 40}), [fix(0, 60)]) == pytest.approx([50])


def test_without_any_limit_the_default_holds():
    assert measures(detector(default_kmh=60), [fix(0, 66)]) == pytest.approx([10])


def test_the_lower_limit_of_a_fence_holds_inside_it():
    speeding = detector({"speed_kmh": 60})
    speeding.attach(FenceSet.from_geojson(ZONE, fence_kind="school", speed_kmh=40))
    assert measures(speeding, [fix(0, 60), fix(60, 60, lat=31.2)]) == pytest.approx([50, 0])


def test_a_speed_no_vehicle_has_is_not_believed():
    assert np.isnan(measures(detector(), [fix(0, 400)])).all()


def test_a_leap_in_speed_is_not_believed_and_not_remembered():
    found = measures(detector(), [fix(0, 30), fix(1, 150), fix(2, 33)])
    assert found == pytest.approx([-50, np.nan, -45], nan_ok=True)


def test_a_terminal_without_speed_is_judged_by_the_way_between_its_fixes():
    found = measures(detector(), [fix(0), fix(30, lat=31.05 + 600 / 111_195)])
    assert found == pytest.approx([np.nan, 20], nan_ok=True, abs=0.1)


def test_beyond_the_longest_gap_nothing_is_implied():
    assert np.isnan(measures(detector(), [fix(0), fix(3600, lat=31.5)])).all()


def test_a_limit_of_zero_or_below_is_no_limit():
    assert measures(detector({"speed_kmh": 0}), [fix(0, 60)]) == [0]


def test_a_restored_detector_still_knows_the_last_fix():
    first, second = detector(), detector()
    measures(first, [fix(0, 30)])
    second.restore(first.snapshot())
    assert np.isnan(measures(second, [fix(1, 150)])).all()


def test_parameters_that_make_no_sense_are_refused():
    with pytest.raises(msgspec.ValidationError, match="above 0"):
        msgspec.convert({"default_kmh": 0}, OverspeedParams)

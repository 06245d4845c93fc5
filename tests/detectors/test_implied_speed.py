"""Implied speed: what the way between two fixes would have needed."""

import numpy as np
import pytest

from detectors.implied_speed import ImpliedSpeed, ImpliedSpeedParams
from tests.detectors.vehicle_rows import measures, truck


def fix(ts, north_m=0.0, **more):
    return {"ts": ts, "lat": 31.0 + north_m / 111_195, "lon": 117.0, **more}


def detector(**params) -> ImpliedSpeed:
    return ImpliedSpeed(ImpliedSpeedParams(**params), [truck()])


def test_a_kilometre_in_half_a_minute_is_a_hundred_and_twenty():
    assert measures(detector(), [fix(0), fix(30, 1000)]) == pytest.approx([np.nan, 120], nan_ok=True, abs=0.1)


def test_drift_of_a_parked_vehicle_is_standing():
    assert measures(detector(), [fix(0), fix(3, 40)])[1] == 0


def test_fixes_too_close_in_time_are_passed_over():
    assert measures(detector(min_gap_s=5), [fix(0), fix(1, 500), fix(10, 1000)])[1:] == pytest.approx(
        [np.nan, 360], nan_ok=True, abs=0.5
    )


def test_after_a_long_silence_nothing_is_implied():
    assert np.isnan(measures(detector(max_gap_s=600), [fix(0), fix(3600, 90_000)])).all()


def test_against_the_reported_speed_only_the_excess_counts():
    walk = [fix(0, speed_kmh=50), fix(30, 1000, speed_kmh=60)]
    assert measures(detector(against_reported=True), walk)[1] == pytest.approx(60, abs=0.1)


def test_a_fix_without_position_is_not_used():
    walk = [fix(0), fix(30, 90_000, status_bits=0), fix(60, 1000)]
    assert measures(detector(), walk) == pytest.approx([np.nan, np.nan, 60], nan_ok=True, abs=0.1)


def test_gaps_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="min_gap_s"):
        ImpliedSpeedParams(min_gap_s=10, max_gap_s=5)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.series import Series
from detectors.threshold import Threshold, ThresholdParams
from streams.batch import Batch
from tests.detectors.one_series import OneSeries


def test_the_measure_is_the_value() -> None:
    assert OneSeries("threshold").measures([(0, 22.0), (1, -3.5)]) == [22.0, -3.5]


def test_a_stream_without_the_column_says_nothing() -> None:
    detector = OneSeries("threshold", column="speed_kmh")
    assert np.isnan(detector.row(22.0, 0).measure).all()


def test_an_absent_optional_value_says_nothing() -> None:
    detector = OneSeries("threshold", column="count").detector
    one = np.zeros(1, dtype=np.int64)
    slot = one.astype(np.int32)
    batch = Batch("video", slot, one, one, one, slot, one > 0, [None], {"count": np.array([np.nan])})
    assert np.isnan(detector.measure(batch).measure[0])


def test_the_value_may_be_judged_from_below() -> None:
    assert OneSeries("threshold").detector.signed


def test_a_daily_window_measures_by_local_night_only() -> None:
    # 13:59, 14:00 and 22:00 UTC are 21:59, 22:00 and 06:00 local.
    at = np.array([13 * 3600 + 59 * 60, 14 * 3600, 22 * 3600], dtype=np.int64) * 1000
    slot = np.zeros(3, dtype=np.int32)
    detector = Threshold(ThresholdParams(daily_from="22:00", daily_to="06:00", outside=0.0), [Series("N1", "noise")])
    batch = Batch("sensor", slot, at, at, at, slot, slot > 0, [None] * 3, {"value": np.array([58.0, 58.0, 58.0])})
    assert detector.measure(batch).measure.tolist() == [0.0, 58.0, 0.0]


@pytest.mark.parametrize("params", [{"daily_from": "22:00"}, {"outside": 0.0}, {"daily_from": "25:00", "outside": 0.0}])
def test_half_a_daily_window_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ThresholdParams(**params)

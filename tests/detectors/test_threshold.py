from __future__ import annotations

import numpy as np

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

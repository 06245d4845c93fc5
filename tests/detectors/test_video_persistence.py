"""Video persistence: k of n within a time, bounded at any frame rate, and it decays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.series import Series
from detectors.video_persistence import VideoPersistence, VideoPersistenceParams
from streams.batch import Batch


def detector(**params) -> VideoPersistence:
    made = VideoPersistence(VideoPersistenceParams(**params), [Series("C1", "fire", "video")])
    made.grow(1)
    return made


def seen(it: VideoPersistence, second: float, confidence: float = 0.9, count: float = np.nan, late_s: float = 0.0) -> float:
    ts = np.array([1_700_000_000_000 + round(second * 1000)])
    zero = np.zeros(1, dtype=np.int32)
    columns = {"confidence": np.array([confidence]), "count": np.array([count])}
    batch = Batch("video", zero, ts, ts + round(late_s * 1000), ts, zero, zero > 0, [None], columns)
    return float(it.measure(batch).measure[0])


def test_detections_within_the_window_are_counted():
    it = detector(window_s=10)
    assert [seen(it, s) for s in (0, 5, 9.9, 10.2)] == [1, 2, 3, 3]


def test_weak_detections_do_not_count():
    it = detector(window_s=10, min_confidence=0.8)
    assert [seen(it, 0, 0.9), seen(it, 1, 0.7), seen(it, 2, 0.8)] == [1, 1, 2]


def test_nothing_is_found_until_the_detections_span_the_time_asked():
    it = detector(window_s=600, span_s=300)
    assert [seen(it, s) for s in (0, 100, 299, 300)] == [0, 0, 0, 4]


def test_detections_of_too_few_objects_do_not_count():
    it = detector(window_s=10, min_objects=5)
    assert [seen(it, 0, count=9), seen(it, 1, count=2), seen(it, 2)] == [1, 1, 1]


def test_the_count_falls_when_time_passes_and_nothing_is_seen():
    it = detector(window_s=10)
    seen(it, 0)
    seen(it, 4)
    first = it.due()
    assert (it.tick(first).measure.tolist(), it.tick(it.due()).measure.tolist(), it.due()) == ([1.0], [0.0], None)


def test_a_tick_before_its_time_says_nothing():
    it = detector(window_s=10)
    seen(it, 0)
    assert it.tick(it.due() - 1) is None


def test_ticks_count_from_when_it_was_seen_not_from_when_it_arrived():
    it = detector(window_s=10)
    seen(it, 0, late_s=3)
    assert it.due() == 1_700_000_000_000 + 13_000 + 1


def test_a_camera_of_25_frames_a_second_spans_minutes_within_bounded_state():
    it = detector(window_s=60, span_s=30)
    found = [seen(it, i / 25) for i in range(25 * 90)]
    assert found[25 * 29] == 0
    assert min(found[25 * 31 :]) > 0
    assert it.state["count"].shape[1] == 33


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(400, 5000), min_size=1, max_size=60))
def test_sparse_detections_are_counted_exactly(gaps_ms):
    # A part of this window is 375 ms, so no two detections share one.
    it = detector(window_s=12)
    at = (np.cumsum(gaps_ms) / 1000).round(3).tolist()
    wanted = [sum(1 for other in at[: i + 1] if round(other * 1000) >= round(now * 1000) - 12_000) for i, now in enumerate(at)]
    assert [seen(it, now) for now in at] == wanted


def test_a_span_longer_than_the_window_is_refused():
    with pytest.raises(ValueError, match="never reached"):
        VideoPersistenceParams(window_s=10, span_s=20)

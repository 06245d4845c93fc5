from __future__ import annotations

from detectors.series import Series
from tests.detectors.one_series import OneSeries


def heard(until_s: int, every_s: int, **params: float) -> OneSeries:
    detector = OneSeries("stream_silence", Series("city.sensor.readings"), **params)
    for t in range(0, until_s + 1, every_s):
        detector.row(1.0, t)
    return detector


def test_ten_minutes_without_a_row_are_told_once() -> None:
    detector = heard(600, 10)
    assert [detector.tick(t) for t in (1199, 1200, 1300)] == [None, [600.0], None]


def test_a_stream_that_has_hardly_begun_is_not_judged() -> None:
    assert heard(100, 10).tick(100_000) is None


def test_a_sparse_stream_is_not_judged() -> None:
    assert heard(30_000, 300).tick(100_000) is None


def test_twenty_times_the_median_gap_must_pass() -> None:
    detector = heard(3000, 50)
    assert (detector.tick(3000 + 900), detector.tick(3000 + 1000)) == (None, [1000.0])


def test_three_times_the_longest_gap_must_pass() -> None:
    detector = heard(600, 10)
    detector.row(1.0, 1000)
    detector.row(1.0, 1010)
    told = [detector.tick(t) for t in (1010 + 1190, 1010 + 1200)]
    assert told == [None, [1200.0]]


def test_a_gap_that_was_told_is_not_learned_from() -> None:
    detector = heard(600, 10)
    detector.tick(1300)
    detector.row(1.0, 5000)
    assert detector.tick(5600) == [600.0]


def test_the_longest_gap_is_forgotten_by_and_by() -> None:
    detector = heard(600, 10, forget_s=1000)
    detector.row(1.0, 1100)
    for t in range(1110, 7000, 10):
        detector.row(1.0, t)
    assert detector.tick(6990 + 600) == [600.0]


def test_it_says_how_long_in_words() -> None:
    told = heard(600, 10).detector.tick(1_700_000_000_000 + 1_250_000)
    assert told is not None
    assert told.explain is not None
    assert told.explain(0) == "nothing heard for 650 s, usually every 10 s"

from __future__ import annotations

import math
import random

import pytest

from tests.detectors.one_series import OneSeries


def tone(hertz: float, count: int, amplitude: float = 1.0, rate: float = 100.0, at_s: float = 0.0, seed: int = 1):
    """A tone with noise, ``rate`` readings a second."""
    rng = random.Random(seed)
    for i in range(count):
        t = at_s + i / rate
        yield t, amplitude * math.sin(2 * math.pi * hertz * t) + rng.gauss(0, 0.1)


def spoken(measures: list[float]) -> list[float]:
    return [measure for measure in measures if measure == measure]


def test_it_speaks_once_a_window_after_the_warm_up() -> None:
    told = OneSeries("vibration", rows=64, warmup=10).measures(tone(5, 64 * 15))
    assert len(spoken(told)) == 5 and next(i for i, value in enumerate(told) if value == value) == 64 * 11 - 1


def test_twice_the_vibration_is_told_and_the_usual_one_is_not() -> None:
    detector = OneSeries("vibration", rows=64, warmup=10, feature="rms")
    quiet = spoken(detector.measures(tone(5, 64 * 60)))
    loud = spoken(detector.measures(tone(5, 64, amplitude=2.0, at_s=38.4, seed=2)))
    assert max(quiet) < 8 < loud[0]


def test_a_tone_that_moves_with_the_same_strength_is_told_by_its_bands_only() -> None:
    by_bands, by_rms = (OneSeries("vibration", rows=64, warmup=10, feature=feature) for feature in ("bands", "rms"))
    for detector in (by_bands, by_rms):
        detector.measures(tone(4, 64 * 60))
    moved = list(tone(30, 64, at_s=38.4, seed=2))
    assert spoken(by_bands.measures(moved))[0] > 8
    assert spoken(by_rms.measures(moved))[0] < 8


def test_bands_in_hertz_are_those_of_the_structure_whatever_the_sampling() -> None:
    for rate in (50.0, 200.0):
        detector = OneSeries(
            "vibration", rows=128, warmup=10, feature="bands", bands_hz=((2.0, 6.0), (10.0, 20.0)), unit="times"
        )
        detector.measures(tone(4, 128 * 40, rate=rate))
        told = detector.measures(tone(15, 128, rate=rate, at_s=128 * 40 / rate, seed=2))
        assert spoken(told)[0] > 3


def test_a_band_beyond_the_sampling_says_nothing() -> None:
    told = OneSeries("vibration", rows=64, warmup=10, feature="bands", bands_hz=((60.0, 80.0),)).measures(tone(4, 64 * 20))
    assert spoken(told) == []


def test_times_are_those_of_the_amplitude() -> None:
    detector = OneSeries("vibration", rows=64, warmup=10, feature="rms", unit="times")
    detector.measures(tone(5, 64 * 40, amplitude=5.0))
    assert spoken(detector.measures(tone(5, 64, amplitude=15.0, at_s=25.6, seed=2)))[0] == pytest.approx(3.0, rel=0.05)


def test_less_vibration_counts_only_where_both_sides_do() -> None:
    for side, wanted in (("above", False), ("both", True)):
        detector = OneSeries("vibration", rows=64, warmup=10, feature="rms", side=side)
        detector.measures(tone(5, 64 * 60))
        assert (spoken(detector.measures(tone(5, 64, amplitude=0.0, at_s=38.4, seed=2)))[0] > 8) is wanted


def test_a_gap_begins_the_window_anew() -> None:
    detector = OneSeries("vibration", rows=8, warmup=10)
    detector.measures(tone(5, 8 * 20))
    half = [(t + 1000, v) for t, v in tone(5, 4)]
    whole = [(t + 2000, v) for t, v in tone(5, 8)]
    told = detector.measures([*half, *whole])
    assert [i for i, value in enumerate(told) if value == value] == [11]


def test_uneven_sampling_is_judged_by_its_rms_alone() -> None:
    rng = random.Random(3)
    at, rows = 0.0, []
    for _ in range(64 * 30):
        at += rng.choice((0.01, 0.01, 0.04))
        rows.append((at, math.sin(at) + rng.gauss(0, 0.3)))
    assert spoken(OneSeries("vibration", rows=64, warmup=10, feature="bands").measures(rows)) == []
    assert len(spoken(OneSeries("vibration", rows=64, warmup=10, feature="both").measures(rows))) == 20


def test_a_feature_reported_once_a_minute_is_a_signal_like_another() -> None:
    detector = OneSeries("vibration", rows=16, warmup=10, feature="rms")
    detector.measures(tone(0.001, 16 * 60, rate=1 / 60))
    shaken = [(16 * 60 * 60 + 60.0 * i, 5.0 * (-1) ** i) for i in range(16)]
    assert spoken(detector.measures(shaken))[0] > 8


def test_a_shift_of_the_mean_and_a_scale_of_a_quantity_change_nothing() -> None:
    rows = list(tone(5, 64 * 40))
    plain, moved = (OneSeries("vibration", rows=64, warmup=10) for _ in range(2))
    told = spoken(plain.measures(rows))
    assert spoken(moved.measures((t, 100 + 8 * v) for t, v in rows)) == pytest.approx(told, rel=1e-6, abs=1e-6)


def test_it_says_which_band_in_words() -> None:
    detector = OneSeries("vibration", rows=64, warmup=10, feature="bands")
    detector.measures(tone(4, 64 * 40))
    told = None
    for t, v in tone(20, 64, at_s=25.6, seed=2):
        told = detector.row(v, t)
    assert told is not None and told.explain is not None
    assert told.explain(0).startswith("vibration from 12.5 to 25") or told.explain(0).startswith("vibration from 25")

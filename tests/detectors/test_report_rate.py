from __future__ import annotations

import random

import pytest

from detectors.series import Series
from tests.detectors.one_series import START, OneSeries

#: Seconds from the fixture's start to the next whole hour, where windows stand.
TO_HOUR = (-START // 1000) % 3600


def spoken(detector: OneSeries, arrivals: list[float], until: float) -> list[tuple[int, float]]:
    """``(window, measure)`` of every tick that spoke, and of every row that did, in the order of arrival."""
    told: list[tuple[int, float]] = []

    def ticks(to: float) -> None:
        while (due := detector.due_s()) is not None and due <= to:
            told.extend((round((due - TO_HOUR) / 3600) - 1, value) for value in detector.tick(due) or [])

    for at in arrivals:
        ticks(at)
        value = float(detector.row(1.0, at).measure[0])
        if value == value:
            told.append((int((at - TO_HOUR) // 3600), value))
    ticks(until)
    return told


def every(seconds: float, hours: range, keep: float = 1.0, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    count = round(3600 / seconds)
    return [TO_HOUR + h * 3600 + i * seconds + 0.5 for h in hours for i in range(count) if rng.random() < keep]


def test_a_radio_that_loses_half_of_its_messages_is_told_and_no_silence_is() -> None:
    arrivals = every(30, range(12)) + every(30, range(12, 15), keep=0.5)
    told = dict(spoken(OneSeries("report_rate"), arrivals, TO_HOUR + 15 * 3600))
    assert [told[h] for h in range(7, 12)] == [0.0] * 5
    assert all(told[h] == pytest.approx(0.5, abs=0.15) for h in range(12, 15))


def test_the_registrys_interval_is_what_is_usual_where_it_names_one() -> None:
    detector = OneSeries("report_rate", Series("s", "m", interval_s=30.0))
    told = dict(spoken(detector, every(30, range(3), keep=0.5), TO_HOUR + 3 * 3600))
    assert told[1] > 0.3 and told[2] > 0.3


def test_a_series_that_may_be_silent_for_longer_than_a_window_has_no_dropouts() -> None:
    detector = OneSeries("report_rate", Series("s", "m", interval_s=30.0, report_after_s=86_400.0))
    assert spoken(detector, every(30, range(3), keep=0.5), TO_HOUR + 3 * 3600) == []


def test_the_window_in_which_a_series_is_first_heard_is_not_counted() -> None:
    detector = OneSeries("report_rate", Series("s", "m", interval_s=30.0))
    told = dict(spoken(detector, [TO_HOUR + 3000.0, *every(30, range(1, 3))], TO_HOUR + 3 * 3600))
    assert told == {1: 0.0, 2: 0.0}


def test_a_burst_is_told_while_it_lasts() -> None:
    arrivals = every(60, range(12)) + every(6, range(12, 13))
    told = spoken(OneSeries("report_rate", side="burst"), arrivals, TO_HOUR + 13 * 3600)
    burst = [value for window, value in told if window == 12]
    assert len(burst) > 400 and burst[-1] == pytest.approx(10.0)
    assert all(value == 1.0 for window, value in told if window < 12)


def test_counts_that_scatter_as_chance_does_are_usual() -> None:
    rng = random.Random(7)
    at, arrivals = float(TO_HOUR), []
    while at < TO_HOUR + 300 * 3600:
        at += rng.expovariate(1 / 120)
        arrivals.append(at)
    told = spoken(OneSeries("report_rate"), arrivals, TO_HOUR + 300 * 3600)
    assert len(told) > 280 and sum(value > 0 for _, value in told) <= 1


def test_a_new_pace_is_adopted() -> None:
    arrivals = every(30, range(12)) + every(120, range(12, 30))
    told = dict(spoken(OneSeries("report_rate", adopt_after=6), arrivals, TO_HOUR + 30 * 3600))
    assert told[13] == pytest.approx(0.75, abs=0.01) and told[25] == 0.0


def test_silence_is_left_to_its_own_detector() -> None:
    detector = OneSeries("report_rate")
    told = dict(spoken(detector, every(30, range(12)), TO_HOUR + 40 * 3600))
    assert max(told) == 11 and detector.due_s() is None


def test_an_outage_is_no_loss_though_it_empties_half_of_two_windows() -> None:
    whole = every(30, range(20))
    arrivals = [at for at in whole if not TO_HOUR + 12.5 * 3600 <= at < TO_HOUR + 14.5 * 3600]
    told = spoken(OneSeries("report_rate"), arrivals, TO_HOUR + 20 * 3600)
    assert {window for window, _ in told} >= {12, 14, 15} and not any(value for _, value in told)


def test_what_is_lost_beside_an_outage_is_told() -> None:
    lossy = every(30, range(12)) + every(60, range(12, 20))
    arrivals = [at for at in lossy if not TO_HOUR + 14 * 3600 + 600 <= at < TO_HOUR + 14 * 3600 + 1_800]
    told = dict(spoken(OneSeries("report_rate"), arrivals, TO_HOUR + 20 * 3600))
    assert told[14] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("left", [0, 4])
def test_a_device_that_sends_nothing_usable_loses_its_reports(left: int) -> None:
    """It is not silent, and what is left of it are a few readings an hour, or none."""
    detector = OneSeries("report_rate")
    told: dict[int, float] = {}
    for i in range(15 * 120):
        hour, at = i // 120, TO_HOUR + 30 * i + 0.5
        while (due := detector.due_s()) is not None and due <= at:
            told.update((round((due - TO_HOUR) / 3600) - 1, value) for value in detector.tick(due) or [])
        detector.row(1.0 if hour < 12 or (left and i % (120 // left) == 0) else float("nan"), at)
    assert told[11] == 0.0 and told[12] == told[13] == pytest.approx(1 - left / 120, abs=0.001)


def test_it_says_both_counts_in_words() -> None:
    detector = OneSeries("report_rate", Series("s", "m", interval_s=30.0))
    for at in every(30, range(1), keep=0.0) + every(120, range(1, 2)):
        detector.row(1.0, at)
    detector.tick(TO_HOUR + 2 * 3600)
    for at in every(120, range(2, 3)):
        detector.row(1.0, at)
    told = detector.detector.tick(START + (TO_HOUR + 3 * 3600) * 1000)
    assert told is not None and told.explain is not None
    assert told.explain(0) == "30 reports in 3600 s, usually 120"

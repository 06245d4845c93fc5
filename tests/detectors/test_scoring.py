from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors  # noqa: F401  (registers the house's detectors)
from detectors.base import registered
from detectors.group_scoring import scorer_of
from detectors.scoring import DEFAULT_DETECTOR, DetectorScorer, OnwardTime, Verdict, scored
from detectors.series import Series
from streams.batch import Batch, rounds
from streams.errors import Mend

START = 1_700_000_000_000
MINUTE = 60_000
DAY = 86_400_000


def noise(count: int, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [10.0 + rng.gauss(0, 0.5) for _ in range(count)]


def verdicts(values: list[float], name: str = DEFAULT_DETECTOR, good: int = 0, **params: Any) -> list[Verdict]:
    scorer = DetectorScorer(["v"], name, params)
    return [scorer.step(START + i * MINUTE, [value], i < good) for i, value in enumerate(values)]


def test_the_default_detector_flags_a_wild_row_and_not_the_quiet_ones() -> None:
    told = verdicts([*noise(400), 60.0])
    assert told[-1].flag and told[-1].score >= 0.5
    assert not any(verdict.flag for verdict in told[:-1])


@pytest.mark.parametrize("name", scored())
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 199))
@settings(max_examples=3, deadline=None)
def test_no_score_depends_on_a_later_row(name: str, seed: int, cut: int) -> None:
    values = noise(200, seed)
    other = [*values[:cut], *(value * 3 - 5 for value in values[cut:])]
    assert verdicts(values, name)[:cut] == verdicts(other, name)[:cut]


@pytest.mark.parametrize("name", scored())
def test_every_scoring_detector_stays_within_0_and_1_whatever_it_is_shown(name: str) -> None:
    values = [*noise(150), 1e300, -1e300, 0.0, 5e-324, *[7.0] * 50]
    assert all(0.0 <= verdict.score <= 1.0 for verdict in verdicts(values, name))


def test_one_row_at_a_time_is_what_the_stage_does_with_many_series() -> None:
    """The same rows in a shard of three series, in batches as they come, give the scores of three separate passes."""
    series = {slot: noise(120, seed=slot) for slot in range(3)}
    kind = registered()[DEFAULT_DETECTOR]
    detector = kind(kind.Params(), [Series(f"s{slot}", "value") for slot in range(3)])
    detector.grow(3)
    detector.changed(range(3))
    rows = [(i, slot) for i in range(120) for slot in range(3)]
    slot = np.array([slot for _, slot in rows], dtype=np.int32)
    ts = np.array([START + i * MINUTE for i, _ in rows])
    zero = np.zeros(len(rows), dtype=np.int32)
    value = np.array([series[slot][i] for i, slot in rows])
    batch = Batch("sensor", slot, ts, ts, ts, zero, zero > 0, [None] * len(rows), {"value": value})
    score = np.zeros(len(rows))
    for piece in rounds(slot):
        told = detector.measure(batch.take(piece)).score
        assert told is not None
        score[piece] = np.nan_to_num(told)
    for one in range(3):
        assert score[slot == one].tolist() == [verdict.score for verdict in verdicts(series[one])]


def test_rows_known_to_be_good_are_learned_and_not_judged() -> None:
    wild = [*noise(100), *[30.0 + value for value in noise(100, 2)]]
    judged, taught = verdicts([*wild, 40.0]), verdicts([*wild, 40.0], good=200)
    assert any(verdict.flag for verdict in judged)
    assert all(verdict == Verdict() for verdict in taught[:200]) and taught[-1].score < judged[-1].score


def test_an_older_row_is_judged_at_the_newest_time_and_counted() -> None:
    scorer = DetectorScorer(["v"])
    for i, value in enumerate(noise(200)):
        scorer.step(START + (i - 30 if i % 50 == 49 else i) * MINUTE, [value])
    assert scorer.disordered == 4


def test_a_clock_that_was_set_back_for_good_goes_on_in_whole_weeks() -> None:
    onward = OnwardTime()
    onward.shown(START + 400 * DAY)
    shown = [onward.shown(START + i * MINUTE) for i in range(60)]
    assert shown == sorted(shown)
    steps = [b - a for a, b in pairwise(shown[30:])]
    assert set(steps) == {MINUTE} and (shown[-1] - (START + 59 * MINUTE)) % (7 * DAY) == 0


def test_a_detector_that_gives_no_score_is_named_with_those_that_do() -> None:
    with pytest.raises(Mend, match=r"stuck measures and gives no score.*robust_z"):
        DetectorScorer(["v"], "stuck")


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("robst_z", {}, "did you mean 'robust_z'"),
        ("geofence", {}, "does not judge single series"),
        ("robust_z", {"warmap": 3}, "did you mean 'warmup'"),
        ("robust_z", {"warmup": 1}, "warmup"),
        ("river_model", {"model": "anomaly.Nothing"}, "names no river model"),
    ],
)
def test_a_wrong_detector_or_setting_is_one_sentence_with_the_mend(name: str, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Mend, match=sentence):
        DetectorScorer(["v"], name, params)


def test_several_columns_are_judged_together_by_a_detector_of_groups() -> None:
    scorer = DetectorScorer(["a", "b"], "river_model", {"model": "hotelling_t2", "freeze": 3.0})
    rng = random.Random(3)
    told = []
    for i in range(300):
        base = rng.gauss(0, 1)
        told.append(scorer.step(START + i * 1000, [base + rng.gauss(0, 0.05), 2 * base + rng.gauss(0, 0.05)]))
    odd = scorer.step(START + 300_000, [2.0, -4.0])
    assert odd.score > np.median([verdict.score for verdict in told])


def test_a_missing_member_is_no_reading_of_it() -> None:
    scorer = DetectorScorer(["a", "b"], "river_model", {"model": "hotelling_t2"})
    assert scorer.step(START, [1.0, math.nan]) == Verdict()


@pytest.mark.parametrize("name", scored())
@given(seed=st.integers(0, 2**32 - 1), weeks=st.integers(-200, 200))
@settings(max_examples=3, deadline=None)
def test_a_shift_of_all_times_by_whole_weeks_changes_no_score(name: str, seed: int, weeks: int) -> None:
    here, there = DetectorScorer(["v"], name), DetectorScorer(["v"], name)
    for i, value in enumerate([*noise(300, seed), 40.0]):
        ts = START + i * 10 * MINUTE
        assert here.step(ts, [value]) == there.step(ts + weeks * 7 * DAY, [value])


#: Per cent of a background are no affine quantity.
@pytest.mark.parametrize("name", sorted(set(scored()) - {"excess"}))
@given(seed=st.integers(0, 2**32 - 1), power=st.integers(-6, 12), shift=st.integers(-1000, 1000))
@settings(max_examples=3, deadline=None)
def test_an_affine_change_of_a_series_leaves_its_scores_as_they_are(name: str, seed: int, power: int, shift: int) -> None:
    values = [*noise(300, seed), 40.0, *noise(30, seed + 1)]
    plain = [verdict.score for verdict in verdicts(values, name)]
    moved = [verdict.score for verdict in verdicts([value * 2.0**power + shift for value in values], name)]
    assert moved == pytest.approx(plain, rel=1e-3, abs=1e-6)


def test_the_default_group_detector_names_who_carries_a_deviation() -> None:
    scorer = scorer_of(["a", "b", "c"])
    rng = random.Random(6)
    told = []
    for i in range(600):
        load = rng.gauss(0, 1)
        off = 8.0 if i >= 550 else 0.0
        row = [10 + load + rng.gauss(0, 0.1), 20 - 2 * load + rng.gauss(0, 0.1) + off, 5 + rng.gauss(0, 0.1)]
        told.append(scorer.step(START + i * 1000, row, known_good=i < 300))
    assert not any(verdict.flag or verdict.score for verdict in told[:300])
    flagged = [verdict for verdict in told[550:] if verdict.flag]
    assert len(flagged) > 30 and all("b" in verdict.carriers for verdict in flagged)
    assert not any(verdict.flag for verdict in told[300:550])

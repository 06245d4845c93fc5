from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.group_deviation import GroupDeviation, GroupDeviationParams, GroupVerdict
from tests.contracts.rows import through_bytes
from tests.detectors.one_series import OneSeries

NAMES = ["flow", "pressure", "current"]
quick = settings(max_examples=8, deadline=None)


def pump(rows: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """Flow and pressure that rise and fall together, and a current of its own."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(0, 1, rows)
    flow, pressure = 10 + 5 * load + rng.normal(0, 0.05, rows), 0.2 + 0.1 * load + rng.normal(0, 0.001, rows)
    return np.column_stack([flow, pressure, rng.normal(3, 0.2, rows)])


def verdicts(vectors: Any, known_good: int = 300, group: GroupDeviation | None = None, start: int = 0) -> list[GroupVerdict]:
    group = group or GroupDeviation(NAMES)
    return [group.step((start + i) * 1000, v, known_good=start + i < known_good) for i, v in enumerate(np.asarray(vectors))]


def shifted(rows: int, at: int, column: int, by: float, until: int | None = None, seed: int = 1) -> np.ndarray[Any, Any]:
    vectors = pump(rows, seed)
    vectors[at:until, column] += by
    return vectors


def test_an_ordinary_group_is_silent_for_thousands_of_rounds() -> None:
    assert not any(v.flag for v in verdicts(pump(4000)))


def test_one_member_that_leaves_opens_an_episode_and_is_named() -> None:
    said = verdicts(shifted(400, 350, 2, 1.0))
    assert not any(v.flag for v in said[:350])
    assert said[370].flag
    assert said[370].carriers == ["current"]


def test_a_combination_that_never_was_is_seen_though_each_value_is_usual() -> None:
    """Pressure that no longer follows the flow: both stay within what they always were."""
    vectors = pump(500)
    vectors[400:, 1] = 0.5 - vectors[400:, 1]
    said = verdicts(vectors)
    assert vectors[400:, 1].max() < 0.31 and vectors[400:, 1].min() > 0.19
    assert not any(v.flag for v in said[:400])
    assert any(v.flag for v in said[400:440])


def test_a_drift_that_was_always_there_raises_nothing() -> None:
    vectors = pump(1500)
    vectors[:, 2] = 20 + np.cumsum(np.random.default_rng(2).normal(0, 0.05, 1500))
    assert not any(v.flag for v in verdicts(vectors))


def test_the_flag_and_the_score_agree_at_one_half() -> None:
    for verdict in verdicts(shifted(700, 350, 0, 8.0, until=450)):
        assert verdict.flag == (verdict.score >= 0.5) == (verdict.deviation >= 1)
        assert 0 <= verdict.score <= 1


def test_one_or_two_wild_rounds_are_no_episode_but_more_are() -> None:
    for wild, seen in ((1, False), (2, False), (4, True)):
        assert any(v.flag for v in verdicts(shifted(450, 400, 2, 1e6, until=400 + wild))) == seen


def test_an_episode_ends_when_the_member_is_back_and_names_its_beginning() -> None:
    said = verdicts(shifted(700, 350, 0, 8.0, until=450))
    inside = [i for i, v in enumerate(said) if v.flag]
    assert 350 <= inside[0] < 356
    assert 450 <= inside[-1] < 470
    assert {said[i].since for i in inside} == {inside[0] * 1000}


def test_a_rest_that_stays_is_adopted_when_the_large_deviation_is_gone() -> None:
    """A leak is mended and the pump runs a little faster than before: no alarm for ever."""
    vectors = shifted(900, 350, 0, 60.0, until=450)
    vectors[450:, 0] += 5.0
    said = verdicts(vectors)
    assert said[440].flag
    assert not any(v.flag for v in said[480:])


def test_a_regime_that_is_here_to_stay_is_adopted_on_purpose() -> None:
    group = GroupDeviation(NAMES, GroupDeviationParams(adopt_after=100))
    said = verdicts(shifted(900, 350, 0, 8.0), group=group)
    assert all(v.flag for v in said[360:440])
    assert not any(v.flag for v in said[470:])
    assert group.means.state["level"][0] > 18


def test_nothing_is_learned_while_an_episode_is_open() -> None:
    group = GroupDeviation(NAMES)
    verdicts(pump(350), group=group)
    wild = np.full((60, 3), 1e6)
    verdicts(wild[:4], group=group, start=350)
    held = {
        key: np.array(part)
        for key, part in group.snapshot().items()
        if key in ("rest", "together", "means_size", "means_level")
    }
    assert verdicts(wild, group=group, start=354)[-1].flag
    assert all(np.array_equal(part, group.snapshot()[key]) for key, part in held.items())


def test_a_member_that_is_missing_silences_nobody() -> None:
    vectors = shifted(500, 400, 0, 8.0)
    vectors[200:, 1] = math.nan
    said = verdicts(vectors)
    assert not any(v.flag for v in said[:400])
    assert said[420].carriers == ["flow"]


def test_an_episode_is_not_over_because_its_carrier_fell_silent() -> None:
    vectors = shifted(600, 350, 0, 8.0)
    vectors[400:500, 0] = math.nan
    vectors[500:, 0] -= 8.0
    said = verdicts(vectors)
    assert all(v.flag for v in said[360:500])
    assert not any(v.flag for v in said[520:])


def test_a_member_that_joins_starts_nothing_over_and_is_judged_later() -> None:
    group = GroupDeviation(NAMES)
    verdicts(pump(350), group=group)
    group.join("vibration")
    vibration = np.random.default_rng(4).normal(1, 0.1, 300)
    vibration[20] = 3.0
    vibration[200:] += 1.0
    said = verdicts(np.column_stack([shifted(300, 40, 0, 8.0, until=60, seed=3), vibration]), group=group, start=350)
    assert not any(v.flag for v in said[:40])
    assert said[55].carriers == ["flow"]
    assert said[220].carriers == ["vibration"]


def test_a_group_of_constants_is_never_unusual_and_a_first_move_is_learned() -> None:
    vectors = np.ones((600, 3))
    vectors[400:, 1] = 2.0
    assert not any(v.flag for v in verdicts(vectors))


def test_a_change_is_told_once_and_then_there_is_silence() -> None:
    params = msgspec.convert({"change": {"settled": False, "again": 0, "inside": 4.5, "threshold": 4.5}}, GroupDeviationParams)
    said = verdicts(shifted(700, 400, 2, 1.5), group=GroupDeviation(NAMES, params))
    assert [i for i, v in enumerate(said) if v.change] == [next(i for i, v in enumerate(said) if v.change)]
    assert 400 <= next(i for i, v in enumerate(said) if v.change) < 412


def test_release_must_lie_below_the_threshold() -> None:
    with pytest.raises(msgspec.ValidationError, match="release must be below threshold"):
        msgspec.convert({"threshold": 3.0, "release": 3.0}, GroupDeviationParams)


@given(seed=st.integers(0, 10**6), at=st.integers(0, 500))
@quick
def test_a_snapshot_through_bytes_goes_on_to_the_last_digit(seed: int, at: int) -> None:
    vectors = shifted(500, 380, seed % 3, 2.0, until=430, seed=seed)
    straight = verdicts(vectors)
    group, other = GroupDeviation(NAMES), GroupDeviation([])
    verdicts(vectors[:at], group=group)
    other.restore(through_bytes(group.snapshot()))
    assert straight[at:] == verdicts(vectors[at:], group=other, start=at)


@given(seed=st.integers(0, 10**6), order=st.permutations([0, 1, 2]))
@quick
def test_the_order_of_the_members_means_nothing(seed: int, order: list[int]) -> None:
    vectors = shifted(450, 380, seed % 3, 2.0, seed=seed)
    here = verdicts(vectors)
    there = verdicts(vectors[:, order], group=GroupDeviation([NAMES[i] for i in order]))
    assert [v.score for v in here] == pytest.approx([v.score for v in there], rel=1e-6)
    assert [(v.flag, sorted(v.carriers), v.change) for v in here] == [(v.flag, sorted(v.carriers), v.change) for v in there]


@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-3, 0.1, 7.0, 1e4]),
    by=st.sampled_from([-1e4, 0.0, 273.15]),
)
@quick
def test_other_units_change_no_score(seed: int, scale: float, by: float) -> None:
    vectors = shifted(450, 380, seed % 3, 2.0, seed=seed)
    here, there = verdicts(vectors), verdicts(vectors * [scale, 1, -scale] + [by, 0, by])
    assert [v.score for v in here] == pytest.approx([v.score for v in there], rel=1e-5, abs=1e-9)
    assert [v.change for v in here] == [v.change for v in there]


@given(seed=st.integers(0, 10**6), weeks=st.integers(1, 500))
@quick
def test_neither_the_calendar_nor_a_later_row_changes_a_score(seed: int, weeks: int) -> None:
    vectors = shifted(450, 380, seed % 3, 2.0, seed=seed)
    here = verdicts(vectors)
    assert here[:400] == verdicts(vectors[:400])
    moved, week = GroupDeviation(NAMES), 7 * 86_400_000
    there = [moved.step(weeks * week + i * 1000, v, known_good=i < 300) for i, v in enumerate(vectors)]
    assert [(v.score, v.flag, v.change) for v in here] == [(v.score, v.flag, v.change) for v in there]


def run(detector: OneSeries, vectors: Any, start: int = 0) -> list[float]:
    """Each vector as one row per member, a second apart; the measure of the row that completes it."""
    out = []
    for i, vector in enumerate(vectors):
        for k, value in enumerate(vector):
            told = detector.row(float(value), 10.0 * (start + i) + k, member=NAMES[k])
        out.append(float(told.measure[0]))
    return out


def test_as_a_detector_it_measures_once_a_round_and_explains_who_carries_it() -> None:
    detector = OneSeries("group_deviation")
    measures = run(detector, pump(300))
    assert math.isnan(detector.row(12.0, 3000.0, member="flow").measure[0])
    assert max(m for m in measures if m == m) < 1
    run(detector, shifted(20, 0, 2, 1.0, seed=5), start=301)
    detector.row(12.0, 5000.0, member="flow")
    detector.row(0.25, 5001.0, member="pressure")
    told = detector.row(4.0, 5002.0, member="current")
    assert told.measure[0] >= 1 and told.score is not None and told.score[0] >= 0.5
    assert told.explain is not None
    assert told.explain(0).startswith("unusual together for ") and " s: current:m 3.9" in told.explain(0)


def test_a_group_says_nothing_while_it_is_new() -> None:
    measures = run(OneSeries("group_deviation", warmup=100), pump(120))
    assert all(m != m for m in measures[:100])


def test_members_that_take_turns_in_silence_leave_no_pair_that_cannot_be() -> None:
    """A with B, then A against C, then B with C: no three series can do all of it, so the pairs must be reconciled."""
    rng = np.random.default_rng(3)
    group = GroupDeviation(["a", "b", "c"])
    with np.errstate(all="raise"):
        for i in range(3_000):
            x = rng.normal()
            values = np.array([x, x, -x]) + 0.05 * rng.normal(size=3)
            silent = i // 40 % 3
            values[1:] *= -1.0 if silent == 0 else 1.0
            values[silent] = np.nan
            if silent == 0:
                values[2] = values[1]
            verdict = group.step(i * 1000, values)
            assert math.isfinite(verdict.deviation)
    assert np.all(np.diagonal(group.inverse) > 0)

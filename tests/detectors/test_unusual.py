"""What must hold of the default anomaly detector; the laws of every detector are in tests/contracts."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.unusual import Unusual, UnusualParams
from streams.batch import Batch
from tests.detectors.lockstep import Lockstep, Values
from tests.detectors.one_series import START, OneSeries

#: Seconds between readings of most tests: 48 readings a day.
STEP = 1800.0
DAY = 48
DAYS = 20


def demand(days: int = DAYS, seed: int = 7, step_s: float = STEP) -> Values:
    """A rhythm of the day with autoregressive noise of one unit, as water or heat have it."""
    count = round(days * 86_400 / step_s)
    shocks = np.random.default_rng(seed).standard_normal(count)
    residual, wander = np.empty(count), 0.0
    for i, shock in enumerate(shocks):
        wander = 0.6 * wander + 0.8 * shock
        residual[i] = wander
    return np.asarray(50.0 + 20.0 * np.sin(2 * np.pi * np.arange(count) * step_s / 86_400) + residual)


def times(values: Values, step_s: float = STEP) -> Values:
    return np.arange(len(values)) * step_s


def judged(values: Values, step_s: float = STEP) -> Lockstep:
    return Lockstep("unusual", [values], times(values, step_s))


def told(values: Values, step_s: float = STEP) -> list[int]:
    """Rows that raise the alarm."""
    return judged(values, step_s).told()


# --- what it finds --------------------


def test_quiet_sensors_raise_at_most_one_alarm_in_a_hundred_days() -> None:
    """Eight sensors with a rhythm, twenty-five days of five-minute readings each."""
    series = [demand(25, seed, 300.0) for seed in range(8)]
    shown = Lockstep("unusual", series, times(series[0], 300.0))
    assert sum(len(shown.told(i)) for i in range(8)) <= 2


def test_a_spike_is_told_in_its_own_row() -> None:
    values = demand()
    values[700] += 30
    assert told(values) == [700]


def test_a_value_that_is_ordinary_at_another_hour_is_told() -> None:
    values = demand()
    trough, peak = 18 * DAY + 36, 18 * DAY + 12
    values[trough] = values[peak]
    assert told(values) == [trough]


def test_a_morning_that_does_not_come_is_told_once_and_soon() -> None:
    values = demand()
    start = 16 * DAY
    values[start : start + 24] = 50.0
    rows = told(values)
    assert len(rows) == 1
    assert start < rows[0] < start + 12


def test_a_shift_too_small_for_any_single_reading_is_found_by_the_means() -> None:
    values = demand()
    values[17 * DAY :] += 3.0
    rows = told(values)
    assert rows
    assert 17 * DAY < rows[0] < 18 * DAY


# --- one alarm per episode, and what is learned --------------------


def test_an_episode_is_told_in_one_row_while_its_measure_stays_up() -> None:
    values = demand()
    values[700:730] += 25
    shown = judged(values)
    assert shown.told() == [700]
    assert shown.measures[700:730].min() >= 1
    assert shown.measures[900:].max() < 1


def test_only_the_told_row_scores_a_half() -> None:
    values = demand()
    values[700:730] += 25
    scores = judged(values).scores[:, 0]
    assert scores[700] >= 0.5
    assert np.nanmax(np.delete(scores, 700)) <= 0.45


def test_what_gets_much_worse_is_told_again() -> None:
    values = demand()
    values[700:760] += 9
    values[740] += 4000
    rows = told(values)
    assert rows[0] in range(700, 712)
    assert rows[1:] == [740]


def test_wild_rows_do_not_move_what_is_expected() -> None:
    """Beyond the freeze nothing is learned: bins and scales after four wild rows are those of the moment before."""
    series, values = OneSeries("unusual"), demand(12)
    for i, value in enumerate(values):
        series.row(float(value), i * STEP)
    state = series.detector.state
    before = {name: state[name].copy() for name in ("usual", "usual_rows", "scale")}
    for i in range(4):
        series.row(1e6, (len(values) + i) * STEP)
    assert {name for name, was in before.items() if not np.array_equal(state[name], was)} == set()


def test_a_new_regime_is_told_and_then_taken_for_normal() -> None:
    values = demand(30)
    change = 15 * DAY
    values[change:] += 60
    shown = judged(values)
    assert shown.told() == [change]
    assert shown.measures[change + 350 :].max() < 1


def test_a_spike_on_top_of_a_new_regime_is_told() -> None:
    values = demand(30)
    values[15 * DAY :] += 60
    values[27 * DAY] += 60
    assert told(values) == [15 * DAY, 27 * DAY]


def test_noise_that_has_grown_for_good_is_adopted() -> None:
    values = demand(30)
    values[12 * DAY :] += 30 * np.random.default_rng(4).standard_normal(18 * DAY)
    rows = told(values)
    assert rows
    assert rows[-1] < 20 * DAY


def test_rows_known_to_be_good_are_learned_and_never_told() -> None:
    plain, taught = OneSeries("unusual"), OneSeries("unusual")
    values = demand(12)
    values[400:450] += 60
    for i, value in enumerate(values):
        plain.row(float(value), i * STEP)
        _teach(taught, float(value), i * STEP)
    at_s = len(values) * STEP
    measures = [float(series.row(110.0, at_s).measure[0]) for series in (taught, plain)]
    assert measures[0] < measures[1]


def _teach(series: OneSeries, value: float, at_s: float) -> None:
    one, ts = np.zeros(1, dtype=np.int32), np.array([START + round(at_s * 1000)])
    assert isinstance(series.detector, Unusual)
    series.detector.teach(Batch("sensor", one, ts, ts, ts * 0, one, one > 0, [None], {"value": np.array([value])}))


# --- kinds of series --------------------


def test_a_constant_says_nothing() -> None:
    series = [np.full(300, value) for value in (0.0, 7.0, -1e9)]
    assert np.nanmax(Lockstep("unusual", series, times(series[0])).scores) == 0


def test_one_quantum_of_a_coarse_signal_is_not_unusual() -> None:
    assert told(12.0 + (np.arange(2000) % 37 == 0), 300.0) == []


def test_a_meter_is_judged_by_its_rate() -> None:
    """A water meter is demand summed up; a burst pipe doubles the rate, the reading itself only ever rises."""
    flow = demand()
    flow[16 * DAY :] += 60
    shown = judged(np.cumsum(flow))
    assert shown.told() == [16 * DAY]
    assert shown.expected[700, 0] == pytest.approx(np.cumsum(flow)[700], rel=0.01)


def test_a_meter_that_begins_anew_is_no_trouble() -> None:
    meter = np.cumsum(demand())
    meter[16 * DAY :] -= meter[16 * DAY]
    assert told(meter) == []


@pytest.mark.parametrize("step_s", [300.0, 600.0, 1800.0])
@pytest.mark.parametrize("at", [60, 150, 260])
def test_a_meter_that_is_not_yet_known_as_one_is_no_trouble_either(step_s: float, at: int) -> None:
    """Its value is a record in every reading, and falls once when it is set back."""
    meter = np.cumsum(demand(step_s=step_s))
    meter[at:] -= 0.02 * meter[at]
    assert told(meter, step_s) == []


def test_what_only_looked_like_a_meter_is_judged_by_its_value() -> None:
    """A tank that is filled at first and then lives."""
    level = np.concatenate([np.linspace(10.0, 40.0, 60), demand()])
    level[15 * DAY] += 40
    assert told(level) == [15 * DAY]


def test_a_spiky_series_is_judged_by_its_own_tail() -> None:
    """Log-normal counts spike all day: a spike of them is nothing, one far beyond them is told."""
    values = np.exp(1.5 * np.random.default_rng(2).standard_normal(3000))
    values[2500] = 100 * values.max()
    rows = told(values)
    assert 2500 in rows
    assert len(rows) <= 9


@pytest.mark.parametrize("step_s", [0.1, 1.0, 60.0, 3600.0])
def test_noise_is_quiet_and_a_jump_is_told_at_any_pace(step_s: float) -> None:
    values = np.random.default_rng(6).normal(0.0, 1.0, 1500)
    values[1200:1220] += 40
    assert told(values, step_s) == [1200]


def test_a_reading_a_day_is_enough() -> None:
    values = np.random.default_rng(3).normal(0.0, 1.0, 800)
    values[600] += 40
    rows = told(values, 86_400.0)
    assert 600 in rows
    assert len(rows) <= 3


def test_gaps_repeated_times_and_irregular_steps_are_survived() -> None:
    rng = np.random.default_rng(8)
    steps = rng.choice([0.0, 60.0, 900.0, 3000.0], 2000)
    steps[1000] = 40 * 86_400.0
    at = np.cumsum(steps)
    values = 10 + np.sin(2 * np.pi * at / 86_400) + 0.1 * rng.standard_normal(2000)
    values[1700] += 10
    assert Lockstep("unusual", [values], at).told() == [1700]


def test_times_that_run_backwards_are_survived() -> None:
    values = demand()
    at = times(values)
    at[500:510] = at[500:510][::-1].copy()
    values[700] += 30
    assert 700 in Lockstep("unusual", [values], at).told()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_what_is_no_quantity_is_passed_over(value: float) -> None:
    series, other = OneSeries("unusual"), OneSeries("unusual")
    for i, one in enumerate(demand(6)):
        if i == 200:
            assert np.isnan(series.row(value, i * STEP - 1).measure[0])
        measures = [s.row(float(one), i * STEP).measure for s in (series, other)]
        assert np.array_equal(*measures, equal_nan=True)


# --- invariances --------------------


def disturbed(seed: int) -> Values:
    rng = np.random.default_rng(seed)
    values = demand(seed=seed)
    values[rng.integers(500, 900, 5)] += rng.normal(0, 25, 5)
    return values


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_affine_change_leaves_scores_unchanged(seed: int) -> None:
    values = disturbed(seed)
    changed = [factor * values + offset for factor, offset in ((1e-3, 0.0), (0.5, 40.0), (7.0, -1e3), (1e4, 1e9), (-1.0, 0.0))]
    scores = Lockstep("unusual", [values, *changed], times(values)).scores
    assert np.nanmax(np.abs(scores - scores[:, :1])) < 2e-3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_shift_by_whole_weeks_changes_nothing(seed: int) -> None:
    values = disturbed(seed)
    at = [times(values) + weeks * 7 * 86_400 for weeks in (0, -2, 1, 52)]
    scores = Lockstep("unusual", [values] * 4, at).scores
    assert np.array_equal(scores, np.repeat(scores[:, :1], 4, axis=1), equal_nan=True)


@pytest.mark.parametrize("cut", [150, 480, 777])
def test_no_score_depends_on_a_later_row(cut: int) -> None:
    values = disturbed(4)
    other = np.concatenate([values[:cut], np.random.default_rng(cut).normal(0, 1e3, len(values) - cut)])
    scores = Lockstep("unusual", [values, other], times(values)).scores
    assert np.array_equal(scores[:cut, 0], scores[:cut, 1], equal_nan=True)


def test_the_company_of_a_series_changes_nothing() -> None:
    many = [disturbed(seed) for seed in range(6)]
    together = Lockstep("unusual", many, times(many[0])).scores
    assert np.array_equal(together[:, 3], judged(many[3]).scores[:, 0], equal_nan=True)


def test_what_is_expected_of_a_row_does_not_depend_on_it() -> None:
    values = disturbed(5)
    other = values.copy()
    other[-1] += 1000
    expected = Lockstep("unusual", [values, other], times(values)).expected
    assert expected[-1, 0] == expected[-1, 1]


# --- how it is said --------------------


def test_the_sentence_says_expected_observed_rank_channel_and_since() -> None:
    values = demand()
    values[700] += 60
    row = judged(values).rows[700]
    assert row.explain is not None
    text = row.explain(0)
    assert text.startswith(f"{values[700]:g} where about ")
    assert " was expected, beyond anything seen: by its ten minutes one in " in text
    assert text.endswith(" of its own readings is as far off; unusual since 2023-11-29T12:13:20Z")


def test_warm_up_rows_say_nothing() -> None:
    # It falls at once: what only rises might be a meter, and nothing is said of it until that is decided.
    values = np.concatenate([[60.0], demand(5)])
    scores = Lockstep("unusual", [values], times(values), warmup=120).scores
    assert np.isnan(scores[:120]).all()
    assert not np.isnan(scores[120:]).any()


def test_a_slot_weighs_less_than_two_thousand_bytes() -> None:
    assert Unusual(UnusualParams(), []).state.bytes_per_slot < 2000

"""Every model that river offers can be named in a rule, and none of their traps is one here."""

from __future__ import annotations

import inspect
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from river import anomaly, drift, time_series

from detectors.base import registered
from detectors.river_fit import Fit
from detectors.river_names import fresh, kind_of, supported
from tests.contracts.rows import through_bytes
from tests.detectors.one_series import OneSeries

#: Settings that river demands; a model with others fails here and wants a line.
DEMANDED: dict[str, dict[str, Any]] = {
    "anomaly.QuantileFilter": {"q": 0.98},
    "anomaly.ThresholdFilter": {"threshold": 0.98},
    "time_series.HoltWinters": {"alpha": 0.3, "beta": 0.05},
    "time_series.SNARIMAX": {"p": 2, "d": 1, "q": 1},
}
#: River's stand-ins for tests: one never tells a change, the other at fixed times.
MUTE = {"drift.NoDrift", "drift.DummyDriftDetector"}
NAMES = sorted(supported())
MODULES = {"anomaly": anomaly, "drift": drift, "drift.binary": drift.binary, "time_series": time_series}


def noise(count: int, seed: int = 1, level: float = 20.0) -> list[float]:
    return (level + np.random.default_rng(seed).normal(0, 1, count)).round(3).tolist()


def series(name: str, **params: Any) -> OneSeries:
    return OneSeries("river_model", model=name, settings=DEMANDED.get(name, {}), **params)


def measures(detector: OneSeries, values: list[float], start: int = 0) -> list[float]:
    return detector.measures((60.0 * (start + i), value) for i, value in enumerate(values))


def test_the_names_are_what_river_exports() -> None:
    offered = {
        f"{prefix}.{name}"
        for prefix, module in MODULES.items()
        for name, model in vars(module).items()
        if inspect.isclass(model) and not inspect.isabstract(model)
    }
    left = offered - set(NAMES)
    # A classifier, and the two metrics of forecasts.
    assert left == {"drift.DriftRetrainingClassifier", "time_series.HorizonAggMetric", "time_series.HorizonMetric"}
    assert set(NAMES) <= offered and len(NAMES) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_accepted_by_the_rule_check_with_what_river_demands(name: str) -> None:
    kind = registered()["river_model"].Params
    assert msgspec.convert({"model": name, "settings": DEMANDED.get(name, {})}, kind).model == name


@pytest.mark.parametrize("name", NAMES)
def test_every_model_says_nothing_in_the_warm_up_and_a_number_after_it(name: str) -> None:
    told = measures(series(name, warmup=32, retain=64), noise(150))
    assert all(math.isnan(value) for value in told[:32]) and all(math.isfinite(value) for value in told[32:])


@pytest.mark.parametrize("name", NAMES)
def test_every_model_scores_a_constant_series_0(name: str) -> None:
    told = measures(series(name, warmup=32, retain=64), [7.0] * 300)
    assert set(told[32:]) == {0.0}


@pytest.mark.parametrize("name", NAMES)
def test_every_model_survives_whatever_it_is_shown(name: str) -> None:
    detector = series(name, warmup=16, retain=32)
    wild = [1e308, -1e308, 0.0, 5e-324, math.inf, math.nan, *[0.0] * 20, *noise(30, 2), 1e300, *noise(60, 3)]
    told = measures(detector, [*noise(40), *wild])
    assert all(value >= 0 or value != value or kind_of(detector.detector.params.model) == "vector" for value in told)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_goes_on_from_a_snapshot_of_numbers_as_if_nothing_had_been(name: str) -> None:
    straight, broken = (series(name, warmup=16, retain=48) for _ in range(2))
    values = [*noise(130), 60.0, *noise(40, 2), *noise(60, 3, level=30.0)]
    expected = measures(straight, values)
    before = measures(broken, values[:140])
    other = series(name, warmup=16, retain=48)
    other.detector.restore(through_bytes(broken.detector.snapshot()))
    after = measures(other, values[140:], start=140)
    assert np.array_equal(expected, [*before, *after], equal_nan=True)


@pytest.mark.parametrize("name", [name for name in NAMES if supported()[name] in ("change", "flag") and name not in MUTE])
def test_every_drift_detector_tells_a_change(name: str) -> None:
    detector = series(name, warmup=64, retain=512)
    flags = supported()[name] == "flag"
    rng = np.random.default_rng(3)
    quiet = (rng.random(300) < 0.05).astype(float).tolist() if flags else noise(300)
    changed = (rng.random(200) < 0.8).astype(float).tolist() if flags else noise(200, 4, level=40.0)
    told = measures(detector, [*quiet, *changed])
    assert max(told[300:]) == 1.0


@pytest.mark.parametrize("name", [name for name in NAMES if supported()[name] in ("value", "forecast")])
def test_every_judge_of_values_scores_a_wild_one_above_the_usual_ones(name: str) -> None:
    told = measures(series(name, warmup=64, retain=256), [*noise(300), 60.0])
    assert told[-1] >= np.nanquantile(told[:-1], 0.99)


def test_a_gaussian_over_a_window_that_came_to_rest_scores_0_and_not_1() -> None:
    detector = OneSeries(
        "river_model", model="anomaly.GaussianScorer", settings={"window_size": 20, "grace_period": 10}, warmup=32, retain=128
    )
    assert set(measures(detector, [*noise(64), *[20.0] * 60])[-30:]) == {0.0}


def test_half_space_trees_see_features_within_0_and_1_however_large_they_are() -> None:
    small, large = (series("anomaly.HalfSpaceTrees", warmup=64, retain=128) for _ in range(2))
    values = noise(300)
    told = measures(small, values)
    assert measures(large, [1e6 + 1024 * value for value in values]) == pytest.approx(told, nan_ok=True)
    assert np.nanmin(told[128:]) > 0.0 and np.nanmax(told) < 1.0


def test_a_forecaster_keeps_step_with_the_season_through_rows_it_does_not_learn() -> None:
    settings = {"alpha": 0.2, "beta": 0.01, "gamma": 0.1, "seasonality": 24}
    detector = OneSeries("river_model", model="time_series.HoltWinters", settings=settings, warmup=96, retain=480)
    turn = [50 + 10 * math.sin(2 * math.pi * i / 24) + 0.3 * ((i * 7) % 5 - 2) for i in range(700)]
    disturbed = [value + (500.0 if 400 <= i < 407 else 0.0) for i, value in enumerate(turn)]
    told = measures(detector, disturbed)
    assert min(told[400:407]) > 8 and max(told[410:]) < 8


def test_a_drift_detectors_threshold_means_the_same_on_every_scale() -> None:
    values = [*noise(200), *noise(100, 2, level=26.0)]
    plain, large = (series("drift.PageHinkley", warmup=64, retain=512) for _ in range(2))
    told = measures(plain, values)
    assert np.array_equal(told, measures(large, [5000.0 + 256.0 * value for value in values]), equal_nan=True)
    assert 1.0 in told


def test_a_model_inside_a_model_is_named_with_its_own_settings() -> None:
    made = fresh(
        "time_series.SNARIMAX",
        {
            "p": 1,
            "d": 0,
            "q": 0,
            "regressor": {"use": "linear_model.LinearRegression", "optimizer": {"use": "optim.SGD", "lr": 0.5}},
        },
        64,
    )
    assert made.regressor.optimizer.learning_rate == 0.5


def test_a_filter_is_spoken_to_as_the_detector_inside_it() -> None:
    inside = fresh("anomaly.QuantileFilter", {"q": 0.9, "anomaly_detector": "anomaly.GaussianScorer"}, 64)
    assert kind_of("anomaly.QuantileFilter", inside) == "value"
    assert kind_of("anomaly.QuantileFilter", fresh("anomaly.QuantileFilter", {"q": 0.9}, 64)) == "vector"


def test_a_fit_of_several_members_takes_the_most_unusual_one() -> None:
    fit = Fit("anomaly.StandardAbsoluteDeviation", {}, retain=128, warmup=64)
    rng = np.random.default_rng(1)
    for _ in range(100):
        fit.learn(rng.normal([10.0, 500.0], [1.0, 50.0]))
    assert fit.score(np.array([10.0, 1000.0])) == pytest.approx(fit.score(np.array([10.5, 1000.0])))
    assert fit.score(np.array([10.0, 1000.0])) > 5

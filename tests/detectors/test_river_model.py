from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from detectors.base import registered
from detectors.river_fit import Fit
from detectors.river_names import fresh
from tests.detectors.one_series import OneSeries

SMALL = {"n_trees": 10, "height": 6}


def pump(rows: int, seed: int = 1) -> list[tuple[float, float]]:
    """Flow and pressure that rise and fall together."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(0, 1, rows)
    return [(float(10 + 5 * x + rng.normal(0, 0.05)), float(0.2 + 0.1 * x + rng.normal(0, 0.001))) for x in load]


def run(detector: OneSeries, vectors: list[tuple[float, ...]], start: int = 0) -> list[float]:
    """Each vector as one row per member, a second apart; the measure of the row that completes it."""
    out = []
    for i, vector in enumerate(vectors):
        for k, value in enumerate(vector):
            told = detector.row(value, 10.0 * (start + i) + k, member=f"pump-{k}")
        out.append(float(told.measure[0]))
    return out


def test_a_row_that_completes_no_vector_says_nothing() -> None:
    detector = OneSeries("river_model", warmup=16, retain=64, settings=SMALL)
    run(detector, [(1.0, 2.0)] * 30)
    assert math.isnan(detector.row(1.0, 1000.0, member="pump-0").measure[0])


def test_nothing_is_scored_before_the_warm_up_is_over() -> None:
    detector = OneSeries("river_model", warmup=32, retain=64, settings=SMALL)
    scores = run(detector, pump(60))
    # The first round only finds out who belongs to the group; its vectors are of another width.
    assert [s != s for s in scores[:32]] == [True] * 32
    assert all(s == s for s in scores[33:])


def test_a_constant_group_scores_zero() -> None:
    detector = OneSeries("river_model", warmup=16, retain=64, settings=SMALL)
    assert set(run(detector, [(5.0, 1.0)] * 200)[20:]) == {0.0}


def test_a_combination_that_never_was_scores_above_all_usual_ones() -> None:
    detector = OneSeries("river_model", model="local_outlier_factor", warmup=64, retain=256, freeze=5.0)
    usual = run(detector, pump(150))
    # Low flow at high pressure: each value is usual by itself.
    odd = run(detector, [(10.2, 0.3)], start=150)
    assert odd[0] > max(s for s in usual if s == s)


def test_half_space_trees_score_a_far_value_above_the_median() -> None:
    detector = OneSeries("river_model", warmup=64, retain=256)
    usual = [s for s in run(detector, pump(300)) if s == s]
    assert run(detector, [(40.0, 1.2)], start=300)[0] > float(np.median(usual))


def test_a_dead_member_does_not_silence_the_group() -> None:
    detector = OneSeries("river_model", warmup=16, retain=64, settings=SMALL, share=0.5)
    run(detector, [(v[0], v[1], 1.0) for v in pump(60)])
    alive = [detector.row(10.0, 5000.0 + i, member=f"pump-{i % 2}").measure[0] for i in range(8)]
    assert sum(m == m for m in alive) >= 3


def test_a_new_member_starts_the_group_over() -> None:
    detector = OneSeries("river_model", warmup=16, retain=64, settings=SMALL)
    run(detector, pump(60))
    assert math.isnan(run(detector, [(12.0, 0.25, 7.0)], start=60)[0])


def test_the_buffer_is_bounded() -> None:
    fit = Fit("half_space_trees", SMALL, retain=64, warmup=16)
    for vector in pump(500):
        fit.learn(np.array(vector))
    assert len(fit.base) + len(fit.since) <= 128


def test_a_fit_that_stands_on_a_saved_buffer_scores_the_same() -> None:
    fit, other = (Fit("half_space_trees", SMALL, retain=64, warmup=16) for _ in range(2))
    for vector in pump(150):
        fit.learn(np.array(vector))
    other.take(fit.base, fit.since)
    probes = [np.array(v) for v in [*pump(20, seed=9), (40.0, 1.0)]]
    assert [fit.score(p) for p in probes] == [other.score(p) for p in probes]


def test_it_names_the_members_that_lie_farthest_from_usual() -> None:
    detector = OneSeries("river_model", model="local_outlier_factor", warmup=64, retain=256)
    run(detector, pump(150))
    detector.row(12.0, 2000.0, member="pump-0")
    told = detector.row(3.0, 2001.0, member="pump-1")
    assert told.explain is not None
    assert told.explain(0).startswith("unusual together: pump-1:m 3 (usual 0.")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "os.system"}, "names no river model"),
        ({"model": "half_space_tree"}, "did you mean 'half_space_trees'"),
        ({"model": "drift.PageHinkly"}, "did you mean 'drift.PageHinkley'"),
        ({"model": "drift.DriftRetrainingClassifier"}, "names no river model"),
        ({"model": "time_series.HoltWinters"}, "needs the setting 'alpha'"),
        ({"model": "time_series.HoltWinters", "settings": {"alpha": "big"}}, "fails on a plain series"),
        (
            {"model": "time_series.HoltWinters", "settings": {"alpha": 0.3, "beta": 0.1, "gamma": 0.1, "seasonality": 288}},
            "must hold two seasons of 288",
        ),
        ({"settings": {"n_trees": "three"}}, "n_trees is 'three', it must be of type int"),
        ({"settings": {"n_trees": True}}, "n_trees is True, it must be of type int"),
        ({"model": "drift.KSWIN", "settings": {"alpha": 7}}, "does not take its settings"),
        (
            {"model": "anomaly.QuantileFilter", "settings": {"q": 0.9, "anomaly_detector": "os.system"}},
            "must name a model of river",
        ),
        ({"model": "anomaly.OneClassSVM", "settings": {"optimizer": {"use": "optim.SGD", "speed": 1}}}, "takes no 'speed'"),
        ({"settings": {"trees": 3}}, "takes no 'trees'"),
        ({"retain": 32}, "retain must not be less than warmup"),
    ],
)
def test_a_wrong_model_is_refused_with_a_sentence(params: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(params, registered()["river_model"].Params)


@pytest.mark.parametrize("name", ["half_space_trees", "local_outlier_factor", "one_class_svm", "loda"])
def test_every_short_name_makes_a_model(name: str) -> None:
    assert hasattr(fresh(name, {}, 64), "score_one")

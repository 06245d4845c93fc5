"""Peers of the default detector on single series: two anomaly models of river, HalfSpaceTrees and an EWMA z-score.

Each gets what its documentation asks for: HalfSpaceTrees features scaled to [0, 1] online, the deviation of river's
StandardAbsoluteDeviation its running median. None looks ahead. Their best threshold is found afterwards, on the very files
that are scored, which our own detector is not given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import anomaly, preprocessing

Scores = NDArray[np.float64]
_MEMORY = 0.01


def gaussian(values: Scores) -> Scores:
    model: Any = anomaly.GaussianScorer(grace_period=100)  # type: ignore[no-untyped-call]
    return _supervised(model, values)


def deviation(values: Scores) -> Scores:
    return _supervised(anomaly.StandardAbsoluteDeviation(), values)


def _supervised(model: Any, values: Scores) -> Scores:
    found = np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        score = float(model.score_one({}, value))
        found[i] = score if score == score else 0.0
        model.learn_one({}, value)
    # A Gaussian score is near 1 all day: its tail probability sorts the same and can be swept.
    return -np.log10(np.maximum(1.0 - found, 1e-17)) if isinstance(model, anomaly.GaussianScorer) else np.abs(found)


def half_space_trees(values: Scores) -> Scores:
    scale: Any = preprocessing.MinMaxScaler()
    model: Any = anomaly.HalfSpaceTrees(seed=42)
    found = np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        scale.learn_one({"value": value})
        row = scale.transform_one({"value": value})
        found[i] = model.score_one(row)
        model.learn_one(row)
    return found


def ewma_z(values: Scores) -> Scores:
    """Distance from an exponentially weighted mean in exponentially weighted standard deviations, memory 100 rows."""
    mean, variance = values[0], 0.0
    found = np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        away = value - mean
        found[i] = min(abs(away) / np.sqrt(variance), 1e6) if variance > 0 else 0.0
        mean += _MEMORY * away
        variance = (1 - _MEMORY) * (variance + _MEMORY * away * away)
    return found


PEERS: dict[str, Callable[[Scores], Scores]] = {
    "river GaussianScorer": gaussian,
    "river StandardAbsoluteDeviation": deviation,
    "river HalfSpaceTrees": half_space_trees,
    "EWMA z-score": ewma_z,
}

"""Hotelling's T², made robust: how far a vector lies from the middle of those before it, measured by their own correlations.

A model for :mod:`detectors.river_model` with river's two methods, for groups whose members move together: flow and pressure
of a pump, strain and support force. The score is the square root of T² per feature, in usual deviations: about 1 in ordinary
operation, whatever the number of features. Do not use it where the usual states are several separate ones; it knows one cloud.

Middle and spread are median and mean absolute deviation, and what is correlated is clipped at four spreads, so that the
spikes of a machine that starts do not widen what is usual. Correlations are shrunk towards none, so that a group seen for
minutes only has an inverse: Ledoit and Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*, 2004.
Hotelling, *Multivariate Quality Control*, 1947.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from streams.batch import Float64

#: Standard deviation of Gaussian noise in mean absolute deviations.
_GAUSS = 1.2533
_CLIP = 4.0
#: Beyond these, numbers have squares that are none; no quantity of a city is there.
_HUGE, _FAR = 1e100, 1e6
#: Vectors learned between two fits: a fit costs 0.2 ms, and ten vectors of hundreds move it little.
_REFIT = 10


class HotellingT2:
    """``shrink``: weight of no correlation against the observed one. ``window``: vectors looked back on.

    >>> model = HotellingT2()
    >>> for i in range(50):
    ...     model.learn_one({0: 0.5 + 0.01 * (i % 5), 1: 0.5 - 0.01 * (i % 5)})
    >>> model.score_one({0: 0.52, 1: 0.48}) < 1 < model.score_one({0: 0.55, 1: 0.55})
    True
    """

    #: Takes the quantities as they are: scaling them into a range would clip what is judged.
    raw = True

    def __init__(self, shrink: float = 0.2, window: int = 600) -> None:
        if not 0 < shrink <= 1 or window < 16:
            raise ValueError("shrink must be above 0 and at most 1, window at least 16")
        self._shrink = shrink
        self._rows: deque[list[float]] = deque(maxlen=window)
        self._learned = 0
        self._inverse: NDArray[np.float64] | None = None
        self._middle: Float64 = np.zeros(0)
        self._spread: Float64 = np.zeros(0)

    def learn_one(self, x: dict[int, float]) -> None:
        """Take a vector into the window."""
        self._rows.append(_bounded(x).tolist())
        self._learned += 1
        if self._learned % _REFIT == 0:
            self._inverse = None

    def score_one(self, x: dict[int, float]) -> float:
        """Usual deviations from the middle; 0 before ten vectors are known."""
        if self._learned < _REFIT:
            return 0.0
        if self._inverse is None:
            self._fit()
        assert self._inverse is not None
        away = np.minimum(np.maximum((_bounded(x) - self._middle) / self._spread, -_FAR), _FAR)
        squared = float(away @ self._inverse @ away)
        return math.sqrt(max(squared, 0.0) / len(away))

    def _fit(self) -> None:
        # Only whole tens: whoever learns the same vectors has the same fit, whenever it was asked for a score.
        table = np.array(self._rows)[: len(self._rows) - self._learned % _REFIT]
        self._middle = np.median(table, axis=0)
        away = table - self._middle
        # A feature that never moved has no spread; a millionth of its size makes its first move seen, not divided by 0.
        least = np.maximum(np.abs(self._middle) * 1e-6, 1e-12)
        self._spread = np.maximum(np.abs(away).mean(axis=0) * _GAUSS, least)
        away = np.minimum(np.maximum(away / self._spread, -_CLIP), _CLIP)
        correlation = away.T @ away / len(table)
        shrunk = (1 - self._shrink) * correlation + self._shrink * np.eye(table.shape[1])
        self._inverse = np.asarray(np.linalg.inv(shrunk), dtype=np.float64)


def _bounded(x: dict[int, float]) -> Float64:
    values: Float64 = np.nan_to_num(np.array(list(x.values()), dtype=np.float64))
    return np.minimum(np.maximum(values, -_HUGE), _HUGE)

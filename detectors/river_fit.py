"""One online model as a function of the vectors it keeps: the way a river model lives in checkpoints without pickle.

A river model has no portable state, and pickle from a shared store is remote code execution (D4). So the model is *defined* by
a bounded buffer: the ``base`` vectors a fresh model with a fixed seed was fitted on, and those learned ``since``. When as many
were learned since as ``retain``, these become the new base and a fresh model is fitted on them. Whoever holds the buffer can
make the same model again, exactly, by learning the same vectors in the same order. The price is that each vector is learned
twice; what it buys besides is a model that forgets what lies more than two buffers back.

How vectors are put to the model, and what becomes of its answer, depends on its kind (:mod:`detectors.river_manner`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.river_manner import MANNERS, Manner
from detectors.river_names import fresh, kind_of
from streams.batch import Float64

#: A trial of a model's settings: so many vectors of a plain series.
_TRIAL = 80


class Fit:
    """A model of one group over its buffer. ``base`` and ``since`` are lists of raw vectors of one width."""

    def __init__(self, name: str, settings: Mapping[str, Any], retain: int, warmup: int) -> None:
        self._name, self._settings, self._retain, self._warmup = name, settings, retain, warmup
        self.base: list[Float64] = []
        self.since: list[Float64] = []
        self._manner: Manner | None = None
        self.low: Float64 = np.zeros(0)
        self.high: Float64 = np.zeros(0)

    @property
    def ready(self) -> bool:
        return len(self.base) >= self._warmup

    def judge(self, vector: Float64, learn: bool | None = None, freeze: float = math.inf) -> float:
        """Score a vector, then learn it: if ``learn``, and where it is None, if the score is not beyond ``freeze``."""
        if self.ready and self._ensured().learns_first:
            score = self._finite(self.learn(vector))
            return score if (self.high > self.low).any() else 0.0
        score = self.score(vector)
        if learn or (learn is None and not score > freeze):
            self.learn(vector)
        else:
            self._pass_over(vector)
        return score

    def score(self, vector: Float64) -> float:
        """The model's score, 0 where it has none to give; NaN before the first fit. Changes nothing."""
        if not self.ready:
            return math.nan
        manner = self._ensured()
        # A group in which nothing ever moved has no scale; its first move is learned, not judged.
        if not (self.high > self.low).any():
            return 0.0
        try:
            return self._finite(manner.score(vector))
        except Exception:  # no row may raise (law 4), and models of others raise what they like
            return 0.0

    def learn(self, vector: Float64) -> float:
        """Learn a vector; what a model that learns first says of it."""
        if not self.ready:
            self.base.append(vector)
            return math.nan
        said = self._learn_one(self._ensured(), vector)
        self.since.append(vector)
        if len(self.since) >= self._retain:
            self.base, self.since = self.since, []
            self._manner = None
        return said

    def _pass_over(self, vector: Float64) -> None:
        """A vector that is not learned; models that count vectors learn what they had expected instead."""
        if not self.ready:
            return
        try:
            instead = self._ensured().stand_in(vector)
        except Exception:  # as in score
            return
        if instead is not None:
            self.learn(instead)

    def take(self, base: Sequence[Float64], since: Sequence[Float64]) -> None:
        """Stand on a saved buffer; the model is made again when it is first needed."""
        self.base, self.since, self._manner = list(base), list(since), None

    def _ensured(self) -> Manner:
        if self._manner is None:
            table = np.array(self.base)
            self.low, self.high = table.min(axis=0), table.max(axis=0)
            self._manner = manner_of(self._name, self._settings, self._retain, table)
            for vector in (*self.base, *self.since):
                self._learn_one(self._manner, vector)
        return self._manner

    @staticmethod
    def _learn_one(manner: Manner, vector: Float64) -> float:
        try:
            return manner.learn(vector)
        except Exception:  # the same vector fails the same way when the buffer is learned again
            return 0.0

    @staticmethod
    def _finite(score: float) -> float:
        return score if math.isfinite(score) else 0.0

    def farthest(self, vector: Float64, count: int = 3) -> NDArray[np.intp]:
        """The features that lie farthest from the middle of what is usual, in spans, farthest first."""
        return np.argsort(-np.abs(self._ensured().placed(vector) - 0.5), kind="stable")[:count]


def manner_of(name: str, settings: Mapping[str, Any], retain: int, table: Float64) -> Manner:
    """A fresh model of the name in the manner of its kind, for vectors like those of ``table``."""
    first = fresh(name, settings, retain)
    return MANNERS[kind_of(name, first)](lambda: fresh(name, settings, retain), table)


def try_out(name: str, settings: Mapping[str, Any], retain: int) -> None:
    """Raises ValueError where the model does not take its settings, or cannot learn and score a plain series with them."""
    turn = np.arange(_TRIAL) * 0.7
    table = np.column_stack([10 + np.sin(turn), 5 + np.cos(turn) + 0.1 * np.sin(5 * turn)])
    manner = manner_of(name, settings, retain, table)
    try:
        for vector in table:
            manner.learn(vector)
        manner.score(table[0])
    except Exception as error:
        raise ValueError(f"{name} fails on a plain series with these settings: {type(error).__name__}: {error}") from error
    needed = max((int(settings[key]) for key in ("seasonality", "m") if isinstance(settings.get(key), int)), default=0)
    if needed * 2 > retain:
        raise ValueError(f"retain is {retain}, it must hold two seasons of {needed}")

"""How a model of river is spoken to: the manners in which vectors become what it takes, and what it says becomes a score.

Five manners for river's five kinds of models, each with the traps of its kind closed:

* *vector* (HalfSpaceTrees, LODA …): all members at once, scaled into [0, 1] by the bounds of what the model was fitted on.
* *value* (GaussianScorer, StandardAbsoluteDeviation …): a model for each member, in its usual deviations; a model whose scale
  is nothing (GaussianScorer gives 1.0 there) scores 0. The score of a group is that of its most unusual member.
* *change* (ADWIN, KSWIN, PageHinkley …): a model for each member, in its usual deviations, so that a threshold in river's own
  unit means the same on every series. It learns first: the score is 1 on the vector at which it tells a change, 0.4 where it
  warns, and 0 otherwise.
* *flag* (DDM, HDDMA …): the same for values that are flags of trouble: everything but 0 is one.
* *forecast* (HoltWinters, SNARIMAX): a model for each member; the score is the distance from its forecast in usual distances.
  Seasons are counted in vectors, so one that is not learned is replaced by the forecast: the model keeps step.

A model that raises has no score (0) for that vector; whoever learns the same vectors in the same order has the same model.
"""

from __future__ import annotations

import contextlib
import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from detectors.river_names import Kind
from streams.batch import Float64

Make = Callable[[], Any]
_WARNS = 0.4
#: Deviations beyond which a value counts as this far away: squares of more leave the range of numbers.
_FAR = 1e6
#: No quantity of a city is there; a forecast's distance in usual distances is not told beyond the second.
_HUGE, _MOST = 1e100, 1e9
#: A Gaussian narrower than this (in usual deviations) is the rounding of one that came to rest.
_NO_SCALE = 1e-6
#: It watches the share of ones fall, where the others watch it rise: here a flag is trouble.
_OF_SUCCESS = ("FHDDM",)
#: Forecasts before their usual distance is known; vectors it is a mean of.
_FIRST, _MEMORY = 10, 200.0


class Manner(ABC):
    """One fitted model, or one per member. ``table``: the vectors it is fitted on, shape (vectors, members)."""

    #: The score is what the model says after it has learned the vector.
    learns_first = False

    def __init__(self, make: Make, table: Float64) -> None:
        self.low, self.high = table.min(axis=0), table.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            self._middle = np.median(table, axis=0)
            self._spread = np.nan_to_num(np.abs(table - self._middle).mean(axis=0))

    @abstractmethod
    def score(self, vector: Float64) -> float:
        """What the model says of a vector that it has not learned."""

    @abstractmethod
    def learn(self, vector: Float64) -> float:
        """Learn a vector; what the model says of it then (only where it ``learns_first``)."""

    def stand_in(self, vector: Float64) -> Float64 | None:
        """What to learn in place of a vector that must not be learned; None: nothing."""
        return None

    def placed(self, vector: Float64) -> Float64:
        """Where each member lies in the bounds of the table, widened by half their span: 0 to 1."""
        moved = self.high > self.low
        with np.errstate(over="ignore", invalid="ignore"):
            # Halves before differences: the span of two huge numbers need not be a number.
            span = np.where(moved, self.high / 2 - self.low / 2, 1.0)
            place = np.clip((vector / 2 - self.low / 2) / span * 0.5 + 0.25, 0.0, 1.0)
        return np.nan_to_num(np.where(moved, place, 0.5), nan=0.5)

    def deviations(self, vector: Float64) -> list[float]:
        """Usual deviations from the middle of the table; 0 where a member never moved."""
        moved = self._spread > 0
        with np.errstate(over="ignore", invalid="ignore"):
            away = np.divide(vector - self._middle, self._spread, out=np.zeros(len(vector)), where=moved)
        bounded: list[float] = np.nan_to_num(np.clip(away, -_FAR, _FAR)).tolist()
        return bounded


class VectorManner(Manner):
    def __init__(self, make: Make, table: Float64) -> None:
        super().__init__(make, table)
        self._model = make()
        self._raw = bool(getattr(self._model, "raw", False))

    def score(self, vector: Float64) -> float:
        return float(self._model.score_one(self._given(vector)))

    def learn(self, vector: Float64) -> float:
        self._model.learn_one(self._given(vector))
        return math.nan

    def _given(self, vector: Float64) -> dict[int, float]:
        return dict(enumerate((vector if self._raw else self.placed(vector)).tolist()))


class ValueManner(Manner):
    def __init__(self, make: Make, table: Float64) -> None:
        super().__init__(make, table)
        self._models = [make() for _ in range(table.shape[1])]

    def score(self, vector: Float64) -> float:
        values = self.deviations(vector)
        return max(_unchanged(model, value) for model, value in zip(self._models, values, strict=True))

    def learn(self, vector: Float64) -> float:
        for model, value in zip(self._models, self.deviations(vector), strict=True):
            if _learns_by_scoring(model):
                # The forecaster inside cannot say anything before it has learned; then nothing is to be followed either.
                with contextlib.suppress(Exception):
                    model.score_one({}, value)
            model.learn_one({}, value)
        return math.nan


def _learns_by_scoring(model: Any) -> bool:
    """PredictiveAnomalyDetection follows its usual error in ``score_one``."""
    return hasattr(model, "dynamic_mae")


def _unchanged(model: Any, value: float) -> float:
    """The model's score of a value, which changes nothing."""
    inner = getattr(model, "anomaly_detector", model)
    gaussian = getattr(inner, "gaussian", None)
    if gaussian is not None and not gaussian.sigma > _NO_SCALE:
        return 0.0
    if not _learns_by_scoring(model):
        return float(model.score_one({}, value))
    kept = copy.deepcopy((model.dynamic_mae, model.dynamic_se_variance))
    try:
        return float(model.score_one({}, value))
    finally:
        model.dynamic_mae, model.dynamic_se_variance = kept


class ChangeManner(Manner):
    learns_first = True
    flags = False

    def __init__(self, make: Make, table: Float64) -> None:
        super().__init__(make, table)
        self._models = [make() for _ in range(table.shape[1])]

    def score(self, vector: Float64) -> float:
        return 0.0

    def learn(self, vector: Float64) -> float:
        values: list[Any] = [value != 0 for value in vector.tolist()] if self.flags else self.deviations(vector)
        said = 0.0
        for model, value in zip(self._models, values, strict=True):
            model.update(not value if type(model).__name__ in _OF_SUCCESS else value)
            warns = _WARNS if getattr(model, "warning_detected", False) else 0.0
            said = max(said, 1.0 if model.drift_detected else warns)
        return said


class FlagManner(ChangeManner):
    flags = True


class ForecastManner(Manner):
    def __init__(self, make: Make, table: Float64) -> None:
        super().__init__(make, np.clip(table, -_HUGE, _HUGE))
        members = table.shape[1]
        self._models = [make() for _ in range(members)]
        self._usual, self._count = np.zeros(members), 0
        # A value from another world would stay in level and trend for ever.
        span = np.minimum(np.maximum(self.high - self.low, np.abs(self._middle) * 1e-6), _HUGE)
        self._least, self._most = self.low - 1e3 * span, self.high + 1e3 * span

    def score(self, vector: Float64) -> float:
        if self._count < _FIRST:
            return 0.0
        away = self._away(vector)
        least = np.maximum(np.abs(self._middle) * 1e-9, 1e-12)
        return float(np.max(np.minimum(away / np.maximum(self._usual, least), _MOST)))

    def learn(self, vector: Float64) -> float:
        bounded = np.clip(vector, self._least, self._most)
        away = self._away(bounded)
        known = np.isfinite(away)
        # A wild vector widens what is usual by at most five times it.
        cap = np.where((self._count >= _FIRST) & (self._usual > 0), 5 * self._usual, np.inf)
        step = (np.minimum(np.where(known, away, 0.0), cap) - self._usual) / min(self._count + 1.0, _MEMORY)
        if known.any():
            self._usual = np.where(known, self._usual + step, self._usual)
            self._count += 1
        for model, value in zip(self._models, bounded.tolist(), strict=True):
            model.learn_one(value)
        return math.nan

    def stand_in(self, vector: Float64) -> Float64 | None:
        forecast = self._forecasts()
        whole = np.where(np.isfinite(forecast), forecast, np.clip(vector, self._least, self._most))
        return np.clip(whole, self._least, self._most)

    def _away(self, vector: Float64) -> Float64:
        away: Float64 = np.abs(np.clip(vector, -_HUGE, _HUGE) - np.clip(self._forecasts(), -_HUGE, _HUGE))
        return away

    def _forecasts(self) -> Float64:
        """One step ahead, of every member; NaN where the model cannot say yet."""
        return np.array([_forecast(model) for model in self._models])


def _forecast(model: Any) -> float:
    try:
        return float(model.forecast(1)[0])
    except Exception:  # whatever it raises before it has seen enough
        return math.nan


MANNERS: dict[Kind, type[Manner]] = {
    "vector": VectorManner,
    "value": ValueManner,
    "change": ChangeManner,
    "flag": FlagManner,
    "forecast": ForecastManner,
}

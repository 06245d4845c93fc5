"""One online model as a function of the vectors it keeps: the way a river model lives in checkpoints without pickle.

A river model has no portable state, and pickle from a shared store is remote code execution (D4). So the model is *defined* by
a bounded buffer: the ``base`` vectors a fresh model with a fixed seed was fitted on, and those learned ``since``. When as many
were learned since as ``retain``, these become the new base and a fresh model is fitted on them. Whoever holds the buffer can
make the same model again, exactly, by learning the same vectors in the same order. The price is that each vector is learned
twice; what it buys besides is a model that forgets what lies more than two buffers back.

Vectors are scaled with the bounds of the base, widened by half its span on both sides, into [0, 1], which HalfSpaceTrees needs
and which makes distances of unlike quantities comparable for all others; a model that is ``raw`` takes them as they are.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.hotelling import HotellingT2
from streams.batch import Float64

#: Models of the house with river's two methods.
HOUSE: dict[str, type[Any]] = {"hotelling_t2": HotellingT2}
#: Short names; any other anomaly detector of river is named by its path below ``river`` (``anomaly.LODA``).
SHORT_NAMES = {
    "half_space_trees": "anomaly.HalfSpaceTrees",
    "local_outlier_factor": "anomaly.LocalOutlierFactor",
    "one_class_svm": "anomaly.OneClassSVM",
    "loda": "anomaly.LODA",
}
SEED = 20_240_601


def model_class(name: str) -> type[Any]:
    """The river class of a name. Raises ValueError with a sentence where there is none that takes vectors alone.

    Only modules below ``river`` are looked at: a rule file cannot name other code.
    """
    if name in HOUSE:
        return HOUSE[name]
    path = SHORT_NAMES.get(name, name)
    module, _, attribute = path.rpartition(".")
    known = ", ".join(sorted([*SHORT_NAMES, *HOUSE]))
    if not all(part.isidentifier() and not part.startswith("_") for part in path.split(".")) or not module:
        raise ValueError(f"{name!r} names no river model: known are {known}, or a path like anomaly.LODA")
    try:
        found = getattr(importlib.import_module(f"river.{module}"), attribute)
        base = importlib.import_module("river.base.anomaly_detector").AnomalyDetector
    except (ImportError, AttributeError):
        raise ValueError(f"river has no {path!r}: known are {known}") from None
    if not (inspect.isclass(found) and issubclass(found, base)) or inspect.isabstract(found):
        raise ValueError(f"river's {path!r} does not score single vectors: known are {known}")
    return found


def fresh(name: str, settings: Mapping[str, Any], retain: int) -> Any:
    """An untrained model, seeded; raises ValueError where it does not take the settings."""
    found = model_class(name)
    takes = inspect.signature(found).parameters
    given: dict[str, Any] = {}
    if "seed" in takes:
        given["seed"] = SEED
    if SHORT_NAMES.get(name, name) == "anomaly.HalfSpaceTrees":
        # It scores nothing before one whole window, so the base must hold several.
        given["window_size"] = max(retain // 4, 8)
    given |= settings
    unknown = sorted(set(given) - set(takes))
    if unknown:
        raise ValueError(f"{name} takes no {unknown[0]!r}, it takes {', '.join(takes)}")
    try:
        return found(**given)
    except Exception as error:
        raise ValueError(f"{name} does not take its settings: {error}") from error


class Fit:
    """A model of one group over its buffer. ``base`` and ``since`` are lists of raw vectors of one width."""

    def __init__(self, name: str, settings: Mapping[str, Any], retain: int, warmup: int) -> None:
        self._name, self._settings, self._retain, self._warmup = name, settings, retain, warmup
        self.base: list[Float64] = []
        self.since: list[Float64] = []
        self._model: Any = None
        self.low: Float64 = np.zeros(0)
        self.high: Float64 = np.zeros(0)

    @property
    def ready(self) -> bool:
        return len(self.base) >= self._warmup

    def score(self, vector: Float64) -> float:
        """The model's score, 0 where it has none to give; NaN before the first fit. Changes nothing."""
        if not self.ready:
            return math.nan
        self._ensure()
        # A group in which nothing ever moved has no scale; its first move is learned, not judged.
        if not (self.high > self.low).any():
            return 0.0
        try:
            score = float(self._model.score_one(self._scaled(vector)))
        except (ArithmeticError, ValueError):
            return 0.0
        return score if math.isfinite(score) else 0.0

    def learn(self, vector: Float64) -> None:
        if not self.ready:
            self.base.append(vector)
            return
        self._ensure()
        self.since.append(vector)
        if len(self.since) >= self._retain:
            self.base, self.since = self.since, []
            self._model = None
        else:
            self._learn_one(vector)

    def take(self, base: Sequence[Float64], since: Sequence[Float64]) -> None:
        """Stand on a saved buffer; the model is made again when it is first needed."""
        self.base, self.since, self._model = list(base), list(since), None

    def _ensure(self) -> None:
        if self._model is not None:
            return
        table = np.array(self.base)
        self.low, self.high = table.min(axis=0), table.max(axis=0)
        self._model = fresh(self._name, self._settings, self._retain)
        for vector in (*self.base, *self.since):
            self._learn_one(vector)

    def _learn_one(self, vector: Float64) -> None:
        try:
            self._model.learn_one(self._scaled(vector))
        except (ArithmeticError, ValueError):
            # The same vector fails the same way when the buffer is learned again, so the model stays its function.
            return

    def _scaled(self, vector: Float64) -> dict[int, float]:
        if getattr(self._model, "raw", False):
            return dict(enumerate(vector.tolist()))
        return dict(enumerate(self._placed(vector).tolist()))

    def _placed(self, vector: Float64) -> Float64:
        """Where each feature lies in the base's bounds, widened by half their span: 0 to 1."""
        moved = self.high > self.low
        with np.errstate(over="ignore", invalid="ignore"):
            # Halves before differences: the span of two huge numbers need not be a number.
            span = np.where(moved, self.high / 2 - self.low / 2, 1.0)
            place = np.clip((vector / 2 - self.low / 2) / span * 0.5 + 0.25, 0.0, 1.0)
        return np.nan_to_num(np.where(moved, place, 0.5), nan=0.5)

    def farthest(self, vector: Float64, count: int = 3) -> NDArray[np.intp]:
        """The features that lie farthest from the middle of what is usual, in spans, farthest first."""
        return np.argsort(-np.abs(self._placed(vector) - 0.5), kind="stable")[:count]

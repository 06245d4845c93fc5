"""River model: any anomaly, drift or time-series model of river, by name, for a group (a pump's eight sensors) or one series.

Use it where single values are normal and their combination is not, or where one of river's models is what is wanted. A model
costs up to 170 kB and some 13,000 vectors a second (D13), so it serves groups and the analyst's bench, not single sensors by
the hundred thousand; those have :mod:`detectors.robust_z`.

``model = "anomaly.HalfSpaceTrees"``, ``"drift.PageHinkley"``, ``"time_series.HoltWinters"`` …: which names there are comes
from river itself (:mod:`detectors.river_names`), and what is measured depends on the kind of model
(:mod:`detectors.river_manner`): its own score, 1 on the row of a change, or the distance from a forecast in usual distances.

**Vectors from readings.** A group's features are its members' ``(sensor_id, metric)`` in the order they were first heard. A
vector is complete when every feature has reported since the last one, or when a member speaks again while at least ``share``
of them have reported (so one dead member does not silence the group; its last value stands in). The measure of the row that
completes a vector is the model's score; other rows say nothing. A new feature makes vectors of another width: the group
starts over, which is why the first rounds of a group only gather its members. A single series is a group of one.

**Traps of online models, closed:** a vector is scored before it is learned; one beyond ``freeze`` is not learned unless
``adopt_after`` came running; constant groups score 0; nothing is scored in the first ``warmup`` vectors; features are scaled
online; a model that raises scores 0; the model is a function of a bounded buffer of vectors, which is what a snapshot holds
(:mod:`detectors.river_fit`).

Tan, Ting, Liu: *Fast Anomaly Detection for Streaming Data* (IJCAI 2011), for the default model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Detector, Measures, Params, Snapshot, register
from detectors.river_fit import Fit, try_out
from detectors.river_names import SHORT_NAMES, kind_of, model_class
from detectors.series import Series
from streams.batch import Batch, Float64

#: Of a score in 0 to 1; of usual distances from a forecast; of standard deviations.
_FREEZE, _FREEZE_DISTANCES, _FREEZE_DEVIATIONS = 0.97, 8.0, 6.0


class RiverModelParams(Params, frozen=True):
    """``model``: hotelling_t2 (:mod:`detectors.hotelling`), half_space_trees, local_outlier_factor, one_class_svm, loda, or a
    path below ``river`` (:func:`detectors.river_names.supported`).

    ``settings`` go to the model. ``smooth``: weight of a new vector in the running mean that is judged and learned, 1: each
    vector by itself. ``retain``: vectors a model is fitted on. ``freeze``: in the model's own score; 0: where models of its
    kind are commonly frozen (0.97 of a score in 0 to 1, 8 usual distances from a forecast, 6 standard deviations).
    """

    model: str = "half_space_trees"
    settings: dict[str, Any] = {}  # noqa: RUF012  (msgspec copies empty defaults)
    warmup: Annotated[int, Meta(ge=16)] = 64
    retain: Annotated[int, Meta(ge=32, le=4096)] = 256
    freeze: Annotated[float, Meta(ge=0)] = 0.0
    adopt_after: Annotated[int, Meta(ge=2)] = 64
    share: Annotated[float, Meta(gt=0, le=1)] = 0.6
    smooth: Annotated[float, Meta(gt=0, le=1)] = 1.0
    max_features: Annotated[int, Meta(ge=1, le=256)] = 32

    def __post_init__(self) -> None:
        if self.retain < self.warmup:
            raise ValueError("retain must not be less than warmup")
        model_class(self.model)
        try_out(self.model, self.settings, self.retain)

    @property
    def frozen(self) -> float:
        """``freeze``, or what is common for the kind of model."""
        if self.freeze:
            return self.freeze
        if SHORT_NAMES.get(self.model, self.model) == "anomaly.StandardAbsoluteDeviation":
            return _FREEZE_DEVIATIONS
        return _FREEZE_DISTANCES if kind_of(self.model) == "forecast" else _FREEZE


class Group:
    """What is held of one slot: its features, their latest values, who has reported, and the fit."""

    def __init__(self, params: RiverModelParams) -> None:
        self._params = params
        self.names: list[str] = []
        self.place: dict[str, int] = {}
        self.latest: Float64 = np.zeros(0)
        self.reported: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        #: Running mean of the vectors; NaN before the first one.
        self.level: Float64 = np.zeros(0)
        self.run = 0
        self.fit = self._blank()

    def _blank(self) -> Fit:
        return Fit(self._params.model, self._params.settings, self._params.retain, self._params.warmup)

    def hear(self, name: str, value: float) -> Float64 | None:
        """Take a member's value; the vector it completes, or None."""
        i = self.place.get(name)
        if i is None:
            # A group larger than its cap is watched by the members heard first.
            if len(self.names) >= self._params.max_features:
                return None
            i = self.place[name] = len(self.names)
            self.names.append(name)
            self.latest = np.append(self.latest, value)
            # Members are discovered in the order they speak, so those before this one have spoken in this round. Taking
            # it so ends the round here, and later rounds begin with the first member and not in the middle.
            self.reported = np.append(np.ones(i, dtype=np.bool_), False)
            self.level = np.full(i + 1, np.nan)
            self.fit, self.run = self._blank(), 0
        closed: Float64 | None = None
        if self.reported[i] and self.reported.mean() >= self._params.share:
            closed = self.latest.copy()
            self.reported[:] = False
        self.latest[i] = value
        self.reported[i] = True
        if closed is None and self.reported.all():
            closed = self.latest.copy()
            self.reported[:] = False
        return None if closed is None else self._smoothed(closed)

    def _smoothed(self, vector: Float64) -> Float64:
        weight = self._params.smooth
        if weight == 1.0:
            return vector
        mean = self.level * (1 - weight) + vector * weight
        self.level = np.where(np.isfinite(mean), mean, vector)
        return self.level.copy()

    def judge(self, vector: Float64) -> float:
        """Score, then learn unless it lies beyond the freeze and not enough running have."""
        freeze = self._params.frozen
        score = self.fit.judge(vector, learn=True if self.run + 1 >= self._params.adopt_after else None, freeze=freeze)
        self.run = self.run + 1 if score > freeze else 0
        return score

    def words(self, vector: Float64, low: Float64, high: Float64, order: NDArray[np.intp]) -> str:
        parts = [f"{self.names[i]} {vector[i]:g} (usual {low[i]:g} to {high[i]:g})" for i in order.tolist()]
        return "; ".join(parts)


@register
class RiverModel(Detector[RiverModelParams]):
    """Measure: the model's score of the vector a row completes (HalfSpaceTrees: 0 to 1); NaN for other rows and in warm-up."""

    name: ClassVar[str] = "river_model"
    streams: ClassVar[frozenset[str]] = frozenset({"group", "sensor"})
    Params: ClassVar[type[Params]] = RiverModelParams
    #: 2: ``score`` is 0.5 at the freeze.
    revision: ClassVar[int] = 2

    def __init__(self, params: RiverModelParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._groups: dict[int, Group] = {}

    def measure(self, batch: Batch) -> Measures:
        n = len(batch)
        measure, score = np.full(n, np.nan), np.full(n, np.nan)
        value = batch.columns.get("value")
        said: dict[int, tuple[Group, Float64, Float64, Float64, NDArray[np.intp]]] = {}
        if value is None:
            return Measures(measure)
        for i in np.flatnonzero(np.isfinite(value)).tolist():
            group = self._groups.get(int(batch.slot[i]))
            if group is None:
                group = self._groups[int(batch.slot[i])] = Group(self.params)
            record = batch.records[i]
            vector = group.hear(f"{record.sensor_id}:{record.metric}", float(value[i]))
            if vector is None:
                continue
            measure[i] = group.judge(vector)
            score[i] = _half_at(measure[i], self.params.frozen)
            if measure[i] > 0:
                said[i] = (group, vector, group.fit.low, group.fit.high, group.fit.farthest(vector))

        def explain(i: int) -> str:
            if i not in said:
                return "the group is as usual"
            group, vector, low, high, order = said[i]
            together = "unusual together" if len(group.names) > 1 else f"{self.params.model} {measure[i]:.2g}"
            return f"{together}: {group.words(vector, low, high, order)}"

        def carriers(i: int) -> list[str]:
            return [said[i][0].names[k].rpartition(":")[0] for k in said[i][4].tolist()] if i in said else []

        return Measures(measure, None, score, explain, carriers)

    def forget(self, slots: NDArray[Any]) -> None:
        for slot in slots.tolist():
            self._groups.pop(int(slot), None)

    def snapshot(self) -> Snapshot:
        """Names as JSON text; per group its counts; all numbers in one flat array (latest, reported, level, base, since)."""
        slots = sorted(self._groups)
        groups = [self._groups[slot] for slot in slots]
        flat = [
            part
            for group in groups
            for part in (group.latest, group.reported.astype(np.float64), group.level, *group.fit.base, *group.fit.since)
        ]
        return {
            "slots": np.array(slots, dtype=np.int64),
            "counts": np.array(
                [[len(g.names), len(g.fit.base), len(g.fit.since), g.run] for g in groups], dtype=np.int64
            ).reshape(-1, 4),
            "names": json.dumps([group.names for group in groups], ensure_ascii=False),
            "values": np.concatenate(flat) if flat else np.zeros(0),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._groups = {}
        values = np.asarray(saved["values"], dtype=np.float64)
        at = 0

        def rows(count: int, width: int) -> list[Float64]:
            nonlocal at
            part = values[at : at + count * width].reshape(count, width)
            at += count * width
            return [row.copy() for row in part]

        counts = np.asarray(saved["counts"]).reshape(-1, 4)
        for slot, names, (width, base, since, run) in zip(
            np.asarray(saved["slots"]).tolist(), json.loads(saved["names"]), counts.tolist(), strict=True
        ):
            group = self._groups[int(slot)] = Group(self.params)
            group.names = names
            group.place = {name: i for i, name in enumerate(names)}
            group.latest = rows(1, width)[0]
            group.reported = rows(1, width)[0].astype(np.bool_)
            group.level = rows(1, width)[0]
            group.run = run
            group.fit.take(rows(base, width), rows(since, width))


def _half_at(measure: float, freeze: float) -> float:
    """A score in 0 to 1 that is 0.5 at the freeze, whatever range the model's own has.

    >>> [round(_half_at(measure, 0.97), 3) for measure in (0.0, 0.97, 1.0)], round(_half_at(24.0, 8.0), 3)
    ([0.0, 0.5, 0.515], 0.833)
    """
    if not measure > 0:
        return 0.0 if measure == measure else measure
    return 0.5 * measure / freeze if measure <= freeze else 1.0 - 0.5 * freeze / measure

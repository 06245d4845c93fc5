"""Robust z: how unusual a value is for its own series, against a baseline learned online. The default anomaly detector.

Centre and scale are exponentially weighted and Huber-clipped: a row pulls them by at most ``clip`` scales, so single outliers
move them little; a row beyond ``freeze`` scales moves them not at all. The scale is the mean absolute deviation (for Gaussian
noise 0.8 standard deviations); nothing is assumed about tails. Huber, *Robust Estimation of a Location Parameter*, 1964.

* Quantised and nearly constant signals do not explode: the scale is never taken below half the series' usual step when it
  steps at all, nor below ``floor`` (in the metric's unit). A series that never moved has no scale; its first move is learned.
* Signals that spike by nature (flows, counts, traffic) are judged by their tail: the scale is never below a quarter of the
  deviation that one row in a hundred exceeds.
* A new regime is accepted: after ``adopt_after`` rows running beyond ``freeze`` the baseline moves to where those rows lay.
* ``season = "day"`` adds a profile of 24 hours, learned the same way, for demand that follows the clock.

Do not use it where a standard gives a number (:mod:`detectors.threshold`), nor on events that are rare by nature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta

from detectors import robust_z_kernel as kernel
from detectors.base import Detector, Measures, Params, register
from detectors.series import Series
from detectors.slot_records import SlotRecords
from detectors.small import bounded
from streams import compiled
from streams.batch import Batch, Bool, Float64, Int32, Int64, rounds

#: What the compiled loop takes for a profile where there is none.
_NO_PROFILE = (np.zeros((0, 24)), np.zeros((0, 24), dtype=np.uint16))


class RobustZParams(Params, frozen=True):
    """``warmup`` rows say nothing. ``memory``: rows after which what was learned has faded to a third.

    ``side``: deviations to both sides, or only above / below the centre (the other side measures negative).
    """

    warmup: Annotated[int, Meta(ge=10)] = 60
    memory: Annotated[float, Meta(ge=20)] = 1000.0
    freeze: Annotated[float, Meta(gt=1)] = 8.0
    clip: Annotated[float, Meta(gt=0)] = 3.0
    adopt_after: Annotated[int, Meta(ge=5)] = 300
    floor: Annotated[float, Meta(ge=0)] = 0.0
    side: Literal["both", "above", "below"] = "both"
    season: Literal["none", "day"] = "none"
    column: Literal["value", "speed_kmh", "count"] = "value"


@register
class RobustZ(Detector[RobustZParams]):
    """Measure: |value − centre| / scale; NaN during warm-up. ``score`` is measure / (measure + freeze): 0.5 at the freeze."""

    name: ClassVar[str] = "robust_z"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "vehicle", "video"})
    Params: ClassVar[type[Params]] = RobustZParams
    repeats: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    state: SlotRecords

    def __init__(self, params: RobustZParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        #: What :func:`detectors.robust_z_kernel.rows` takes first, in its order and of its types.
        self._fixed = (
            int(params.warmup),
            float(params.memory),
            float(params.freeze),
            float(params.clip),
            int(params.adopt_after),
            float(params.floor),
            {"both": 0, "above": 1, "below": -1}[params.side],
            params.season == "day",
        )

    def columns(self) -> SlotRecords:
        kinds: dict[str, tuple[object, object] | tuple[object, object, tuple[int, ...]]] = {
            "centre": (np.float64, 0.0),
            "scale": (np.float64, 0.0),
            "tail": (np.float64, 0.0),
            "step": (np.float64, 0.0),
            "last": (np.float64, np.nan),
            "rows": (np.int32, 0),
            "beyond": (np.int32, 0),
            "regime": (np.float64, 0.0),
        }
        if self.params.season == "day":
            kinds["profile"] = (np.float64, 0.0, (24,))
            kinds["hours"] = (np.uint16, 0, (24,))
        return SlotRecords(**kinds)

    def measure(self, batch: Batch) -> Measures:
        column = batch.columns.get(self.params.column)
        n = len(batch)
        if column is None:
            return Measures(np.full(n, np.nan))
        told = self._reckon(batch, column, good=False)
        return Measures(told[0], told[1], told[2], Sentence(column, told[1], told[0]))

    def teach(self, batch: Batch) -> None:
        """Rows known to be good are learned however far away they are, clipped as others."""
        column = batch.columns.get(self.params.column)
        if column is not None:
            self._reckon(batch, column, good=True)

    def _reckon(self, batch: Batch, column: Float64, good: bool) -> Float64:
        """(measure, expected, score) of rows of any slots in the order of the log: shape (3, rows)."""
        told = np.empty((3, len(batch)))
        if compiled.AVAILABLE:
            state = self.state
            daily = (state["profile"], state["hours"]) if self.params.season == "day" else _NO_PROFILE
            kernel.rows(*self._fixed, good, batch.slot, batch.ts, column, told, state.near(batch.slot), *daily)
            return told
        told.fill(np.nan)
        known = np.flatnonzero(np.abs(column) < kernel.LARGEST)
        for piece in rounds(batch.slot[known]):
            some = known[piece]
            told[:, some] = self._round(batch.slot[some], batch.ts[some], column[some], good)
        return told

    def _round(self, slot: Int32, ts: Int64, x: Float64, good: bool) -> tuple[Float64, Float64, Float64]:
        state, params = self.state, self.params
        rows = state["rows"][slot]
        centre = state["centre"][slot]
        step = state["step"][slot]
        scale = np.maximum(state["scale"][slot], np.maximum(step * 0.5, params.floor))
        hour = (ts // kernel.HOUR_MS) % 24 if params.season == "day" else None
        expected = centre if hour is None else centre + state["profile"][slot, hour]
        away = x - expected
        size = np.abs(away)
        # A scale below the last digits of the centre is rounding, not movement: such a series has none to judge by.
        digits = np.abs(centre) * 1e-12
        scale = np.maximum(scale, digits)
        # The tail widens what is usual to judge by; what is learned is still clipped by the narrow scale.
        wide = np.maximum(scale, state["tail"][slot] / kernel.TAIL_SCALES)
        judged = wide > np.maximum(digits * 1.01, 1e-300)
        with np.errstate(over="ignore"):
            z = np.minimum(np.divide(size, wide, out=np.zeros_like(size), where=judged), kernel.MOST)
        warm = rows >= params.warmup
        beyond = warm & (z > params.freeze) & (not good)
        self._learn(slot, x, away, size, scale, rows, beyond, hour)
        measure = z if params.side == "both" else z * np.sign(away if params.side == "above" else -away)
        measure = np.where(warm, measure, np.nan)
        score = measure / (np.abs(measure) + params.freeze)
        if params.side != "both":
            score = np.where(score < 0, 0.0, score)
        return measure, expected, score

    def _learn(
        self,
        slot: Int32,
        x: Float64,
        away: Float64,
        size: Float64,
        scale: Float64,
        rows: Int32,
        beyond: Bool,
        hour: Int64 | None,
    ) -> None:
        state, params = self.state, self.params
        # The mean of all rows at first, then the exponential mean of the last ones.
        rate = 1.0 / np.minimum(rows + 1.0, params.memory)
        limit = np.where((rows >= kernel.FIRST_ROWS) & (scale > 0), params.clip * scale, np.inf)
        learned = np.where(beyond, 0.0, rate)
        state["centre"][slot] += learned * bounded(away, -limit, limit)
        # What a first row is away from is not a deviation: there was no centre yet.
        spread = np.where(rows > 0, np.minimum(size, limit), 0.0)
        state["scale"][slot] += np.where(rows > 0, learned, 0.0) * (spread - state["scale"][slot])

        # The size that one row in a hundred exceeds, by small steps up and smaller ones down; it begins at the scale.
        tail = np.maximum(state["tail"][slot], state["scale"][slot])
        tail = tail * np.where(size > tail, 1 + kernel.TAIL_STEP, 1 - kernel.TAIL_STEP / 99)
        state["tail"][slot] = np.where(beyond | (rows < kernel.FIRST_ROWS), state["tail"][slot], tail)

        moved = np.abs(x - state["last"][slot])
        steps = (moved > 0) & ~beyond
        step = state["step"][slot]
        # Usual step: one large step at most doubles it, so that it follows what steps are like, not the largest one.
        wide = np.where(step > 0, np.minimum(moved, 2 * step + params.floor), moved)
        state["step"][slot] = np.where(steps, step + np.where(step > 0, np.maximum(rate, 0.01), 1.0) * (wide - step), step)
        state["last"][slot] = np.where(beyond, state["last"][slot], x)
        state["rows"][slot] = np.where(beyond, rows, np.minimum(rows, 2**30) + 1)
        if hour is not None:
            seen = state["hours"][slot, hour]
            share = np.where(beyond, 0.0, 1.0 / np.minimum(seen + 2.0, kernel.PROFILE_ROWS))
            state["profile"][slot, hour] += share * bounded(away, -limit, limit)
            state["hours"][slot, hour] = np.where(beyond, seen, np.minimum(seen, 60_000) + 1)
        self._regime(slot, x, away, beyond)

    def _regime(self, slot: Int32, x: Float64, away: Float64, beyond: Bool) -> None:
        """Count rows running beyond the freeze, and move the baseline to their mean when there are enough."""
        state = self.state
        held = state["beyond"][slot]
        if not beyond.any():
            if held.any():
                state["beyond"][slot] = 0
                state["regime"][slot] = 0.0
            return
        run = np.where(beyond, held + 1, 0)
        mean = np.where(held > 0, state["regime"][slot], 0.0)
        mean = np.where(beyond, mean + (away - mean) / np.maximum(run, 1), 0.0)
        adopt = run >= self.params.adopt_after
        state["centre"][slot] += np.where(adopt, mean, 0.0)
        state["last"][slot] = np.where(adopt, x, state["last"][slot])
        state["beyond"][slot] = np.where(adopt, 0, run)
        state["regime"][slot] = np.where(adopt, 0.0, mean)


class Sentence:
    """Says a row in words when asked."""

    def __init__(self, value: Float64, expected: Float64, measure: Float64) -> None:
        self._value, self._expected, self._measure = value, expected, measure

    def __call__(self, i: int) -> str:
        times = abs(float(self._measure[i]))
        return f"{self._value[i]:g} where about {self._expected[i]:g} was expected: {times:.1f} times the usual deviation"

"""Change points of a single series: a short mean against the window before it, told once per change.

The measure is the difference between the mean of the last ``short`` rows and that of the ``window`` rows before them, in its
own usual size, over the threshold: 1 or more at the row at which a change is told, NaN while its silence lasts. The silence
ends when the two means agree again, that is when a whole window lies behind the change, so a step is told once however high
it is, and the way back is told as the next change. For rules with ``momentary = true`` and ``raise = 1``.

What is usual is learned of differences clipped at three usual sizes, so that steps widen it little; of few or strongly
drifting rows it is doubted as in :mod:`detectors.short_means`. A series that never moved has no usual size: its first move is
learned, and nearly constant ones are judged in at least half of their usual step.

Do not use it for slow drifts, nor for rhythms shorter than a day whose swing is the news of every morning (the expected value
of the default anomaly detector's residual is the better series there). Groups: ``tell = "change"`` of
:mod:`detectors.group_watch`. Cost: 0.4 µs a reading in batches of thousands, ``8 * (short + window + 7)`` bytes a series.

Source: Kifer, Ben-David and Gehrke, *Detecting Change in Data Streams*, VLDB 2004, with means for distributions.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch, Float64, Int32

#: Beyond these, numbers have squares that are none; no quantity of a city is there.
_HUGE = 1e100
_CLIP = 3.0
#: Rows of which differences are learned before clipping and judging begin.
_FIRST_ROWS = 60
#: A series that moves in fewer of its rows than this is judged in its own steps.
_STILL = 0.1
_DIGITS = 1e-11


class ChangePointParams(Params, frozen=True):
    """``short``, ``window``: rows compared. ``threshold``, ``calm``: usual sizes at which a change is told and is over.
    ``memory``: rows until what is usual has faded to a third. ``doubt``: rows per unit of inertia.
    """

    short: Annotated[int, Meta(ge=2, le=64)] = 10
    window: Annotated[int, Meta(ge=4, le=128)] = 30
    threshold: Annotated[float, Meta(gt=0)] = 5.0
    calm: Annotated[float, Meta(gt=0)] = 1.5
    memory: Annotated[float, Meta(ge=50)] = 1000.0
    doubt: Annotated[float, Meta(ge=0)] = 20.0


@register
class ChangePoint(Detector[ChangePointParams]):
    """Measure: size of the change over the threshold. ``expected``: mean of the window before. ``score`` m / (1 + m)."""

    name: ClassVar[str] = "change_point"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = ChangePointParams

    def columns(self) -> Columns:
        return Columns(
            rows=(np.float64, 0.0, (self.params.short + self.params.window,)),
            filled=(np.int32, 0),
            learned=(np.int32, 0),
            size=(np.float64, 0.0),
            noise=(np.float64, 0.0),
            step=(np.float64, 0.0),
            moves=(np.float64, 0.0),
            moving=(np.bool_, False),
        )

    def measure(self, batch: Batch) -> Measures:
        n = len(batch)
        measure, expected = np.full(n, np.nan), np.full(n, np.nan)
        value = batch.columns.get("value")
        if value is None:
            return Measures(measure)
        at = np.flatnonzero(np.isfinite(value))
        slot = batch.slot[at]
        held = self._take(slot, value[at])
        whole = np.flatnonzero(self.state["filled"][slot] >= held.shape[1])
        at, slot, held = at[whole], slot[whole], held[whole]
        if len(at):
            expected[at] = held[:, : self.params.window].mean(axis=1)
            measure[at] = self._judge(slot, held, expected[at])
        positive = np.maximum(measure, 0.0)

        def explain(i: int) -> str:
            return f"changed: mean of {self.params.short} readings was about {expected[i]:.4g}, now with {value[i]:.4g} another"

        return Measures(measure, expected, positive / (1 + positive), explain)

    def _take(self, slot: Int32, value: Float64) -> Float64:
        rows = self.state["rows"][slot]
        rows[:, :-1] = rows[:, 1:]
        rows[:, -1] = np.clip(value, -_HUGE, _HUGE)
        self.state["rows"][slot] = rows
        self.state["filled"][slot] = np.minimum(self.state["filled"][slot] + 1, rows.shape[1])
        return rows

    def _judge(self, slot: Int32, held: Float64, before: Float64) -> Float64:
        params, state = self.params, self.state
        learned, size = state["learned"][slot], state["size"][slot]
        away = held[:, params.window :].mean(axis=1) - before
        alone = state["noise"][slot] * (1 / params.short + 1 / params.window)
        inertia = np.clip(np.divide(size, alone, out=np.ones(len(slot)), where=alone > 0), 1.0, 1e12)
        still = np.where(state["moves"][slot] < _STILL, state["step"][slot] * 0.5, 0.0)
        usual = np.sqrt(size)
        judged = (learned >= _FIRST_ROWS) & (usual > np.abs(before) * _DIGITS)
        usual = np.maximum(usual, still) * np.sqrt(1 + params.doubt * inertia / np.maximum(learned, 1))
        change = np.clip(np.divide(np.abs(away), usual, out=np.zeros(len(slot)), where=judged), 0.0, 1e12)
        moving = state["moving"][slot]
        state["moving"][slot] = np.where(moving, change >= params.calm, judged & (change >= params.threshold))
        self._learn(slot, held, away, learned, size)
        return np.where(moving | ~judged, np.nan, change / params.threshold)

    def _learn(self, slot: Int32, held: Float64, away: Float64, learned: Int32, size: Float64) -> None:
        state = self.state
        weight = 1 / np.minimum(learned + 1.0, self.params.memory)
        jump = np.abs(held[:, -1] - held[:, -2])
        moved = jump > np.abs(held[:, -1]) * _DIGITS
        noise, step = state["noise"][slot], state["step"][slot]
        clips = learned >= _FIRST_ROWS
        squared, half = away * away, jump * jump / 2
        squared = np.where(clips & (size > 0), np.minimum(squared, _CLIP * _CLIP * size), squared)
        half = np.where(clips & (noise > 0), np.minimum(half, _CLIP * _CLIP * noise), half)
        state["size"][slot] = size + weight * (squared - size)
        state["noise"][slot] = noise + weight * (half - noise)
        quick = np.maximum(weight, 0.05)
        state["step"][slot] = np.where(moved, np.where(step > 0, step + quick * (jump - step), jump), step)
        state["moves"][slot] += weight * (moved - state["moves"][slot])
        state["learned"][slot] = np.minimum(learned + 1, 1_000_000)

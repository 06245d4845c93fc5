"""Short means of several members against what each of them has been: the common ground of group deviation and change points.

A member is one sensor's metric in a group. Of each the last rows are kept, a slow level that follows behind them (a row enters
the level when it leaves the short mean, so a deviation is never in the level it is measured from), the usual size of *short
mean minus level*, and the usual size of the step from row to row.

**Channels that drift are found by their own numbers, not by name.** Of a signal whose rows are independent, the short mean
moves by the row-to-row noise divided by the square root of its length. A temperature moves a hundred times more. The ratio of
the two, squared, is the member's *inertia*; by it, the rows learned are worth fewer independent looks, and the deviation is
divided by ``sqrt(1 + doubt * inertia / rows)``, as a Student quantile would be wider for so few. A thermometer heard for
minutes thus raises nothing; heard for days it is believed like any other member.

A member that mostly stands still is judged in its own steps (never less than half of one), and one that never moved is not
judged: its first move is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from detectors.base import Columns, Snapshot
from streams.batch import Bool, Float64

#: Beyond these, numbers have squares that are none; no quantity of a city is there.
_HUGE = 1e100
#: A deviation counts for learning with at most so many usual sizes, once there is a usual size worth clipping by.
_CLIP = 4.0
_WILD = 5.0
_FIRST_ROWS = 60
#: Rows of the level before deviations from it are learned.
_LEVEL_ROWS = 20
#: Share of rows that move below which a member mostly stands still: the usual size of few moves says little.
_STILL = 0.1
#: A scale below the last digits of the level is rounding, not movement.
_DIGITS = 1e-11


class ShortMeans:
    """``short`` rows make a mean; the level fades over ``level`` rows, the usual sizes over ``memory`` rows.

    Arrays are by member. A member's state is about ``8 * (kept + 9)`` bytes.

    >>> means = ShortMeans(short=5, kept=6, level=100, memory=1000, doubt=50.0)
    >>> means.grow(1)
    >>> here = np.array([True])
    >>> for i in range(200):
    ...     means.hear(np.array([10.0 + i % 2]), here)
    ...     means.learn(here)
    >>> bool(abs(means.deviation()[0]) < 1)
    True
    """

    def __init__(self, short: int, kept: int, level: float, memory: float, doubt: float) -> None:
        self.short, self.kept = short, max(kept, short + 1)
        self._level, self._memory, self._doubt = level, memory, doubt
        self.state = Columns(
            rows=(np.float64, 0.0, (self.kept,)),
            filled=(np.int64, 0),
            absent=(np.int64, 0),
            level=(np.float64, 0.0),
            behind=(np.int64, 0),
            learned=(np.int64, 0),
            size=(np.float64, 0.0),
            noise=(np.float64, 0.0),
            step=(np.float64, 0.0),
            moves=(np.float64, 0.0),
        )
        self.members = 0
        self._now: Float64 = np.zeros(0)

    def grow(self, members: int) -> None:
        self.members = members
        self.state.grow(members)

    def _of(self, name: str) -> Any:
        return self.state[name][: self.members]

    def hear(self, values: Float64, here: Bool, frozen: bool = False) -> None:
        """Take one value of every member that is ``here``. ``frozen``: levels stay where they are.

        A member that was away for as many rows as a short mean holds begins a new one, on its old level.
        """
        rows, filled, absent = self._of("rows"), self._of("filled"), self._of("absent")
        stale = here & (absent >= self.short)
        filled[stale] = 0
        absent[here] = 0
        absent[~here] += 1
        rows[here, :-1] = rows[here, 1:]
        rows[here, -1] = np.minimum(np.maximum(values[here], -_HUGE), _HUGE)
        filled[here] = np.minimum(filled[here] + 1, self.kept)
        self._now = self._means()
        if frozen:
            return
        leaves = np.flatnonzero(here & (filled > self.short))
        level, behind = self._of("level"), self._of("behind")
        weight = 1 / np.minimum(behind[leaves] + 1, self._level)
        # A wild row that was no news must not move the level either.
        held, now, most = level[leaves], self._now[leaves], self._most()[leaves]
        value = np.maximum(rows[leaves, -self.short - 1], np.minimum(held, now) - most)
        level[leaves] = held + weight * (np.minimum(value, np.maximum(held, now) + most) - held)
        behind[leaves] += 1

    def whole(self) -> Bool:
        """Members that were here and have rows for a mean and a level."""
        out: Bool = (self._of("absent") == 0) & (self._of("filled") > self.short) & (self._of("behind") > _LEVEL_ROWS)
        return out

    def mean(self) -> Float64:
        """Short means as of the last :meth:`hear`, in which a row counts no further from the median than ``_WILD`` row-to-row
        deviations: one or two wild rows are not news for as long as a mean holds them; from the third on they are.
        """
        return self._now

    def _means(self) -> Float64:
        rows, n = self._of("rows")[:, -self.short :], self.short
        most = self._most()[:, None]
        ordered = np.sort(rows, axis=1)
        middle = ((ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2)[:, None]
        out: Float64 = np.minimum(np.maximum(rows, middle - most), middle + most).mean(axis=1)
        return out

    def _most(self) -> Float64:
        """How far a row may lie from the others before it is cut; infinite while there is no noise to say so."""
        out: Float64 = np.where(self._of("learned") > _FIRST_ROWS, _WILD * np.sqrt(self._of("noise")), np.inf)
        return np.where(out > 0, out, np.inf)

    def usual(self) -> Float64:
        """What a member's short mean usually is away from its level, without the doubt; 0: it has none yet."""
        still = np.where(self._of("moves") < _STILL, self._of("step") * 0.5, 0.0)
        size: Float64 = np.sqrt(self._of("size"))
        out: Float64 = np.where(size > np.abs(self._of("level")) * _DIGITS, np.maximum(size, still), 0.0)
        return out

    def doubt(self) -> Float64:
        """What deviations are divided by for want of independent looks; 1: none."""
        size, noise = self._of("size"), self._of("noise")
        with np.errstate(over="ignore"):
            inertia = np.where(noise > 0, size * self.short / np.maximum(noise, 1e-300), 1.0)
        inertia = np.minimum(np.maximum(inertia, 1.0), 1e12)
        out: Float64 = np.sqrt(1 + self._doubt * inertia / np.maximum(self._of("learned"), 1))
        return out

    def deviation(self) -> Float64:
        """Short mean minus level, in usual sizes; 0 where the member is not whole or has no usual size."""
        usual = self.usual()
        judged = self.whole() & (usual > 0)
        away = self.mean() - self._of("level")
        out: Float64 = np.divide(away, usual, out=np.zeros(self.members), where=judged)
        return np.clip(out, -1e12, 1e12)

    def learn(self, which: Bool) -> None:
        """Learn the usual sizes of the members ``which`` from the rows they hold now."""
        at = np.flatnonzero(which & self.whole())
        state = self.state
        learned, size = state["learned"][at], state["size"][at]
        weight = 1 / np.minimum(learned + 1, self._memory)
        away = self._now[at] - state["level"][at]
        squared = away * away
        clipped = (learned > _FIRST_ROWS) & (size > 0)
        squared = np.where(clipped, np.minimum(squared, _CLIP * _CLIP * size), squared)
        state["size"][at] = size + weight * (squared - size)
        jump = np.abs(state["rows"][at, -1] - state["rows"][at, -2])
        moved = jump > np.abs(state["rows"][at, -1]) * _DIGITS
        step, noise = state["step"][at], state["noise"][at]
        quick = np.maximum(weight, 0.05)
        state["step"][at] = np.where(moved, np.where(step > 0, step + quick * (jump - step), jump), step)
        state["moves"][at] += weight * (moved - state["moves"][at])
        half = jump * jump / 2
        half = np.where((learned > _FIRST_ROWS) & (noise > 0), np.minimum(half, _CLIP * _CLIP * noise), half)
        state["noise"][at] = noise + weight * (half - noise)
        state["learned"][at] = learned + 1

    def anchor(self, which: Bool, rows: int) -> None:
        """Begin the levels of ``which`` anew where the short means are, as if ``rows`` had been seen there."""
        at = which & (self._of("filled") > self.short)
        self._of("level")[at] = self.mean()[at]
        self._of("behind")[at] = max(rows, _LEVEL_ROWS + 1)

    def snapshot(self) -> Snapshot:
        return self.state.snapshot()

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.state.restore(saved)
        self.members = self.state.size
        self.members = self.state.size

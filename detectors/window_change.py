"""Change points: a short mean against the window before it.

Per member, the mean of the last ``short`` rows minus the mean of the ``window`` rows before them, in its own usual size; the
members' sizes are joined by their fourth powers (nearly the largest, a little more where several move at once). A change is
told when it begins, and is over when the short mean agrees with the window again, that is when a whole window lies behind it;
in between is silence. With ``settled`` it is also told when it is over, and with ``again`` every so many rows while it goes
on, which is what a benchmark that labels the beginning and the end of each transition asks for.

Inside an episode of the group (:mod:`detectors.group_deviation`) less is needed to tell that it goes on to change or ends
(``inside``), and the opening and the end of the episode are changes themselves.

Do not use it for slow drifts: what takes longer than the window is not a change point. Source: the two-window comparison of
Kifer, Ben-David and Gehrke, *Detecting Change in Data Streams*, VLDB 2004, with means for distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from detectors.base import Columns, Params, Snapshot
from detectors.short_means import ShortMeans
from streams.batch import Float64

#: A difference counts for learning with at most so many usual sizes, once there is a usual size worth clipping by.
_CLIP = 3.0
_FIRST_ROWS, _WARM_ROWS = 60, 100
_NEVER = -(1 << 62)


class WindowChangeParams(Params, frozen=True):
    """``short``, ``window``, ``silence``, ``again`` (0: never): rows (of a group: vectors). ``memory``: rows until what is
    usual has faded to a third. ``threshold``, ``inside``, ``calm``: usual sizes. ``doubt``: as for group deviation.
    """

    short: Annotated[int, Meta(ge=2, le=64)] = 10
    window: Annotated[int, Meta(ge=4, le=256)] = 60
    threshold: Annotated[float, Meta(gt=0)] = 4.0
    inside: Annotated[float, Meta(gt=0)] = 2.5
    calm: Annotated[float, Meta(gt=0)] = 1.5
    silence: Annotated[int, Meta(ge=0)] = 20
    settled: bool = True
    again: Annotated[int, Meta(ge=0)] = 30
    memory: Annotated[float, Meta(ge=50)] = 400.0
    doubt: Annotated[float, Meta(ge=0)] = 20.0

    @property
    def rows(self) -> int:
        """Rows of a member that are looked at."""
        return self.short + self.window


class WindowChange:
    """The change of one group of members, whose rows a :class:`~detectors.short_means.ShortMeans` keeps."""

    def __init__(self, params: WindowChangeParams) -> None:
        self.params = params
        self.state = Columns(learned=(np.int64, 0), size=(np.float64, 0.0), noise=(np.float64, 0.0))
        self.members = self.row = 0
        self.told = _NEVER
        self.moving = False
        #: The joined size of the last vector.
        self.size = 0.0

    def grow(self, members: int) -> None:
        self.members = members
        self.state.grow(members)

    def step(self, means: ShortMeans, inside: bool, turned: bool, known_good: bool) -> bool:
        """After :meth:`ShortMeans.hear`: whether a change is told at this vector. ``turned``: an episode opened or ended."""
        self.size = float(np.sum(self._sizes(means) ** 4) ** 0.25)
        self.row += 1
        tells = self._moves(self.params.inside if inside else self.params.threshold, turned)
        if known_good or not tells or self.row - self.told <= self.params.silence:
            return False
        self.told = self.row
        return True

    def _moves(self, threshold: float, turned: bool) -> bool:
        if not self.moving:
            self.moving = self.size > threshold or turned
            return self.moving
        if self.size < self.params.calm:
            self.moving = False
            return self.params.settled
        return 0 < self.params.again < self.row - self.told

    def _sizes(self, means: ShortMeans) -> Float64:
        """Differences of the two means in usual sizes, which are learned afterwards; 0 where a member cannot be judged."""
        params, state, n = self.params, self.state, self.members
        rows, filled = means.state["rows"][:n], means.state["filled"][:n]
        at = np.flatnonzero((filled >= params.rows) & (means.state["absent"][:n] == 0))
        out = np.zeros(n)
        if not len(at):
            return out
        held = rows[at]
        away = np.abs(held[:, -params.short :].mean(axis=1) - held[:, -params.rows : -params.short].mean(axis=1))
        learned, size, noise = state["learned"][at], state["size"][at], state["noise"][at]
        usual = np.sqrt(size)
        judged = (learned > _WARM_ROWS) & (usual > np.abs(held[:, -1]) * 1e-11)
        alone = noise * (1 / params.short + 1 / params.window)
        inertia = np.minimum(np.maximum(np.divide(size, alone, out=np.ones(len(at)), where=alone > 0), 1.0), 1e12)
        scale = usual * np.sqrt(1 + params.doubt * inertia / np.maximum(learned, 1))
        out[at] = np.minimum(np.divide(away, scale, out=np.zeros(len(at)), where=judged), 1e12)
        weight = 1 / np.minimum(learned + 1, params.memory)
        jump = held[:, -1] - held[:, -2]
        first = (learned < _FIRST_ROWS) | (size <= 0)
        squared = np.where(first, away * away, np.minimum(away * away, _CLIP * _CLIP * size))
        half = np.where((learned < _FIRST_ROWS) | (noise <= 0), jump * jump / 2, np.minimum(jump * jump / 2, 9 * noise))
        state["size"][at] = size + weight * (squared - size)
        state["noise"][at] = noise + weight * (half - noise)
        state["learned"][at] = learned + 1
        return out

    def snapshot(self) -> Snapshot:
        return {
            **self.state.snapshot(),
            "counts": np.array([self.row, self.told, int(self.moving)], dtype=np.int64),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.state.restore(saved)
        self.members = self.state.size
        self.row, self.told = (int(v) for v in saved["counts"][:2])
        self.moving = bool(saved["counts"][2])

"""Group deviation: how far sensors that belong together are from what they usually are, each by itself and given the others.

Every member's short mean is judged twice: against its own level (:mod:`detectors.short_means`), and against what the others
make of it: with ``K`` the shrunk correlation of the deviations, ``(K⁻¹ z)ᵢ / √(K⁻¹)ᵢᵢ`` is what is left of member i when the
others have predicted it, in its own usual size. The group's deviation is the largest of these numbers. One sensor that
leaves is thus not diluted by thirty that stay, and a flow that falls while the pressure that always fell with it stays is seen.

An *episode* opens when the deviation passes the threshold, or ``tail`` times what one vector in a hundred exceeds where that
is more. While it is open nothing is learned. It ends when the deviation is small again; or small beside what it was and
steady (the pump runs again, though a little warmer: the rest is adopted); or after ``adopt_after`` vectors, when the new
regime is taken for normal on purpose.

Members may be missing, join and leave; nothing starts over. Cost: about 0.2 ms a vector, 1 kB a member.

Sources: Hotelling, *Multivariate Quality Control*, 1947; Ledoit and Wolf, *A well-conditioned estimator for large-dimensional
covariance matrices*, 2004 (shrinking); Hawkins, *Multivariate quality control based on regression-adjusted variables*, 1991
(each variable given the others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from detectors.base import Params, Snapshot
from detectors.short_means import ShortMeans
from detectors.window_change import WindowChange, WindowChangeParams
from streams.batch import Bool, Float64

#: Vectors between two inversions: 0.1 ms each, and ten vectors of hundreds move a correlation little.
_REFIT = 10
_CLIP = 4.0
#: Largest deviation, in thresholds, that is told while no episode is open: rules clear between it and 1.
_BELOW = 0.99
#: One vector in a hundred exceeds the tail; it moves by so much of itself at most.
_TAIL_SHARE, _TAIL_STEP, _TAIL_START = 0.01, 0.005, 2.0


class GroupDeviationParams(Params, frozen=True):
    """All counts are vectors (rounds of the group). ``short``: in a short mean. ``level``, ``memory``: until what was learned
    of levels, of usual sizes and correlations has faded to a third. ``warmup``: a member is not judged before.

    ``threshold`` and ``release``: usual sizes; an episode opens beyond the first and ends within the second. ``back``: share of
    its largest deviation within which a steady group counts as back. ``tail``: see above. ``doubt``: rows that a member must
    have shown, per unit of inertia, for its deviation to count in full less a third. ``shrink``: weight of no correlation.
    """

    short: Annotated[int, Meta(ge=3, le=64)] = 12
    level: Annotated[float, Meta(ge=20)] = 400.0
    memory: Annotated[float, Meta(ge=50)] = 1000.0
    warmup: Annotated[int, Meta(ge=16)] = 60
    threshold: Annotated[float, Meta(gt=1)] = 4.0
    release: Annotated[float, Meta(gt=0)] = 2.7
    back: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    tail: Annotated[float, Meta(ge=0)] = 1.5
    doubt: Annotated[float, Meta(ge=0)] = 70.0
    shrink: Annotated[float, Meta(gt=0, le=1)] = 0.2
    adopt_after: Annotated[int, Meta(ge=20)] = 600
    change: WindowChangeParams = WindowChangeParams()

    def __post_init__(self) -> None:
        if self.release >= self.threshold:
            raise ValueError("release must be below threshold")


@dataclass(slots=True)
class GroupVerdict:
    """What is said of one vector.

    ``deviation`` is in thresholds: 1 or more exactly while an episode is open. ``score`` is deviation / (1 + deviation): in
    [0, 1], 0.5 at the threshold. ``carriers`` are the members that carry the deviation, the strongest first. ``change``: a
    change point is told at this vector. ``since``: time (ms) of the first vector of the episode.
    """

    deviation: float = 0.0
    score: float = 0.0
    flag: bool = False
    carriers: list[str] = field(default_factory=list)
    change: bool = False
    since: int | None = None


class GroupDeviation:
    """One group. Pure: vectors in, verdicts out; no clock.

    >>> pump = GroupDeviation(["flow", "pressure"])
    >>> for i in range(300):
    ...     verdict = pump.step(i * 1000, np.array([10 + i % 3, 0.3 + 0.01 * (i % 2)]), known_good=True)
    >>> for i in range(300, 330):
    ...     verdict = pump.step(i * 1000, np.array([4 + i % 3, 0.3 + 0.01 * (i % 2)]))
    >>> verdict.flag, verdict.carriers
    (True, ['flow'])
    """

    def __init__(self, names: Sequence[str], params: GroupDeviationParams | None = None) -> None:
        self.params = params = params or GroupDeviationParams()
        self.names: list[str] = []
        kept = max(params.short + 1, params.change.rows)
        self.means = ShortMeans(params.short, kept, params.level, params.memory, params.doubt)
        self.change = WindowChange(params.change)
        self.together: Float64 = np.zeros((0, 0))
        self.inverse: Float64 = np.zeros((0, 0))
        #: Usual size, squared, of what is left of each member when the others have predicted it.
        self.rest: Float64 = np.zeros(0)
        self.vectors = self.learned = self.open_for = 0
        self.peak, self.tail, self.since = 0.0, _TAIL_START, 0
        #: Members that carried the open episode when they were last heard.
        self.carrying: Bool = np.zeros(0, dtype=np.bool_)
        #: Of the last vector, in usual sizes: each member by itself, and the larger of that and given the others.
        self.own: Float64 = np.zeros(0)
        self.away: Float64 = np.zeros(0)
        for name in names:
            self.join(name)

    def join(self, name: str) -> int:
        """A new member; its place. What is known of the others stays."""
        self.names.append(name)
        n = len(self.names)
        self.means.grow(n)
        self.change.grow(n)
        self.together = _wider(self.together, 0.0)
        self.inverse = _wider(self.inverse, 1.0)
        self.rest, self.carrying = np.append(self.rest, 1.0), np.append(self.carrying, False)
        self.own, self.away = np.append(self.own, 0.0), np.append(self.away, 0.0)
        return n - 1

    def step(self, ts: int, values: Float64, known_good: bool = False) -> GroupVerdict:
        """One vector, NaN where a member says nothing. ``known_good``: it is learned and not judged."""
        params, means = self.params, self.means
        values = np.asarray(values, dtype=np.float64)
        here = np.isfinite(values)
        means.hear(values, here, frozen=self.open_for > 0)
        z = means.deviation()
        ready = means.whole() & (means.state["learned"][: means.members] >= params.warmup)
        left = self.inverse @ z / np.sqrt(np.diagonal(self.inverse))
        doubt = means.doubt()
        self.own = np.where(ready, np.abs(z), 0.0) / doubt
        given = np.where(ready, np.abs(left) / np.maximum(np.sqrt(self.rest), 0.5), 0.0) / doubt
        self.away = np.maximum(self.own, given)
        size = float(self.away.max(initial=0.0))
        bound = max(params.threshold, params.tail * self.tail)
        was_open = self.open_for > 0
        if not known_good:
            self._open_or_close(ts, size, bound)
            self.carrying = (self.open_for > 0) & np.where(here, self.away >= params.release, self.carrying)
        is_open = self.open_for > 0
        told = self.change.step(means, is_open, is_open != was_open, known_good)
        if not is_open and not was_open:
            self._learn(z, left, size)
        self.vectors += 1
        if self.vectors % _REFIT == 0:
            self._refit()
        return self._verdict(size / bound, is_open, told, known_good)

    def _open_or_close(self, ts: int, size: float, bound: float) -> None:
        params = self.params
        if self.open_for == 0:
            if size > bound:
                self.open_for, self.peak, self.since = 1, size, ts
            return
        self.open_for += 1
        self.peak = max(self.peak, size)
        # No data is never normal: who carried the episode must be heard before it can be over.
        heard = bool(self.means.whole()[self.carrying].all())
        small = heard and size < params.release
        back = heard and size < params.back * self.peak and self._steady()
        if small or back or self.open_for > params.adopt_after:
            self.open_for, self.peak = 0, 0.0
            if not small:
                # What is left of the deviation is the new normal; it is learned as quickly as after two short means.
                self.means.anchor(self.means.whole(), 2 * params.short)

    def _steady(self) -> bool:
        """The two halves of the short means agree: nothing is on its way."""
        half = self.params.short // 2
        rows, whole, usual = self.means.state["rows"][: self.means.members], self.means.whole(), self.means.usual()
        moved = rows[:, -half:].mean(axis=1) - rows[:, -self.params.short : -half].mean(axis=1)
        judged = whole & (usual > 0)
        if not judged.any():
            return True
        return bool(np.mean(np.minimum((moved[judged] / usual[judged]) ** 2, 1e12)) < 2.25)

    def _learn(self, z: Float64, left: Float64, size: float) -> None:
        params, means = self.params, self.means
        whole = means.whole()
        means.learn(whole)
        weight = 1 / min(self.learned + 1, params.memory)
        clipped = np.minimum(np.maximum(z, -_CLIP), _CLIP)
        both = np.outer(whole, whole)
        self.together = np.where(both, self.together + weight * (np.outer(clipped, clipped) - self.together), self.together)
        # At first there is no usual size to clip by; a rest of nothing would never grow again.
        most = _CLIP * _CLIP * np.maximum(self.rest, 1.0)
        squared = np.minimum(left * left, most if self.learned > params.warmup else np.inf)
        self.rest = np.where(whole, self.rest + weight * (squared - self.rest), self.rest)
        if self.learned > params.warmup:
            step = max(0.5 / self.learned, _TAIL_STEP)
            self.tail *= 1 + step * ((1 - _TAIL_SHARE) if size > self.tail else -_TAIL_SHARE)
        if whole.any():
            self.learned += 1

    def _refit(self) -> None:
        spread = np.sqrt(np.diagonal(self.together))
        seen = spread > 1e-6
        spread = np.where(seen, spread, 1.0)
        correlation = np.where(np.outer(seen, seen), self.together / np.outer(spread, spread), 0.0)
        np.fill_diagonal(correlation, 1.0)
        shrunk = (1 - self.params.shrink) * correlation + self.params.shrink * np.eye(len(spread))
        self.inverse = np.asarray(np.linalg.inv(_definite(shrunk, self.params.shrink)), dtype=np.float64)

    def _verdict(self, deviation: float, is_open: bool, told: bool, known_good: bool) -> GroupVerdict:
        if known_good:
            return GroupVerdict()
        deviation = max(deviation, 1.0) if is_open else min(deviation, _BELOW)
        verdict = GroupVerdict(deviation, deviation / (1 + deviation), is_open, change=told)
        if is_open:
            verdict.since = self.since
            verdict.carriers = [self.names[i] for i in self.carriers()]
        return verdict

    def carriers(self) -> list[int]:
        """Places of the members whose deviation is at least half of the largest, the strongest first.

        Who deviates by himself carries it; only where nobody does, those who do not fit the others: of a pair that moved
        together either fits the other no more, whichever of them has left.
        """
        away = self.own if self.own.max(initial=0.0) >= self.params.release else self.away
        order = np.argsort(-away, kind="stable")
        least = away[order[0]] / 2 if len(order) else 0.0
        return [i for i in order.tolist() if away[i] >= least]

    def replace(self, place: int, name: str) -> None:
        """Another member takes a place; nothing of the old one is kept."""
        self.names[place] = name
        at = np.array([place])
        self.means.state.forget(at)
        self.change.state.forget(at)
        self.together[place, :] = self.together[:, place] = 0.0
        self.inverse[place, :] = self.inverse[:, place] = 0.0
        self.inverse[place, place] = self.rest[place] = 1.0
        self.carrying[place] = False

    def words(self, place: int) -> str:
        """A member's short mean beside what is usual."""
        means = self.means
        level, usual = means.state["level"][place], means.usual()[place] * means.doubt()[place]
        return f"{self.names[place]} {means.mean()[place]:.4g} (usual {level:.4g} ± {2 * usual:.2g})"

    def snapshot(self) -> Snapshot:
        """Names and arrays; :meth:`restore` of them goes on exactly. Array sizes follow from the number of members."""
        return {
            "names": list(self.names),
            **{f"means_{name}": array for name, array in self.means.snapshot().items()},
            **{f"change_{name}": array for name, array in self.change.snapshot().items()},
            "together": self.together.copy(),
            "inverse": self.inverse.copy(),
            "rest": self.rest.copy(),
            "carrying": self.carrying.copy(),
            "counts": np.array([self.vectors, self.learned, self.open_for, self.since], dtype=np.int64),
            "sizes": np.array([self.peak, self.tail]),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.names = list(saved["names"])
        n = len(self.names)
        self.means.restore({name[6:]: part for name, part in saved.items() if name.startswith("means_")})
        self.change.restore({name[7:]: part for name, part in saved.items() if name.startswith("change_")})
        self.together = np.array(saved["together"], dtype=np.float64).reshape(n, n)
        self.inverse = np.array(saved["inverse"], dtype=np.float64).reshape(n, n)
        self.rest = np.array(saved["rest"], dtype=np.float64)
        self.carrying = np.array(saved["carrying"], dtype=np.bool_)
        self.own, self.away = np.zeros(n), np.zeros(n)
        self.vectors, self.learned, self.open_for, self.since = (int(v) for v in saved["counts"])
        self.peak, self.tail = (float(v) for v in saved["sizes"])


def _wider(square: Float64, corner: float) -> Float64:
    n = len(square)
    out = np.zeros((n + 1, n + 1))
    out[:n, :n] = square
    out[n, n] = corner
    return out


def _definite(shrunk: Float64, least: float) -> Float64:
    """A correlation matrix shrunk by ``least`` has no eigenvalue below it, unless its pairs were learned in different spans
    (members that come, go and fall silent): then what is below is raised, or a conditional variance might be negative."""
    values, vectors = np.linalg.eigh(shrunk)
    if values[0] >= least / 2:
        return shrunk
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T, dtype=np.float64)

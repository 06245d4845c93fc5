"""Scoring: one series, or one group of series, row by row through a detector as the worker would show it.

What ``citywatch score`` does to a table, without the table: a row in, a :class:`Verdict` out, and no row's verdict depends on
a later row. The detector is any registered one that gives a score; the flag is raised from 0.5 on, where the detector itself
would flag (:class:`detectors.base.Measures`).

Rows come in the order in which they arrived. A row whose time is older than one before it is judged when it came, at the
newest time seen so far, for no detector sees its series run backwards (D8). Where a clock was set back for good, time goes on
in steps of whole weeks: the hour of the day and the day of the week are what rhythms are learned by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from detectors.base import Detector, Params, registered
from detectors.series import Series
from detectors.toml_form import mistakes, nearest
from streams.batch import Batch
from streams.errors import Mend
from streams.records import Reading

#: Detector of a single series; the one constant to change.
DEFAULT_DETECTOR = "unusual"
FLAG_AT = 0.5

_WEEK_MS = 7 * 86_400_000
_DAY_MS = 86_400_000
#: So many rows running, all more than a day behind, are no disorder: the clock was set back.
_SET_BACK_ROWS = 20


@dataclass(slots=True, frozen=True)
class Verdict:
    """``score`` 0 to 1 (0 while the detector says nothing); ``carriers`` and ``change`` only of a group."""

    score: float = 0.0
    flag: bool = False
    carriers: tuple[str, ...] = ()
    change: bool = False


class Scorer(ABC):
    """Takes the rows of one table in their order: ``ts`` in epoch ms, one value per column, NaN where there is none."""

    @property
    @abstractmethod
    def disordered(self) -> int:
        """Rows that were older than one before them and were judged as if they were not."""

    @abstractmethod
    def step(self, ts: int, values: Sequence[float], known_good: bool = False) -> Verdict:
        """What is said of one row. ``known_good``: it is learned and not judged."""

    def run(self, rows: Sequence[tuple[int, Sequence[float]]], known_good: bool = False) -> list[Verdict]:
        """:meth:`step` for row after row; some take many at once, and quicker."""
        return [self.step(ts, values, known_good) for ts, values in rows]


class OnwardTime:
    """Event time that never runs backwards.

    >>> onward = OnwardTime()
    >>> [onward.shown(ts) for ts in (1000, 3000, 2000, 4000)], onward.disordered
    ([1000, 3000, 3000, 4000], 1)
    """

    def __init__(self) -> None:
        self._newest: int | None = None
        self._shift = 0
        self._behind = 0
        self.disordered = 0

    def shown(self, ts: int) -> int:
        ts += self._shift
        if self._newest is None or ts >= self._newest:
            self._newest, self._behind = ts, 0
            return ts
        self.disordered += 1
        self._behind = self._behind + 1 if self._newest - ts > _DAY_MS else 0
        if self._behind >= _SET_BACK_ROWS:
            weeks = -(-(self._newest - ts) // _WEEK_MS) * _WEEK_MS
            self._shift, self._behind = self._shift + weeks, 0
            self._newest = ts + weeks
        return self._newest


class DetectorScorer(Scorer):
    """Any registered detector over one series, or over the members of one group.

    Raises :class:`Mend` where the detector is unknown, does not take the settings, or gives no score.
    """

    def __init__(
        self, columns: Sequence[str], detector: str = DEFAULT_DETECTOR, settings: Mapping[str, Any] | None = None
    ) -> None:
        kind, params = _chosen(detector, settings or {}, grouped=len(columns) > 1)
        self._columns = list(columns)
        self._stream = "sensor" if len(columns) == 1 else "group"
        self._detector = _built(kind, params, self._stream, columns[0] if len(columns) == 1 else "group")
        if not _gives_score(kind, params, self._stream):
            raise Mend(
                f"{detector} measures and gives no score", "--detector", f"use one that does: {', '.join(scored(self._stream))}"
            )
        self._time = OnwardTime()
        self._ticks = kind.due is not Detector.due
        #: Rows of one series may be shown together, and nothing happens between them.
        self._joins = kind.repeats and not self._ticks and len(columns) == 1

    @property
    def disordered(self) -> int:
        return self._time.disordered

    def step(self, ts: int, values: Sequence[float], known_good: bool = False) -> Verdict:
        at = self._time.shown(ts)
        if self._ticks:
            self._pass_time(at)
        verdict = Verdict()
        for name, value in zip(self._columns, values, strict=True):
            if value != value:
                continue
            if known_good:
                self._detector.teach(self._batch(at, value, name))
                continue
            told = self._detector.measure(self._batch(at, value, name))
            score = float(told.score[0]) if told.score is not None else float("nan")
            if score == score:
                verdict = _verdict(score)
                if verdict.flag and told.carriers is not None:
                    verdict = replace(verdict, carriers=tuple(told.carriers(0)))
        return verdict

    def run(self, rows: Sequence[tuple[int, Sequence[float]]], known_good: bool = False) -> list[Verdict]:
        if not self._joins:
            return super().run(rows, known_good)
        found = [Verdict()] * len(rows)
        at = [self._time.shown(ts) for ts, _ in rows]
        there = [i for i, (_, (value,)) in enumerate(rows) if value == value]
        if not there:
            return found
        batch = readings(self._stream, [at[i] for i in there], [rows[i][1][0] for i in there], self._columns[0])
        if known_good:
            self._detector.teach(batch)
            return found
        told = self._detector.measure(batch)
        if told.score is not None:
            for i, score in zip(there, told.score.tolist(), strict=True):
                if score == score:
                    found[i] = _verdict(score)
        return found

    def _pass_time(self, now: int) -> None:
        due = self._detector.due()
        if due is not None and due <= now:
            self._detector.tick(now // 1000 * 1000)

    def _batch(self, ts: int, value: float, name: str) -> Batch:
        return readings(self._stream, [ts], [value], name)


def _verdict(score: float) -> Verdict:
    return Verdict(min(max(score, 0.0), 1.0), score >= FLAG_AT)


def readings(stream: str, ts: Sequence[int], value: Sequence[float], name: str) -> Batch:
    """A batch of readings of the only slot."""
    at, zero = np.array(ts, dtype=np.int64), np.zeros(len(ts), dtype=np.int32)
    never, columns = np.zeros(len(ts), dtype=np.bool_), {"value": np.array(value, dtype=np.float64)}
    records = [Reading(name, moment, "value", one) for moment, one in zip(ts, value, strict=True)]
    return Batch(stream, zero, at, at, at, zero, never, records, columns)


def scored(stream: str = "sensor") -> list[str]:
    """Names of the registered detectors that give a score to a reading of the stream without further settings."""
    found = []
    for name, kind in sorted(registered().items()):
        if (
            stream in kind.streams
            and not kind.of_stream
            and not mistakes({}, kind.Params)
            and _gives_score(kind, kind.Params(), stream)
        ):
            found.append(name)
    return found


def _gives_score(kind: type[Detector[Any]], params: Params, stream: str) -> bool:
    """Shown a reading, and thrown away."""
    return _built(kind, params, stream, "probe").measure(readings(stream, [0], [0.0], "probe")).score is not None


def _built(kind: type[Detector[Any]], params: Params, stream: str, name: str) -> Detector[Any]:
    detector = kind(params, [Series(name, "value", stream=stream)])
    detector.grow(1)
    detector.changed([0])
    return detector


def _chosen(name: str, settings: Mapping[str, Any], grouped: bool) -> tuple[type[Detector[Any]], Params]:
    kinds = registered()
    kind = kinds.get(name)
    if kind is None:
        raise Mend(f"no detector {name!r}", "--detector", nearest(name, kinds))
    stream = "group" if grouped else "sensor"
    if stream not in kind.streams or kind.of_stream:
        able = sorted(other for other, one in kinds.items() if stream in one.streams and not one.of_stream)
        raise Mend(
            f"{name} does not judge {'groups' if grouped else 'single series'}",
            "--detector",
            f"those that do: {', '.join(able)}",
        )
    for place, what, mend in mistakes(dict(settings), kind.Params):
        raise Mend(f"{name}: {place}: {what}", "--set", mend)
    try:
        return kind, msgspec.convert(dict(settings), kind.Params)
    except (msgspec.ValidationError, ValueError) as error:
        raise Mend(
            f"{name} does not take its settings: {error}", "--set", "see the detector's page in docs/detectors.md"
        ) from error

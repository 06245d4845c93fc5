"""Scoring the columns of a table: one is a series, several are a group whose vector is the row (detectors.group_deviation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from detectors.group_deviation import GroupDeviation, GroupDeviationParams
from detectors.scoring import DEFAULT_DETECTOR, DetectorScorer, Scorer, Verdict
from detectors.toml_form import mistakes
from streams.errors import Mend


class GroupScorer(Scorer):
    """The group detector behind the interface of :class:`detectors.scoring.Scorer`; it takes older rows as they come."""

    def __init__(self, columns: Sequence[str], settings: Mapping[str, Any]) -> None:
        for place, what, mend in mistakes(dict(settings), GroupDeviationParams):
            raise Mend(f"{place}: {what}", "--set", mend)
        try:
            params = msgspec.convert(dict(settings), GroupDeviationParams)
        except (msgspec.ValidationError, ValueError) as error:
            raise Mend(f"the group detector does not take its settings: {error}", "--set", "see docs/detectors.md") from error
        self._deviation = GroupDeviation(list(columns), params)

    @property
    def disordered(self) -> int:
        return 0

    def step(self, ts: int, values: Sequence[float], known_good: bool = False) -> Verdict:
        told = self._deviation.step(ts, np.array(values, dtype=np.float64), known_good=known_good)
        return Verdict(float(told.score), bool(told.flag), tuple(told.carriers), bool(told.change))


def scorer_of(columns: Sequence[str], detector: str | None = None, settings: Mapping[str, Any] | None = None) -> Scorer:
    """The scorer of one column, or of several as a group, by the detector of that name or the default one.

    Raises :class:`Mend` as :class:`detectors.scoring.DetectorScorer` does.
    """
    if detector is None and len(columns) > 1:
        return GroupScorer(columns, settings or {})
    return DetectorScorer(columns, detector or DEFAULT_DETECTOR, settings)

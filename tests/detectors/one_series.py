"""A series of values shown to a detector one row at a time: the simplest fixture of the detector tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from detectors.base import Detector, Measures, registered
from detectors.series import Series
from streams.batch import Batch
from streams.records import Reading

START = 1_700_000_000_000


class OneSeries:
    def __init__(self, name: str, series: Series | None = None, **params: Any) -> None:
        detector = registered()[name]
        self.series = [series or Series("s", "m")]
        self.detector: Detector[Any] = detector(detector.Params(**params), self.series)
        self.detector.grow(1)
        self.detector.changed([0])

    def row(self, value: float, at_s: float, arrives_s: float | None = None, member: str = "s") -> Measures:
        ts = START + round(at_s * 1000)
        arrival = ts if arrives_s is None else START + round(arrives_s * 1000)
        one = np.zeros(1, dtype=np.int32)
        batch = Batch(
            "sensor",
            one,
            np.array([ts]),
            np.array([arrival]),
            np.zeros(1, dtype=np.int64),
            one,
            np.zeros(1, dtype=np.bool_),
            [Reading(member, ts, "m", value)],
            {"value": np.array([value])},
        )
        return self.detector.measure(batch)

    def measures(self, series: Iterable[tuple[float, float]]) -> list[float]:
        """Measures of ``(at_s, value)`` pairs."""
        return [float(self.row(value, at).measure[0]) for at, value in series]

    def tick(self, at_s: float) -> list[float] | None:
        told = self.detector.tick(START + round(at_s * 1000))
        return None if told is None else told.measure.tolist()

    def due_s(self) -> float | None:
        due = self.detector.due()
        return None if due is None else (due - START) / 1000

"""Threshold: the measure is the value itself, to be judged by fixed bounds or by the limits of the asset.

Use it where a standard gives a number (20 %LEL, 15 cm of water, 0.14 MPa) and for anything that is already a finding
(the confidence of a video event). Do not use it where "normal" differs from series to series: :mod:`detectors.robust_z`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from detectors.base import Detector, Measures, Params, register
from streams.batch import Batch


class ThresholdParams(Params, frozen=True):
    """``column`` names the field that is measured; a row without it (an absent optional value) says nothing."""

    column: Literal["value", "speed_kmh", "heading_deg", "accuracy_m", "confidence", "count"] = "value"


@register
class Threshold(Detector[ThresholdParams]):
    """Measure: the value, in the metric's canonical unit.

    >>> import numpy as np
    >>> from detectors.base import Series
    >>> detector = Threshold(ThresholdParams(), [Series("GAS-1", "ch4")]); detector.grow(1)
    >>> one = np.ones(1, dtype=np.int64)
    >>> row = Batch("sensor", one.astype(np.int32) * 0, one, one, one, one.astype(np.int32), one > 1, [None],
    ...             {"value": np.array([22.0])})
    >>> detector.measure(row).measure.tolist()
    [22.0]
    """

    name: ClassVar[str] = "threshold"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor", "group", "vehicle", "video"})
    Params: ClassVar[type[Params]] = ThresholdParams
    signed: ClassVar[bool] = True

    def measure(self, batch: Batch) -> Measures:
        column = batch.columns.get(self.params.column)
        if column is None:
            column = np.full(len(batch), np.nan)
        return Measures(column)

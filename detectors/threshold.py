"""Threshold: the measure is the value itself, to be judged by fixed bounds or by the limits of the asset.

Use it where a standard gives a number (20 %LEL, 15 cm of water, 0.14 MPa) and for anything that is already a finding
(the confidence of a video event). A limit that
holds by night only has a daily window. Do not use it where "normal" differs from series to series: :mod:`detectors.robust_z`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from detectors.base import Detector, Measures, Params, register
from detectors.daily import daily_window, in_daily
from detectors.series import Series
from streams.batch import Batch


class ThresholdParams(Params, frozen=True):
    """``column`` names the field that is measured; a row without it (an absent optional value) says nothing."""

    column: Literal["value", "speed_kmh", "heading_deg", "accuracy_m", "confidence", "count"] = "value"
    #: Times of day ("22:00", local, +08:00) between which the value is measured; it may cross midnight.
    daily_from: str | None = None
    daily_to: str | None = None
    #: What is measured at other times, so that an alarm ends with its window; needed with one.
    outside: float | None = None

    def __post_init__(self) -> None:
        daily_window(self.daily_from, self.daily_to)
        windowed = self.daily_from is not None or self.daily_to is not None
        if windowed != (self.outside is not None):
            raise ValueError("`daily_from`/`daily_to` and `outside` go together: name what is measured outside the window")


@register
class Threshold(Detector[ThresholdParams]):
    """Measure: the value, in the metric's canonical unit.

    >>> import numpy as np
    >>> from detectors.series import Series
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
    repeats: ClassVar[bool] = True

    def __init__(self, params: ThresholdParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._window = daily_window(params.daily_from, params.daily_to)

    def measure(self, batch: Batch) -> Measures:
        column = batch.columns.get(self.params.column)
        if column is None:
            column = np.full(len(batch), np.nan)
        if self._window is not None:
            assert self.params.outside is not None
            within = in_daily(self._window, batch.ts)
            column = np.where(within | np.isnan(column), column, self.params.outside)
        return Measures(column)

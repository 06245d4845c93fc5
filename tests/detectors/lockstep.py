"""Several series shown to one detector side by side, row k of each in one batch: quick, and how a shard sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Measures, registered
from detectors.series import Series
from streams.batch import Batch
from tests.detectors.one_series import START

Values = NDArray[np.float64]


class Lockstep:
    """``values``: one array per series, all of one length; ``times`` in seconds, one array for all or one for each."""

    def __init__(self, name: str, values: Sequence[Values], times: Values | Sequence[Values], **params: Any) -> None:
        kind = registered()[name]
        count = len(values)
        self.detector = kind(kind.Params(**params), [Series(f"s{i}", "m") for i in range(count)])
        self.detector.grow(count)
        self.detector.changed(range(count))
        self._values = np.stack(values, axis=1)
        at = np.stack(times, axis=1) if not isinstance(times, np.ndarray) else np.repeat(times[:, None], count, axis=1)
        self._ts = START + np.round(at * 1000).astype(np.int64)
        self.rows: list[Measures] = [self._show(k) for k in range(len(self._values))]

    def _show(self, k: int) -> Measures:
        ts, zero = self._ts[k], np.zeros(len(self._values[k]), dtype=np.int32)
        slot = np.arange(len(zero), dtype=np.int32)
        batch = Batch("sensor", slot, ts, ts, ts * 0, zero, zero > 0, [None] * len(zero), {"value": self._values[k]})
        return self.detector.measure(batch)

    @property
    def scores(self) -> Values:
        """(rows, series)."""
        return np.stack([row.score for row in self.rows if row.score is not None])

    @property
    def measures(self) -> Values:
        return np.stack([row.measure for row in self.rows])

    @property
    def expected(self) -> Values:
        return np.stack([row.expected for row in self.rows if row.expected is not None])

    def told(self, series: int = 0) -> list[int]:
        """Rows whose score reaches the detector's own threshold."""
        return np.flatnonzero(self.scores[:, series] >= 0.5).tolist()

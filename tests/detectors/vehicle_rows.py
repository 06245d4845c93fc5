"""Small vehicle batches for the tests of detectors: fixes of one vehicle one after the other, or of many at once."""

from types import SimpleNamespace

import numpy as np

from detectors.base import Detector
from detectors.series import Series
from streams.batch import Batch, rounds

#: 2023-11-15 00:00:00 +08:00.
MIDNIGHT = 1_699_977_600_000
HOUR = 3_600_000
FIELDS = ("lat", "lon", "speed_kmh", "accuracy_m", "alarm_bits", "status_bits", "load", "lid", "hopper", "heading_deg")


def batch(fixes: list[dict], stream: str = "vehicle") -> Batch:
    """Rows of ``slot`` (0), ``ts`` in seconds after midnight, ``kind`` and any column; what is absent is NaN."""
    ts = np.array([MIDNIGHT + int(fix["ts"] * 1000) for fix in fixes], dtype=np.int64)
    n = len(fixes)
    return Batch(
        stream,
        np.array([fix.get("slot", 0) for fix in fixes], dtype=np.int32),
        ts,
        ts.copy(),
        np.arange(n, dtype=np.int64),
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=bool),
        [SimpleNamespace(kind=fix.get("kind", "muck_truck")) for fix in fixes],
        {name: np.array([fix.get(name, np.nan) for fix in fixes], dtype=np.float64) for name in FIELDS},
    )


def measures(detector: Detector, fixes: list[dict]) -> list[float]:
    """The detector's measure of every fix, shown in rounds as the rule runner does."""
    whole = batch(fixes)
    detector.grow(len(detector.series))
    found = np.full(len(whole), np.nan)
    for rows in rounds(whole.slot):
        found[rows] = detector.measure(whole.take(rows)).measure
    return found.tolist()


def truck(**facts: object) -> Series:
    return Series("T1", stream="vehicle", registered=True, kind="muck_truck", **facts)

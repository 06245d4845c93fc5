"""What the detectors of vehicles ask of a batch of fixes: is it positioned, of this kind, loaded, slow?

Columns that are absent count as "not known" (NaN). JT/T 808 status bit 1 is 0 while the terminal has no fix; the position it
sends then is the last one, or nonsense (domain.md B4, B6).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from detectors.series import Series
from streams.batch import Batch, Bool, Float64

STATUS_POSITIONED = 1
LOAD_EMPTY, LOAD_HALF = 0.0, 1.0
#: Bits stand in an unsigned 32-bit word; what is not such a number has no bits.
WORD = 2.0**32


def column(batch: Batch, name: str) -> Float64:
    """The column, NaN throughout if the batch has none of that name."""
    found = batch.columns.get(name)
    return np.full(len(batch), np.nan) if found is None else found


def words(values: Float64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Bit words as integers; 0 for NaN and for what is no unsigned 32-bit number."""
    good = (values >= 0) & (values < WORD)
    return np.where(good, values, 0.0).astype(np.int64)


def positioned(batch: Batch, max_accuracy_m: float | None = None) -> Bool:
    """Rows whose position may be believed: on the globe, with a fix, accurate enough where an accuracy is given."""
    lat, lon, status = column(batch, "lat"), column(batch, "lon"), column(batch, "status_bits")
    good = (np.abs(lat) <= 90) & (np.abs(lon) <= 180)
    good &= np.isnan(status) | ((words(status) >> STATUS_POSITIONED) & 1 == 1)
    if max_accuracy_m is not None:
        good &= ~(column(batch, "accuracy_m") > max_accuracy_m)
    return good


def of_kinds(batch: Batch, series: Sequence[Series], kinds: Collection[str]) -> Bool:
    """Rows of vehicles of these kinds, by the registry or else by the record; all rows if no kind is named."""
    if not kinds:
        return np.ones(len(batch), dtype=np.bool_)
    return np.fromiter(
        (
            (series[slot].kind or getattr(record, "kind", None)) in kinds
            for slot, record in zip(batch.slot.tolist(), batch.records, strict=True)
        ),
        dtype=np.bool_,
        count=len(batch),
    )

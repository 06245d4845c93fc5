"""What makes a row unbelievable by itself: its numbers, its time, its place, its quality flag. Columns of a batch, too.

A check marks rows with the place of its reason in :data:`REASONS`; the first reason found stands.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.batch import Float64, Int64
from streams.row_fields import RowFields

#: Why a row is quarantined; place 0 means it is not.
REASONS: Final = (
    "",
    "not_a_number",
    "bad_quality",
    "future",
    "too_old",
    "zero_coordinate",
    "out_of_range_coordinate",
    "unit_unknown",
    "sentinel",
    "impossible_jump",
)
CODE: Final = {reason: code for code, reason in enumerate(REASONS)}
Codes = NDArray[np.int8]

#: Numeric fields that become columns.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "sensor": ("value", "lat", "lon"),
    "group": ("value", "lat", "lon"),
    "vehicle": ("lat", "lon", "speed_kmh", "heading_deg", "alarm_bits", "status_bits", "accuracy_m"),
    "video": ("confidence", "lat", "lon", "count"),
    "hotline": ("lat", "lon"),
}
#: Quality flags under which a value says nothing of the world (HJ 212: only values flagged N may raise alarms).
BAD_QUALITY: Final = frozenset({"bad", "maintenance", "calibration"})


def columns_of(stream: str, rows: RowFields, codes: Codes) -> dict[str, Float64]:
    """Numeric columns of the rows: absent values are NaN; a NaN or an infinity that was sent marks its row."""
    columns = {}
    for name in COLUMNS[stream]:
        columns[name], wrong = rows.numbers(name)
        if wrong is not None:
            mark(codes, wrong, "not_a_number")
    return columns


def mark(codes: Codes, rows: NDArray[np.bool_], reason: str) -> None:
    """Give the reason to rows that have none yet."""
    # Of a few rows numpy counts the true ones three times as fast as it looks for any.
    if np.count_nonzero(rows):
        codes[rows & (codes == 0)] = CODE[reason]


def check_quality(rows: RowFields, codes: Codes) -> Float64:
    """Marks rows with a bad flag; returns the column ``suspect`` (1.0 where the device itself has doubts)."""
    different = rows.distinct("quality")
    if different & BAD_QUALITY:
        mark(codes, np.array([flag in BAD_QUALITY for flag in rows["quality"]], dtype=np.bool_), "bad_quality")
    if "suspect" in different:
        return np.array([flag == "suspect" for flag in rows["quality"]], dtype=np.float64)
    return np.zeros(len(rows.rows))


def check_time(ts: Int64, arrival: Int64, future_ms: int, too_old_ms: int, codes: Codes) -> None:
    mark(codes, ts > arrival + future_ms, "future")
    mark(codes, ts < arrival - too_old_ms, "too_old")


def check_place(lat: Float64, lon: Float64, codes: Codes) -> None:
    """Exactly (0, 0) is an unset device, not the Gulf of Guinea; half a position is out of range."""
    absent = np.isnan(lat)
    if np.count_nonzero(absent) == len(lat) and np.count_nonzero(np.isnan(lon)) == len(lon):
        return
    mark(codes, (lat == 0) & (lon == 0), "zero_coordinate")
    inside = (np.abs(lat) <= 90) & (np.abs(lon) <= 180)
    mark(codes, ~inside & ~(absent & np.isnan(lon)), "out_of_range_coordinate")


def detail(reason: str, row: Any, ts: int, arrival: int) -> str:
    """One clause for the person who reads the quarantine."""
    if reason in ("future", "too_old"):
        seconds = (ts - arrival) // 1000
        return f"ts lies {abs(seconds)} s {'after' if seconds >= 0 else 'before'} its arrival"
    if reason == "bad_quality":
        return f"quality is {row.quality}"
    if reason == "unit_unknown":
        return (
            f"unit {row.unit!r} does not fit metric {row.metric!r}"
            if row.unit
            else "the registry's unit does not fit the metric"
        )
    if reason == "sentinel":
        return f"{row.value:g} means 'no value' for this device"
    if reason in ("zero_coordinate", "out_of_range_coordinate", "impossible_jump"):
        return f"position {row.lat}, {row.lon}"
    return ""

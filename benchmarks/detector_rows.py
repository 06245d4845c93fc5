"""Ordinary rows of every stream, in batches that hold every entity once, for the cost of detectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from streams.batch import Batch, Float64, Int64
from streams.records import HotlineCall, Reading, VehicleFix, VideoEvent

START = 1_700_000_000_000
TEXTS = ("小区里有煤气味，很浓", "路灯不亮", "manhole cover missing", "没水了 no water", "噪音太大，影响休息", "谢谢")


def batches(stream: str, slots: int, count: int) -> Iterator[Batch]:
    """``count`` batches, ten seconds apart, of one row per entity in random order (a group: one row of one of five members)."""
    rng = np.random.default_rng(1)
    for n in range(count):
        slot = rng.permutation(slots).astype(np.int32)
        ts = np.full(slots, START + n * 10_000, dtype=np.int64)
        zero = np.zeros(slots, dtype=np.int32)
        columns = _columns(stream, slot, n, rng)
        yield Batch(stream, slot, ts, ts, ts, zero, zero > 0, _records(stream, slot, ts, n, columns), columns)


def _columns(stream: str, slot: np.ndarray[Any, Any], n: int, rng: np.random.Generator) -> dict[str, Float64]:
    size = len(slot)
    if stream in ("sensor", "group"):
        return {"value": rng.normal(10.0, 1.0, size).round(3)}
    lat = 31.82 + 0.02 * np.sin(n / 40 + slot)
    lon = 117.22 + 0.02 * np.cos(n / 40 + slot)
    if stream == "vehicle":
        zero, one = np.zeros(size), np.ones(size)
        named = {"alarm_bits": zero, "status_bits": zero, "load": one * (slot % 3), "lid": zero, "hopper": zero}
        return {
            "lat": lat,
            "lon": lon,
            "speed_kmh": 30.0 + rng.normal(0, 5, size),
            "heading_deg": zero,
            "accuracy_m": 5.0 * one,
            **named,
        }
    if stream == "video":
        return {"lat": lat, "lon": lon, "confidence": rng.uniform(0.3, 1.0, size), "count": np.ones(size)}
    return {"lat": lat, "lon": lon}


def _records(stream: str, slot: np.ndarray[Any, Any], ts: Int64, n: int, columns: dict[str, Float64]) -> list[Any]:
    if stream in ("sensor", "group"):
        member = [f"m{n % 5}" if stream == "group" else f"s{i}" for i in slot.tolist()]
        return [Reading(name, int(t), "ch4", float(v)) for name, t, v in zip(member, ts, columns["value"], strict=True)]
    places = zip(slot.tolist(), ts.tolist(), columns["lat"].tolist(), columns["lon"].tolist(), strict=True)
    if stream == "vehicle":
        return [VehicleFix(f"v{i}", t, lat, lon, speed_kmh=30.0) for i, t, lat, lon in places]
    if stream == "video":
        return [VideoEvent(f"e{n}-{i}", f"c{i}", t, "smoke", 0.8, lat, lon) for i, t, lat, lon in places]
    return [
        HotlineCall(f"k{n}-{i}", t, "12345", TEXTS[(i + n) % len(TEXTS)], None, None, lat, lon) for i, t, lat, lon in places
    ]

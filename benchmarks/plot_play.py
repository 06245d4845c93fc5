"""One detector over recorded rows, row by row with its ticks, and what it measured of one entity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from benchmarks.plot_data import Rows
from detectors.base import Detector, registered
from detectors.series import Series
from streams.batch import Batch
from streams.records import HotlineCall, Reading, VehicleFix

_CODES: dict[str, tuple[str, dict[str, float]]] = {
    "load": ("load_state", {"empty": 0.0, "half": 1.0, "full": 2.0}),
    "lid": ("lid_state", {"closed": 0.0, "open": 1.0}),
    "hopper": ("hopper_state", {"down": 0.0, "up": 1.0}),
}
_COLUMNS = ("value", "lat", "lon", "speed_kmh", "heading_deg", "accuracy_m", "alarm_bits", "status_bits", "confidence", "count")


@dataclass
class Told:
    """Times in ms. ``value`` is what the plot shows of a row; ``measure`` is NaN where nothing was said."""

    at: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    said_at: list[int] = field(default_factory=list)
    measure: list[float] = field(default_factory=list)


def play(
    name: str,
    params: Mapping[str, Any],
    rows: Rows,
    show: str | None = None,
    shown: Callable[[Any], float] = lambda record: float(record.value),
    stream: str = "sensor",
    prepare: Callable[[Detector[Any]], None] | None = None,
    **facts: Any,
) -> Told:
    """All rows through a detector; what it said of the entity ``show`` (default: the first one). ``facts`` are the series'."""
    kind = registered()[name]
    series: list[Series] = []
    detector = kind(msgspec.convert(dict(params), kind.Params), series)
    if prepare is not None:
        prepare(detector)
    slots: dict[str, int] = {}
    newest: dict[int, int] = {}
    told = Told()
    tick = 0
    for n, (arrival, record) in enumerate(rows):
        entity = "group" if stream == "group" or kind.of_stream else _entity(record)
        show = show or entity
        if entity not in slots:
            slots[entity] = len(series)
            series.append(Series(entity, stream=stream, **facts))
            detector.grow(len(series))
            detector.changed([slots[entity]])
        tick = _pass_time(detector, tick, arrival, slots.get(show, -1), told)
        slot = slots[entity]
        late = arrival < newest.get(slot, arrival)
        newest[slot] = max(arrival, newest.get(slot, arrival))
        if late and not kind.takes_late:
            continue
        measures = detector.measure(_batch(stream, slot, arrival, n, record, late))
        if entity == show:
            told.at.append(arrival)
            told.value.append(shown(record))
            told.said_at.append(arrival)
            told.measure.append(float(measures.measure[0]))
    return told


def _pass_time(detector: Detector[Any], tick: int, now: int, slot: int, told: Told) -> int:
    while True:
        due = detector.due()
        at = max(-(-due // 1000) * 1000, tick + 1000) if due is not None else None
        if at is None or at > now or (at == 1000 and tick == 0):
            return max(tick, now // 1000 * 1000)
        tick = at
        said = detector.tick(at)
        if said is not None and said.slot is not None:
            for i in np.flatnonzero(said.slot == slot).tolist():
                told.said_at.append(at)
                told.measure.append(float(said.measure[i]))


def _entity(record: Any) -> str:
    if isinstance(record, Reading):
        return record.sensor_id
    if isinstance(record, VehicleFix):
        return record.vehicle_id
    return "calls" if isinstance(record, HotlineCall) else str(record.camera_id)


def _batch(stream: str, slot: int, arrival: int, n: int, record: Any, late: bool) -> Batch:
    at, place = np.array([arrival], dtype=np.int64), np.array([slot], dtype=np.int32)
    columns = {}
    for name in _COLUMNS:
        if hasattr(record, name):
            value = getattr(record, name)
            columns[name] = np.array([np.nan if value is None else float(value)])
    for name, (attribute, codes) in _CODES.items():
        if hasattr(record, attribute):
            columns[name] = np.array([codes.get(getattr(record, attribute), np.nan)])
    zero = np.zeros(1, dtype=np.int32)
    return Batch(stream, place, at, at, np.array([n], dtype=np.int64), zero, np.array([late]), [record], columns)

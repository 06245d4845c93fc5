"""Rows become wire records: one maker per part of the mapping ([[readings]], [vehicle], [video], [call])."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from replay.importer.clock import BASE, Clock, Unreadable
from replay.importer.fields import Cells, NoValue, Row, first_of
from replay.importer.mapping import AssetSpec, CallSpec, Mapping, ReadingSpec, VehicleSpec, VideoSpec
from streams.records import HotlineCall, InputRecord, Reading, VehicleFix, VideoEvent


@dataclass(slots=True, frozen=True)
class Made:
    """One record on its way out: topic without prefix, key, the record, and what the registry shall say of its entity."""

    topic: str
    key: str
    kind: str
    record: InputRecord
    asset: AssetSpec | None


@dataclass(slots=True, frozen=True)
class Skipped:
    """A value of the row that became no record, and why."""

    reason: str


Maker = Callable[[Row, int], Iterator[Made | Skipped]]

_VEHICLE_KINDS = frozenset({"muck_truck", "sanitation", "patrol", "rescue", "bus", "taxi", "ship", "other"})


def makers(mapping: Mapping) -> list[Maker]:
    """Functions of (row, ts) for everything the mapping makes of a row; counters keep their last reading in them."""
    cells = Cells(mapping.source)
    made: list[Maker] = [_Readings(spec, cells).make for spec in mapping.readings]
    if mapping.vehicle is not None:
        made.append(_vehicle(mapping.vehicle, cells))
    if mapping.video is not None:
        made.append(_video(mapping.video, cells))
    if mapping.call is not None:
        made.append(_call(mapping.call, cells))
    return made


class _Readings:
    def __init__(self, spec: ReadingSpec, cells: Cells) -> None:
        self._spec, self._cells = spec, cells
        self._sensor, self._metric = cells.template(spec.sensor), cells.template(spec.metric)
        self._key = cells.template(spec.key) if spec.key is not None else None
        self._lat, self._lon = cells.numeric(spec.lat), cells.numeric(spec.lon)
        self._sentinels = frozenset(spec.asset.sentinels) if spec.asset is not None else frozenset()
        self._pattern = re.compile(spec.columns) if spec.columns is not None else None
        #: Columns of a header (by identity of its names) that match the pattern, with the groups found in each name.
        self._matching: dict[tuple[str, ...], list[tuple[str, dict[str, str]]]] = {}
        self._last: dict[str, tuple[int, float, float | None]] = {}

    def make(self, row: Row, ts: int) -> Iterator[Made | Skipped]:
        if self._pattern is None:
            column = first_of(self._spec.column, row)
            if column is not None:
                yield self._one(row, ts, column)
            return
        header = tuple(row)
        if header not in self._matching:
            found = ((name, self._pattern.search(name)) for name in header)
            self._matching[header] = [(name, match.groupdict()) for name, match in found if match is not None]
        for name, groups in self._matching[header]:
            yield self._one({**row, **groups}, ts, name)

    def _one(self, row: Row, ts: int, column: str) -> Made | Skipped:
        spec = self._spec
        sensor = self._sensor(row)
        if not sensor:
            return Skipped("no_entity")
        try:
            value = self._cells.number(row, column)
            if value not in self._sentinels:
                if spec.counter:
                    value = self._difference(row, ts, sensor, value)
                value = value * spec.scale + spec.offset
        except NoValue as reason:
            return Skipped(str(reason))
        lat, lon = self._lat(row), self._lon(row)
        if lat is None or lon is None:
            lat = lon = None
        record = Reading(sensor, ts, self._metric(row), value, unit=spec.unit, lat=lat, lon=lon)
        return Made("sensor.readings", self._key(row) if self._key else sensor, "sensor", record, spec.asset)

    def _difference(self, row: Row, ts: int, sensor: str, value: float) -> float:
        spec = self._spec
        other = self._cells.number(row, spec.per_counter) if spec.per_counter is not None else None
        before = self._last.get(sensor)
        if before is not None and ts <= before[0]:
            raise NoValue("counter_out_of_order")
        self._last[sensor] = (ts, value, other)
        if before is None:
            raise NoValue("counter_first")
        step = value - before[1]
        if step < 0:
            raise NoValue("counter_reset")
        if other is not None and before[2] is not None:
            per = other - before[2]
            if per <= 0:
                raise NoValue("counter_at_rest")
            return step / per
        return step if spec.per_s is None else step * spec.per_s * 1000 / (ts - before[0])


def _vehicle(spec: VehicleSpec, cells: Cells) -> Maker:
    vehicle, kind = cells.template(spec.vehicle), cells.template(spec.kind)
    lat, lon = cells.numeric(spec.lat), cells.numeric(spec.lon)
    speed, heading, accuracy = (cells.numeric(one) for one in (spec.speed_kmh, spec.heading_deg, spec.accuracy_m))

    def make(row: Row, ts: int) -> Iterator[Made | Skipped]:
        name, y, x = vehicle(row), lat(row), lon(row)
        if not name:
            yield Skipped("no_entity")
        elif y is None or x is None:
            yield Skipped("no_position")
        else:
            what: Any = kind(row)
            fix = VehicleFix(
                name,
                ts,
                y,
                x,
                speed_kmh=speed(row),
                heading_deg=heading(row),
                kind=what if what in _VEHICLE_KINDS else "other",
                accuracy_m=accuracy(row),
            )
            yield Made("vehicle.positions", name, "vehicle", fix, spec.asset)

    return make


def _video(spec: VideoSpec, cells: Cells) -> Maker:
    event, camera, kind = (cells.template(one) for one in (spec.event, spec.camera, spec.kind))
    track = cells.template(spec.track) if spec.track is not None else None
    confidence, count = cells.numeric(spec.confidence), cells.numeric(spec.count)

    def make(row: Row, ts: int) -> Iterator[Made | Skipped]:
        own, name, what, sure = event(row), camera(row), kind(row), confidence(row)
        if not own or not name or not what:
            yield Skipped("no_entity")
            return
        if sure is None or not 0 <= sure <= 1:
            yield Skipped("confidence_unreadable")
            return
        many = count(row)
        try:
            end = _end(spec, row, ts)
        except Unreadable:
            end = None
        record = VideoEvent(
            own,
            name,
            ts,
            spec.kinds.get(what, what),
            sure,
            track_id=(track(row) or None) if track else None,
            count=None if many is None else int(many),
            end_ts=end,
        )
        yield Made("video.events", name, "camera", record, spec.asset)

    return make


def _end(spec: VideoSpec, row: Row, ts: int) -> int | None:
    return None if spec.end is None else Clock.after(row.get(BASE, ts), row, spec.end.column, spec.end.per_second)


def _call(spec: CallSpec, cells: Cells) -> Maker:
    call, line, text = (cells.template(one) for one in (spec.call, spec.line, spec.text))
    category, address, channel = (
        cells.template(one) if one is not None else None for one in (spec.category, spec.address, spec.channel)
    )
    lat, lon = cells.numeric(spec.lat), cells.numeric(spec.lon)

    def make(row: Row, ts: int) -> Iterator[Made | Skipped]:
        own = call(row)
        if not own:
            yield Skipped("no_entity")
            return
        y, x = lat(row), lon(row)
        if y is None or x is None:
            y = x = None
        record = HotlineCall(
            own,
            ts,
            line(row),
            text(row),
            category=(category(row) or None) if category else None,
            address=(address(row) or None) if address else None,
            channel=(channel(row) or None) if channel else None,
            lat=y,
            lon=x,
        )
        yield Made("hotline.calls", own, "call", record, None)

    return make


def wire(record: InputRecord) -> bytes:
    return msgspec.json.encode(record)

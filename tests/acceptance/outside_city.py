"""A city as an outsider would export it: written from the contract and the hazard table alone, nothing of our simulator.

Registries with fields of their own (``site_type``, ``fence``, ``hours``), four coordinate systems, units of the same quantity,
times as text and numbers, arrays behind gateways, maintenance and sentinels, repetitions, late rows and garbage. What must be
found stands in ``truth``; what happens to whom is in :mod:`tests.acceptance.outside_hazards`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from streams.geography import gcj02_to_bd09, wgs84_to_gcj02

MINUTE, HOUR = 60.0, 3600.0
LAT, LON = 31.82, 117.23
EAST_KM, NORTH_KM = 111.32 * math.cos(math.radians(LAT)), 110.9
TOPICS = ("sensor.readings", "vehicle.positions", "video.events", "hotline.calls")
Value = Callable[[float], float]
Spot = tuple[float, float]
#: Units an outsider sends instead, and the factor from the canonical one.
OTHER_UNITS: dict[str, tuple[str, float]] = {
    "ch4": ("%VOL", 0.05),
    "gas_pressure": ("MPa", 0.001),
    "water_pressure": ("mH2O", 1000 / 9.80665),
    "heat_pressure": ("kPa", 1000.0),
    "tank_pressure": ("kPa", 1000.0),
    "drain_level": ("cm", 100.0),
    "river_stage": ("cm", 100.0),
    "ponding_depth": ("m", 0.01),
}


@dataclass
class Sensor:
    """One channel. ``bends``: (from, to, value of time, interval, quality) in place of the normal value."""

    sensor_id: str
    metric: str
    spot: Spot
    interval: float
    normal: Value
    noise: float
    unit: str
    gateway: str | None
    sends: str | None
    factor: float
    bends: list[tuple[float, float, Value, float, str | None]] = field(default_factory=list)
    hushes: list[tuple[float, float]] = field(default_factory=list)

    def bend(self, at: float, minutes: float, value: float | Value, every: float = 60.0, quality: str | None = None) -> None:
        shape = value if callable(value) else lambda t, level=value: level
        self.bends.append((at, at + minutes * MINUTE, shape, every, quality))

    def hush(self, at: float, minutes: float) -> None:
        self.hushes.append((at, at + minutes * MINUTE))


class OutsideCity:
    """``hours`` from eight in the evening, local time. Deterministic by ``seed``."""

    def __init__(self, seed: int, hours: float) -> None:
        self.rng = random.Random(seed)
        begin = datetime(2025, 11, 10, 12, tzinfo=UTC) + timedelta(days=seed % 28)
        self.start, self.end = begin.timestamp(), begin.timestamp() + hours * HOUR
        self.sensors: list[Sensor] = []
        self.registry: list[dict[str, Any]] = []
        self.truth: list[dict[str, Any]] = []
        self.records: dict[str, list[tuple[int, int, str]]] = {name: [] for name in TOPICS}
        self._cells = [(i, j) for i in range(-14, 15) for j in range(-14, 15)]
        self.rng.shuffle(self._cells)
        self._number = 0
        self._style: dict[str, int] = {}

    # --- places and times ---

    def spot(self) -> Spot:
        """East and north in km of a place of its own, at least a kilometre from every other."""
        i, j = self._cells.pop()
        return i * 1.3 + self.rng.uniform(-0.08, 0.08), j * 1.3 + self.rng.uniform(-0.08, 0.08)

    def near(self, spot: Spot, metres: float) -> Spot:
        angle, radius = self.rng.uniform(0, 2 * math.pi), metres / 1000 * math.sqrt(self.rng.random())
        return spot[0] + radius * math.cos(angle), spot[1] + radius * math.sin(angle)

    def place(self, spot: Spot, crs: str = "wgs84") -> dict[str, Any]:
        lat, lon = LAT + spot[1] / NORTH_KM, LON + spot[0] / EAST_KM
        if crs == "gcj02":
            lat, lon = wgs84_to_gcj02(lat, lon)
        elif crs == "bd09":
            lat, lon = gcj02_to_bd09(*wgs84_to_gcj02(lat, lon))
        return {"lat": round(lat, 6), "lon": round(lon, 6)} | ({} if crs == "wgs84" else {"crs": crs})

    def ring(self, spot: Spot, half_km: float) -> dict[str, Any]:
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        where = [self.place((spot[0] + x * half_km, spot[1] + y * half_km)) for x, y in corners]
        return {"type": "Polygon", "coordinates": [[[one["lon"], one["lat"]] for one in where]]}

    def stamp(self, who: str, t: float) -> int | str:
        """Milliseconds, or text of the one or the other zone, as this sender always writes it."""
        style = self._style.setdefault(who, self.rng.choice([0, 0, 0, 1, 2]))
        zone = timezone(timedelta(hours=8)) if style == 1 else UTC
        return int(t) * 1000 if style == 0 else datetime.fromtimestamp(int(t), zone).isoformat()

    @staticmethod
    def hour(t: float) -> float:
        """Local hour of the day."""
        return (t / HOUR + 8) % 24

    # --- the registry ---

    def asset(self, asset_id: str, kind: str, spot: Spot, **facts: Any) -> None:
        crs = self.rng.choices(["wgs84", "gcj02", "bd09"], [8, 1, 1])[0]
        period = {"from": "2025-01-01T00:00:00+08:00", "city": "340100", **self.place(spot, crs)}
        period |= {name: value for name, value in facts.items() if value is not None}
        self.registry.append({"schema_version": 1, "asset_id": asset_id, "kind": kind, "periods": [period]})

    def sensor(
        self,
        code: str,
        metric: str,
        interval: float,
        normal: float | Value,
        noise: float,
        unit: str,
        spot: Spot | None = None,
        gateway: str | None = None,
        report_after: float | None = None,
        **facts: Any,
    ) -> Sensor:
        self._number += 1
        where = spot or self.spot()
        sends, factor = (None, 1.0)
        if metric in OTHER_UNITS and self.rng.random() < 0.4:
            sends, factor = OTHER_UNITS[metric]
        value = normal if callable(normal) else lambda t, level=normal: level
        made = Sensor(f"{code}-{self._number:05d}", metric, where, interval, value, noise, unit, gateway, sends, factor)
        self.sensors.append(made)
        after = report_after or 3 * interval
        self.asset(
            made.sensor_id,
            "sensor",
            where,
            metric=metric,
            unit=unit,
            interval_s=None if report_after else interval,
            report_after_s=after,
            gateway=gateway,
            sentinels=[-9999],
            **facts,
        )
        return made

    # --- records ---

    def put(self, topic: str, record: Any, t: float, delay: float | None = None) -> None:
        arrival = int((t + (self.rng.uniform(0.15, 2.5) if delay is None else delay)) * 1000)
        for row in record if isinstance(record, list) else [record]:
            row["arrival_ts"] = arrival
        rows = self.records[topic]
        rows.append((arrival, len(rows), json.dumps(record, ensure_ascii=False)))
        if self.rng.random() < 0.003:  # sent twice
            rows.append(
                (arrival + 900, len(rows), rows[-1][2].replace(f'"arrival_ts": {arrival}', f'"arrival_ts": {arrival + 900}'))
            )

    def call(self, t: float, text: str, spot: Spot, line: str = "12345", category: str | None = None) -> str:
        self._number += 1
        call_id = f"C{self._number:06d}"
        record = {"call_id": call_id, "ts": self.stamp(call_id, t), "line": line, "text": text}
        record |= {"caller": f"13{self.rng.randrange(10**9):09d}"} | ({"category": category} if category else {})
        self.put("hotline.calls", record | self.place(spot, self.rng.choice(["wgs84", "gcj02"])), t, self.rng.uniform(3, 40))
        return call_id

    def video(self, t: float, camera: str, kind: str, confidence: float) -> None:
        self._number += 1
        record = {"event_id": f"E{self._number:07d}", "camera_id": camera, "ts": self.stamp(camera, t), "kind": kind}
        self.put("video.events", record | {"confidence": round(confidence, 3), "bbox": [0.1, 0.2, 0.5, 0.7]}, t)

    def hazard(
        self, code: str, category: str, spot: Spot, at: float, minutes: float, entities: list[str], radius: float = 250
    ) -> None:
        row = {"hazard_id": f"{code}-{len(self.truth) + 1:03d}", "category": category, **self.place(spot), "radius_m": radius}
        row |= {"from_ts": int(at) * 1000 - 1000, "to_ts": int(at + minutes * MINUTE) * 1000, "level": 3, "note": code}
        self.truth.append(row | {"entities": entities})

    def play(self) -> None:
        """All readings of all sensors; behind a gateway those of one minute travel as one array."""
        behind: dict[tuple[str, int], list[tuple[float, dict[str, Any]]]] = {}
        for sensor in self.sensors:
            for t, record in self._readings(sensor):
                if sensor.gateway is None:
                    late = self.rng.random() < 0.002
                    self.put("sensor.readings", record, t, self.rng.uniform(5, 40) if late else None)
                else:
                    behind.setdefault((sensor.gateway, int(t // MINUTE)), []).append((t, record))
        for rows in behind.values():
            rows.sort(key=lambda row: row[0])
            self.put("sensor.readings", [record for _, record in rows], rows[-1][0])

    def _readings(self, sensor: Sensor) -> list[tuple[float, dict[str, Any]]]:
        rows = []
        t = self.start + self.rng.uniform(0, min(sensor.interval, HOUR))
        while t < self.end:
            bend = next((one for one in sensor.bends if one[0] <= t < one[1]), None)
            ahead = min((one[0] for one in sensor.bends if one[0] > t), default=math.inf)
            noise = max(-3.0, min(3.0, self.rng.gauss(0, 1))) * sensor.noise
            value = sensor.normal(t) + noise if bend is None else bend[2](t) + noise / 8
            if not any(begin <= t < end for begin, end in sensor.hushes):
                record = {"sensor_id": sensor.sensor_id, "ts": self.stamp(sensor.sensor_id, t), "metric": sensor.metric}
                record["value"] = round(max(0.0, value) * sensor.factor, 5)
                if sensor.sends or self.rng.random() < 0.2:
                    record["unit"] = sensor.sends or sensor.unit
                if bend is not None and bend[4]:
                    record["quality"] = bend[4]
                elif bend is None and self.rng.random() < 0.001:
                    record["value"] = -9999
                rows.append((t, record))
            step = sensor.interval * self.rng.uniform(0.985, 1.0) if bend is None else bend[3]
            t = min(t + step, ahead + 0.2 if ahead > t else math.inf)
        return rows

    def write(self, folder: Path) -> None:
        """The directory an outsider would hand over."""
        folder.mkdir(parents=True)
        garbage = [
            "not json",
            "[]",
            "null",
            '{"sensor_id": "X", "metric": "ch4"',
            '{"ts": 1}',
            '{"vehicle_id": "V", "lat": "north"}',
        ]
        for topic, rows in self.records.items():
            middle = int((self.start + self.end) * 500)
            rows += [(middle, len(rows) + i, text) for i, text in enumerate(garbage)]
            lines = [text for _, _, text in sorted(rows)]
            (folder / f"city.{topic}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        for name, held in (("registry", self.registry), ("truth", self.truth)):
            text = "\n".join(json.dumps(row, ensure_ascii=False) for row in held)
            (folder / f"{name}.jsonl").write_text(text + "\n", "utf-8")

"""Incidents as the tests of the sinks need them, and a Kafka that is a list."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from alert_sinks.sink import Delivery, SinkAway
from streams.records import LEVELS, Counts, Dispatch, Evidence, Incident, Point, Priority, RuleReason, to_builtins

T0 = 1_700_000_000_000


def incident(
    number: int = 1, revision: int = 1, level: int = 2, event: str = "opened", status: str = "open", **changed: Any
) -> Incident:
    fields: dict[str, Any] = {
        "incident_id": f"340100-20231115-GAS-{number:08x}",
        "revision": revision,
        "event": event,
        "hazard": "GAS-03",
        "category": "gas",
        "level": level,
        "colour": LEVELS[level],
        "status": status,
        "title": "Gas leak in a manhole",
        "city": "340100",
        "grid_code": None,
        "location": Point((117.2272, 31.8206)),
        "radius_m": 120.0,
        "first_event_ts": T0,
        "opened_ts": T0,
        "updated_ts": T0 + 1000 * revision,
        "evidence": [
            Evidence(
                stream="sensor",
                entity="GAS-W-00123",
                ts=T0,
                source="city.sensor.readings/2/1834",
                rule="gas-leak",
                level=level,
                metric="ch4",
                value=22.0,
                unit="%LEL",
                threshold=20.0,
            )
        ],
        "rule": RuleReason(name="gas-leak", version="1", reason="CH4 +12 %LEL"),
        "priority": Priority(score=92, because=["level 1"]),
        "dispatch": Dispatch(lead="gas company"),
        "counts": Counts(signals=6, sources=3),
        "historical": False,
        "exercise": False,
    }
    return Incident(**{**fields, **changed})


def body(record: Incident) -> bytes:
    return orjson.dumps(to_builtins(record))


def delivery(record: Incident, left_level: int | None = None) -> Delivery:
    return Delivery(record.incident_id, record.revision, body(record), left_level, [("ce_id", b"x")])


class ListPublisher:
    """Keeps what it acknowledged, in that order; ``away`` makes it fail, ``slow`` lets others overtake."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, bytes | None]] = []
        self.away = False
        self.slow: dict[str, float] = {}

    async def publish(self, topic: str, key: str, value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> None:
        await asyncio.sleep(self.slow.get(topic, 0))
        if self.away:
            raise SinkAway("no broker")
        self.records.append((topic, key, value))


class Scripted:
    """A sink that does what its script says, then delivers: each item is an exception to raise or None."""

    wants_tombstones = True

    def __init__(self, name: str = "scripted", script: list[Exception | None] | None = None) -> None:
        self.name = name
        self.script = script or []
        self.got: list[tuple[str, int, bytes | None]] = []
        self.calls = 0

    async def deliver(self, delivery: Delivery) -> None:
        self.calls += 1
        step = self.script.pop(0) if self.script else None
        await asyncio.sleep(0)
        if step is not None:
            raise step
        self.got.append((delivery.incident_id, delivery.revision, delivery.body))

    async def close(self) -> None:
        """Nothing is held."""

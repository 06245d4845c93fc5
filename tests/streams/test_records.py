"""streams.records: every record type survives the way to JSON and back."""

from __future__ import annotations

import json

import msgspec
import pytest

from streams.codec import decode_record, encode
from streams.records import (
    Asset,
    Control,
    Counts,
    DeadLetter,
    Dispatch,
    Evidence,
    Feedback,
    HotlineCall,
    Incident,
    Matchers,
    Mute,
    Period,
    Point,
    Priority,
    Quarantined,
    Reading,
    RuleReason,
    Signal,
    Source,
    VehicleFix,
    VideoEvent,
)

T0 = 1_700_000_000_000
SOURCE = Source("city.sensor.readings", 2, 1834, n=1)
INCIDENT = Incident(
    incident_id="340100-20231115-GAS-7f3a0000",
    revision=3,
    event="escalated",
    hazard="GAS-03",
    category="gas",
    level=1,
    colour="red",
    status="open",
    title="燃气泄漏",
    city="340100",
    grid_code=None,
    location=Point((117.2272, 31.8206)),
    radius_m=120.0,
    first_event_ts=T0,
    opened_ts=T0,
    updated_ts=T0,
    evidence=[Evidence(stream="sensor", entity="GAS-1", ts=T0, source="city.sensor.readings/2/1834", rule="gas-leak", level=1)],
    rule=RuleReason(name="gas-leak", version="1", reason="CH4 22 %LEL"),
    priority=Priority(score=92, because=["level 1"]),
    dispatch=Dispatch(lead="gas_company"),
    counts=Counts(signals=6, sources=3),
    historical=False,
    exercise=False,
)
SIGNAL = Signal(
    signal_id="gas-leak:GAS-1:1700000000000",
    city="340100",
    category="gas",
    hazard="GAS-03",
    rule="gas-leak",
    rule_version="1",
    entity="GAS-1",
    stream="sensor",
    ts=T0,
    arrival_ts=T0 + 5,
    level=1,
    phase="raised",
    source=SOURCE,
    location=Point((117.2272, 31.8206)),
)
RECORDS = [
    Reading("GAS-1", T0, "ch4", 1.5, unit="%LEL", seq=4),
    VehicleFix("皖A12345", T0, 31.8, 117.2, speed_kmh=40.0, kind="muck_truck", status_bits=3),
    VideoEvent("e1", "c1", T0, "fire", 0.9, bbox=[0.1, 0.2, 0.3, 0.4], end_ts=T0 + 1),
    HotlineCall("k1", T0, "12345", "有煤气味", caller="***89fa2edb-78"),
    Asset("GAS-1", "sensor", [Period(T0, lat=31.8, lon=117.2, limits={"high": 20.0}, attributes={"well": "valve"})]),
    Mute("m1", "permit", Matchers(category="site"), T0, T0 + 1, "an"),
    Feedback("i1", "dispatch", "desk 3", T0, deadline=T0 + 1),
    SIGNAL,
    Control(control="tick", city="340100", arrival_ts=T0, source=SOURCE, silent_fraction=0.25),
    INCIDENT,
    DeadLetter(topic="t", partition=0, offset=1, reason="wrong_type", path="$.value", raw="eA=="),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_json_as_it_was(record: msgspec.Struct) -> None:
    assert decode_record(type(record), encode(record)) == record


def test_the_schema_version_stands_in_every_output() -> None:
    assert all(json.loads(encode(record))["schema_version"] == 1 for record in (SIGNAL, INCIDENT))


def test_a_location_is_a_geojson_point() -> None:
    assert json.loads(encode(SIGNAL))["location"] == {"type": "Point", "coordinates": [117.2272, 31.8206]}


def test_a_period_begins_with_from() -> None:
    assert json.loads(encode(Asset("a", "sensor", [Period(T0)])))["periods"] == [{"from": T0}]


def test_a_quarantined_record_is_written_as_it_was_decoded() -> None:
    letter = Quarantined(topic="t", partition=0, offset=1, n=0, reason="future", entity="GAS-1", record=RECORDS[0])
    assert json.loads(encode(letter))["record"] == json.loads(encode(RECORDS[0]))


def test_a_number_that_json_cannot_write_becomes_null() -> None:
    assert json.loads(encode(Reading("GAS-1", T0, "ch4", float("nan"))))["value"] is None


def test_a_ticks_signals_stand_before_those_of_the_record_it_fired_before() -> None:
    assert Source("t", 0, 5, tick=T0).sequence < Source("t", 0, 5).sequence < Source("t", 0, 6, tick=T0).sequence


def test_the_identifier_pattern_stands_in_the_schema() -> None:
    properties = msgspec.json.schema(Reading)["$defs"]["Reading"]["properties"]
    assert properties["sensor_id"]["pattern"].startswith("^[^")

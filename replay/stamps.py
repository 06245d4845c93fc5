"""What a recording needs to know of a record without reading all of it: when it happened, when it arrived, whose it is.

Values stay bytes: a record that the codec will refuse is still a record of the recording. Here it only has no time of its
own, and takes that of the record before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec import Struct

#: 2000-01-01 and 2100-01-01 UTC. An event time outside is a device's error (1970, nanoseconds): the quality gate judges it,
#: but it must not become the time at which the record is said to have arrived.
PLAUSIBLE_MS = range(946_684_800_000, 4_102_444_800_000)


class _Fields(Struct):
    ts: int | float | str | None = None
    arrival_ts: int | float | str | None = None
    sensor_id: str | None = None
    vehicle_id: str | None = None
    camera_id: str | None = None
    call_id: str | None = None
    asset_id: str | None = None
    mute_id: str | None = None
    incident_id: str | None = None


class _City(Struct):
    """Signals and controls have no id of an entity as key, but the city's."""

    city: str
    arrival_ts: int
    ts: int | None = None


_record = msgspec.json.Decoder(_Fields | list[_Fields])
_records = msgspec.json.Decoder(list[_Fields | list[_Fields]])
_city = msgspec.json.Decoder(_City)


@dataclass(slots=True, frozen=True)
class Stamp:
    """``event_ts`` and ``arrival_ts`` in epoch milliseconds, None where the value has none that can be read."""

    event_ts: int | None
    arrival_ts: int | None
    entity: str | None


NOTHING = Stamp(None, None, None)


def milliseconds(time: int | float | str | None) -> int | None:
    """Epoch milliseconds of a wire time (epoch milliseconds or RFC 3339 text with offset).

    >>> milliseconds("2024-05-01T08:00:00+08:00") == milliseconds("2024-05-01T00:00:00Z") == milliseconds(1714521600000)
    True
    >>> milliseconds("yesterday") is None
    True
    """
    if time is None or isinstance(time, int):
        return time if time is None or -(2**63) <= time < 2**63 else None
    if isinstance(time, float):
        return int(time) if abs(time) < 2.0**62 else None
    try:
        moment = datetime.fromisoformat(time)
        return round(moment.timestamp() * 1000) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _stamp(fields: _Fields | list[_Fields]) -> Stamp:
    if isinstance(fields, list):
        # A gateway sends an array after its last reading.
        each = [_stamp(one) for one in fields]
        events = [one.event_ts for one in each if one.event_ts is not None]
        arrivals = [one.arrival_ts for one in each if one.arrival_ts is not None]
        entity = each[0].entity if each else None
        return Stamp(max(events, default=None), max(arrivals, default=None), entity)
    event = milliseconds(fields.ts)
    arrival = milliseconds(fields.arrival_ts)
    if arrival is None and event is not None and event in PLAUSIBLE_MS:
        arrival = event
    entity = (
        fields.sensor_id
        or fields.vehicle_id
        or fields.camera_id
        or fields.call_id
        or fields.asset_id
        or fields.mute_id
        or fields.incident_id
    )
    return Stamp(event, arrival, entity)


def stamp(value: bytes | None) -> Stamp:
    """The stamp of one wire value; :data:`NOTHING` of what is not JSON or has none of the fields."""
    if not value:
        return NOTHING
    try:
        return _stamp(_record.decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOTHING


def stamps(values: Sequence[bytes | None]) -> list[Stamp]:
    """The stamps of many values: one decoder call for all, one by one only where a value spoils it."""
    try:
        return [_stamp(one) for one in _records.decode(b"[" + b",".join(value or b"null" for value in values) + b"]")]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [stamp(value) for value in values]


def city_stamp(value: bytes) -> Stamp:
    """The stamp of a signal or control record, whose key is the city."""
    try:
        fields = _city.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NOTHING
    return Stamp(fields.ts, fields.arrival_ts, fields.city)


def gateways(keys: Mapping[str, str], entity: str | None) -> str | None:
    """The key of an array of readings: the gateway of its first sensor where the registry names one."""
    return None if entity is None else keys.get(entity, entity)

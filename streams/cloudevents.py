"""CloudEvents 1.0 on Kafka: inputs in binary and structured mode, outputs in binary mode (domain.md C2).

In binary mode the value is the data and nothing needs doing. In structured mode (content-type ``application/cloudevents…``,
in any case) the value is a JSON envelope whose ``data`` or ``data_base64`` is taken out. Batch mode is not part of the Kafka
binding and is refused.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Raw, Struct

from streams.batch import Headers, RawBatch
from streams.records import Incident, Signal
from streams.unreadable import Cause, cause_of

SPEC_VERSION = "1.0"
_STRUCTURED = b"application/cloudevents"


class Envelope(Struct):
    """The attributes CloudEvents requires, and the data; other attributes mean nothing here."""

    specversion: str
    id: str
    source: str
    type: str
    data: Raw = Raw()
    data_base64: str | None = None


_ENVELOPE = msgspec.json.Decoder(Envelope)


def content_type(headers: Headers) -> bytes:
    """The content-type header, lower case; empty where there is none."""
    for name, value in headers:
        if value is not None and name.lower() == "content-type":
            return value.strip().lower()
    return b""


def data_of(value: bytes | None, kind: bytes) -> bytes | Cause:
    """The data of one structured event; ``kind`` is its content type in lower case."""
    if kind.startswith(_STRUCTURED + b"-batch"):
        return Cause("bad_envelope", "$", "CloudEvents batch mode is not supported on Kafka; send one event per record")
    if value is None:
        return Cause("tombstone")
    try:
        event = _ENVELOPE.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return cause_of(error)
    data = bytes(event.data)
    if event.specversion != SPEC_VERSION:
        return Cause("bad_envelope", "$.specversion", f"specversion is {event.specversion[:20]!r}, expected '1.0'")
    if bool(data) == (event.data_base64 is not None):
        return Cause("bad_envelope", "$.data", "exactly one of data and data_base64 must be there")
    if event.data_base64 is None:
        return data
    try:
        return base64.b64decode(event.data_base64, validate=True)
    except (binascii.Error, ValueError):
        return Cause("bad_envelope", "$.data_base64", "not base64")


def unwrap(raw: RawBatch) -> dict[int, bytes | Cause]:
    """Data (or why there is none) of every row of the batch that is a structured event, by row."""
    if raw.headers is None:
        return {}
    found: dict[int, bytes | Cause] = {}
    for row, headers in enumerate(raw.headers):
        if headers and (kind := content_type(headers)).startswith(_STRUCTURED):
            found[row] = data_of(raw.values[row], kind)
    return found


def rfc3339(ts: int) -> str:
    """
    >>> rfc3339(1700000000123)
    '2023-11-14T22:13:20.123Z'
    """
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ts)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ts % 1000:03d}Z"


def headers_of(record: Signal | Incident) -> list[tuple[str, bytes]]:
    """Binary-mode headers of a signal or an incident; a function of the record, so a repetition has the same ones.

    ``ce_id`` is unique within ``ce_source``: a signal's names its place in the source's order, an incident's its revision.
    """
    if isinstance(record, Signal):
        at = record.source
        identity = f"{record.signal_id}/{at.topic}/{at.partition}/{at.offset}/{at.tick}/{at.n}"
        kind, ts = f"citywatch.signal.{record.phase}.v1", record.ts
    else:
        identity, kind, ts = (
            f"{record.incident_id}/{record.revision}",
            f"citywatch.incident.{record.event}.v1",
            record.updated_ts,
        )
    attributes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": identity,
        "ce_source": f"/citywatch/{record.city}",
        "ce_type": kind,
        "ce_time": rfc3339(ts),
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]

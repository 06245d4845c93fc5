"""streams.cloudevents: structured mode in, binary mode out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batch import RawBatch
from streams.cloudevents import content_type, data_of, headers_of, rfc3339, unwrap
from streams.records import Signal, Source
from streams.unreadable import Cause

KIND = b"application/cloudevents+json; charset=utf-8"


def event(**changes: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"} | changes).encode()


def reason(found: bytes | Cause) -> tuple[str, str]:
    assert isinstance(found, Cause)
    return found.reason, found.path


def test_data_is_taken_out_as_it_stands() -> None:
    assert data_of(event(data={"a": 1}), KIND) == b'{"a": 1}'


def test_base64_data_is_decoded() -> None:
    assert data_of(event(data_base64=base64.b64encode(b"{}").decode()), KIND) == b"{}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (event(), ("bad_envelope", "$.data")),
        (event(data=1, data_base64="e30="), ("bad_envelope", "$.data")),
        (event(data_base64="?"), ("bad_envelope", "$.data_base64")),
        (event(data=1, specversion="0.3"), ("bad_envelope", "$.specversion")),
        (b'{"specversion":"1.0"}', ("missing_field", "$.id")),
        (b"{", ("malformed_json", "$")),
        (None, ("tombstone", "$")),
    ],
)
def test_an_envelope_without_usable_data_says_why(value: bytes | None, expected: tuple[str, str]) -> None:
    assert reason(data_of(value, KIND)) == expected


def test_batch_mode_is_refused() -> None:
    assert reason(data_of(b"[]", b"application/cloudevents-batch+json")) == ("bad_envelope", "$")


def test_the_content_type_is_found_in_any_case() -> None:
    assert content_type([("x", None), ("Content-TYPE", b" Application/CloudEvents+JSON ")]) == b"application/cloudevents+json"


def test_only_structured_events_are_unwrapped() -> None:
    headers = [[("content-type", KIND)], [("content-type", b"application/json"), ("ce_id", b"1")], []]
    raw = RawBatch("t", 0, [0, 1, 2], [0, 0, 0], [event(data=1), b"{}", b"{}"], [None] * 3, headers)
    assert unwrap(raw) == {0: b"1"}


@given(st.binary(max_size=40))
def test_no_envelope_raises(value: bytes) -> None:
    assert isinstance(data_of(value, KIND), bytes | Cause)


def test_times_before_1970_are_written_too() -> None:
    assert rfc3339(-1) == "1969-12-31T23:59:59.999Z"


def test_a_signal_and_its_repetition_have_the_same_headers() -> None:
    signal = Signal(
        signal_id="r:e:1",
        city="340100",
        category="gas",
        hazard="GAS-03",
        rule="r",
        rule_version="1",
        entity="e",
        stream="sensor",
        ts=1_700_000_000_123,
        arrival_ts=1_700_000_000_200,
        level=1,
        phase="raised",
        source=Source("t", 0, 5),
    )
    headers = dict(headers_of(signal))
    assert headers["ce_time"] == b"2023-11-14T22:13:20.123Z" and headers["ce_type"] == b"citywatch.signal.raised.v1"
    assert headers_of(signal) == headers_of(signal)

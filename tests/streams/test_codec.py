"""streams.codec: whole batches of bytes to records, and never an exception."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.batch import RawBatch
from streams.codec import MAX_BYTES, STREAMS, Decoded, decode, decode_record, encode, mask_caller
from streams.records import Asset, Feedback, Incident, Mute, Reading, Signal
from streams.unreadable import RAW_LIMIT, REASONS, Cause

T0 = 1_700_000_000_000
READING = {"sensor_id": "GAS-1", "ts": T0, "metric": "ch4", "value": 1.5}
FIX = {"vehicle_id": "皖A12345", "ts": T0, "lat": 31.8206, "lon": 117.2272}
EVENT = {"event_id": "e1", "camera_id": "c1", "ts": T0, "kind": "fire", "confidence": 0.9}
CALL = {"call_id": "k1", "ts": T0, "line": "12345", "text": "有煤气味"}
EXAMPLES: dict[str, dict[str, Any]] = {"sensor": READING, "group": READING, "vehicle": FIX, "video": EVENT, "hotline": CALL}


def raw(*values: bytes | dict[str, Any] | list[Any] | None, headers: Any = None) -> RawBatch:
    encoded = [json.dumps(v).encode() if isinstance(v, dict | list) else v for v in values]
    n = len(encoded)
    return RawBatch(
        "city.sensor.readings", 3, list(range(100, 100 + n)), [T0 + i for i in range(n)], encoded, [b"k"] * n, headers
    )


def dead(value: bytes | dict[str, Any] | list[Any] | None, stream: str = "sensor") -> tuple[str, str]:
    decoded = decode(stream, raw(value))
    assert decoded.rows == []
    [letter] = decoded.dead
    return letter.reason, letter.path


def test_a_batch_of_readings_becomes_rows_in_order() -> None:
    decoded = decode("sensor", raw(READING, READING | {"value": 2}))
    assert decoded.rows == [Reading("GAS-1", T0, "ch4", 1.5), Reading("GAS-1", T0, "ch4", 2.0)]


def test_rows_point_at_their_raw_records() -> None:
    decoded = decode("sensor", raw(READING, b"x", [READING, READING], READING))
    assert (decoded.row_of.tolist(), decoded.part.tolist()) == ([0, 2, 2, 3], [0, 0, 1, 0])


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_has_its_record_type(stream: str) -> None:
    assert isinstance(decode(stream, raw(EXAMPLES[stream])).rows[0], STREAMS[stream])


def test_an_empty_batch_is_no_rows() -> None:
    assert len(decode("sensor", raw())) == 0


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        (b"", "malformed_json", "$"),
        (b'{"sensor_id":"a"', "malformed_json", "$"),
        (b"\xff\xfe", "malformed_json", "$"),
        (json.dumps(READING).encode().replace(b"GAS", b"\xff\xff"), "invalid_utf8", "$"),
        (b'{"sensor_id":"\\ud800","ts":1,"metric":"m","value":1}', "malformed_json", "$"),
        (None, "tombstone", "$"),
        (b"null", "not_an_object", "$"),
        (b'"text"', "not_an_object", "$"),
        (b"[]", "empty_array", "$"),
        (b"{}", "missing_field", "$.sensor_id"),
        ({"sensor_id": "a", "ts": T0, "metric": "ch4"}, "missing_field", "$.value"),
        (READING | {"value": "1.5"}, "wrong_type", "$.value"),
        (READING | {"value": None}, "wrong_type", "$.value"),
        (READING | {"ts": True}, "wrong_type", "$.ts"),
        (READING | {"ts": 1.5}, "wrong_type", "$.ts"),
        (READING | {"ts": "2024-01-01T00:00:00"}, "bad_timestamp", "$.ts"),
        (READING | {"ts": "1700000000000"}, "bad_timestamp", "$.ts"),
        (READING | {"ts": "yesterday"}, "bad_timestamp", "$.ts"),
        (READING | {"ts": 10**30}, "number_out_of_range", "$.ts"),
        (READING | {"seq": 10**30}, "number_out_of_range", "$.seq"),
        (json.dumps(READING).encode().replace(b"1.5", b"1e999"), "number_out_of_range", "$.value"),
        (READING | {"crs": "mars"}, "unknown_crs", "$.crs"),
        (READING | {"quality": "great"}, "unknown_value", "$.quality"),
        (READING | {"sensor_id": ""}, "bad_identifier", "$.sensor_id"),
        (READING | {"sensor_id": "x" * 129}, "bad_identifier", "$.sensor_id"),
        (READING | {"sensor_id": "a\n"}, "bad_identifier", "$.sensor_id"),
        (READING | {"metric": "a\u2028b"}, "bad_identifier", "$.metric"),
        (json.dumps(READING | {"sensor_id": "a\u2028b"}, ensure_ascii=False).encode(), "bad_identifier", "$.sensor_id"),
        (json.dumps(READING | {"sensor_id": "a\x7f"}).encode(), "bad_identifier", "$.sensor_id"),
        (b'{"sensor_id":"a\n","ts":1,"metric":"m","value":1}', "malformed_json", "$"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", "$"),
        (b'{"pad":"' + b"x" * MAX_BYTES + b'"}', "oversized", "$"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_with_reason_and_path(value: Any, reason: str, path: str) -> None:
    assert dead(value) == (reason, path)


def test_a_bad_record_costs_only_itself() -> None:
    decoded = decode("sensor", raw(READING, b"{", READING, None, READING))
    assert (len(decoded.rows), [letter.offset for letter in decoded.dead]) == (3, [101, 103])


def test_a_bad_element_of_an_array_costs_only_itself() -> None:
    decoded = decode("sensor", raw([READING, {"sensor_id": "a"}, READING]))
    [letter] = decoded.dead
    assert (decoded.part.tolist(), letter.n, letter.path) == ([0, 2], 1, "$[1].ts")


def test_the_dead_letter_of_an_element_carries_the_element_alone() -> None:
    [letter] = decode("sensor", raw([READING, READING | {"ts": "no"}])).dead
    assert json.loads(base64.b64decode(letter.raw))["ts"] == "no"


def test_a_bad_time_inside_an_array_names_its_element() -> None:
    [letter] = decode("sensor", raw([READING, READING | {"ts": "no"}])).dead
    assert (letter.reason, letter.path, letter.n) == ("bad_timestamp", "$[1].ts", 1)


def test_calls_are_never_arrays() -> None:
    assert dead([CALL], "hotline") == ("not_an_object", "$")


def test_two_records_in_one_value_are_malformed() -> None:
    one = json.dumps(READING).encode()
    assert dead(one + b"," + one) == ("malformed_json", "$")


def test_values_that_only_together_make_records_are_dead_letters_each() -> None:
    cut = [b'{"sensor_id":"a","ts":1', b'"metric":"m","value":1}', b'{"a":1},{"b":2}']
    decoded = decode("sensor", raw(*cut))
    assert (decoded.rows, len(decoded.dead)) == ([], 3)


def test_text_times_become_milliseconds() -> None:
    decoded = decode("sensor", raw(READING | {"ts": "2023-11-15T06:13:20.123456+08:00"}))
    assert (decoded.rows[0].ts, decoded.ts.tolist()) == (T0 + 123, [T0 + 123])


@pytest.mark.parametrize("ts", [0, -1, T0 * 1_000_000, 2**63 - 1, 4_102_444_800_000])
def test_any_64_bit_time_is_left_to_the_gate(ts: int) -> None:
    assert decode("sensor", raw(READING | {"ts": ts})).ts.tolist() == [ts]


def test_the_end_of_a_video_event_becomes_milliseconds() -> None:
    assert decode("video", raw(EVENT | {"end_ts": "2023-11-14T22:13:21Z"})).rows[0].end_ts == T0 + 1000


def test_a_bad_end_of_a_video_event_is_a_bad_timestamp() -> None:
    assert dead(EVENT | {"end_ts": "later"}, "video") == ("bad_timestamp", "$.end_ts")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_bare_literals_are_read_and_left_to_the_gate(literal: str) -> None:
    value = json.dumps(READING).replace("1.5", literal).encode()
    assert not np.isfinite(decode("sensor", raw(value)).rows[0].value)


def test_bare_literals_in_an_array_are_read_too() -> None:
    decoded = decode("sensor", raw([READING, READING | {"value": float("nan")}, READING | {"value": "x"}]))
    assert (len(decoded.rows), [letter.path for letter in decoded.dead]) == (2, ["$[2].value"])


def test_a_half_surrogate_beside_a_bare_literal_is_malformed() -> None:
    assert dead(b'{"sensor_id":"\\ud800","ts":1,"metric":"m","value":NaN}') == ("malformed_json", "$")


def test_raw_bytes_of_a_dead_letter_are_capped() -> None:
    [letter] = decode("sensor", raw(b"x" * 10_000)).dead
    assert (letter.truncated, len(base64.b64decode(letter.raw))) == (True, RAW_LIMIT)


def test_coordinates_become_wgs84() -> None:
    fix = decode("vehicle", raw(FIX | {"lat": 31.818601, "lon": 117.232682, "crs": "gcj02"})).rows[0]
    assert (round(fix.lat, 5), round(fix.lon, 5), fix.crs) == (31.8206, 117.2272, "wgs84")


def test_an_escaped_key_cannot_hide_its_coordinate_system() -> None:
    value = json.dumps(FIX | {"crs": "gcj02"}).replace('"crs"', '"\\u0063rs"').encode()
    assert decode("vehicle", raw(value)).rows[0].crs == "wgs84"


def test_mixed_coordinate_systems_are_converted_row_by_row() -> None:
    rows = decode("vehicle", raw(FIX, FIX | {"crs": "cgcs2000"}, FIX | {"crs": "bd09"})).rows
    assert [row.lat == FIX["lat"] for row in rows] == [True, True, False]


def test_a_reading_without_position_keeps_none() -> None:
    assert decode("sensor", raw(READING | {"crs": "gcj02"})).rows[0].lat is None


# --- unknown fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([READING], 0),
        ([READING | {"unit": "%LEL", "schema_version": 1, "quality": "good"}], 0),
        ([READING | {"x": 1}, READING], 1),
        ([READING | {"x": 1, "y": {"unit": 1}}], 1),
        ([READING | {"x": {"unit": "a", "seq": 2}}], 1),
        ([READING | {'q"unit': 1}], 1),
        ([READING | {"sensor_id": "urn:ngsi:x"}], 0),
        ([READING | {"ts": "2023-11-15T06:13:20+08:00"}], 0),
        ([[READING, READING | {"x": 1}], READING | {"x": 1}], 2),
        ([READING | {"x": float("nan")}], 1),
        ([json.dumps(READING).encode()[:-1] + b',"x":"\xff"}'], 1),
        ([b"x:::", READING], 0),
    ],
)
def test_records_with_unknown_fields_are_read_and_counted(values: list[Any], count: int) -> None:
    assert decode("sensor", raw(*values)).unknown_fields == count


@given(
    st.lists(st.dictionaries(st.sampled_from(["unit", "seq", "lat", "x", 'u"nit', "y:", "é"]), st.integers(0, 3)), max_size=6)
)
def test_the_count_of_unknown_fields_equals_reading_every_key(extras: list[dict[str, int]]) -> None:
    records = [READING | extra | ({"unit": "m"} if "unit" in extra else {}) for extra in extras]
    known = {field.encode_name for field in msgspec.structs.fields(Reading)}
    assert decode("sensor", raw(*records)).unknown_fields == sum(not record.keys() <= known for record in records)


# --- callers --------------------------------------------------------------------------------------------------------------


def test_a_caller_is_masked() -> None:
    assert decode("hotline", raw(CALL | {"caller": "13812345678"})).rows[0].caller == mask_caller("13812345678")


def test_a_mask_keeps_only_the_last_two_digits() -> None:
    assert mask_caller("13812345678").endswith("-78") and "138123" not in mask_caller("13812345678")


def test_two_callers_with_the_same_ending_differ() -> None:
    assert mask_caller("13812345678") != mask_caller("13912345678")


def test_a_mask_stays_as_it_is() -> None:
    assert mask_caller(mask_caller("13812345678")) == mask_caller("13812345678")


def test_a_key_changes_the_mask() -> None:
    assert mask_caller("13812345678", b"secret") != mask_caller("13812345678")


def test_a_short_caller_shows_nothing() -> None:
    assert mask_caller("110").endswith("-**")


# --- CloudEvents ----------------------------------------------------------------------------------------------------------


def structured(data: Any) -> RawBatch:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": data}
    return raw(event, headers=[[("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8")]])


def test_structured_events_are_unwrapped() -> None:
    assert decode("sensor", structured(READING)).rows == [Reading("GAS-1", T0, "ch4", 1.5)]


def test_structured_events_may_carry_arrays() -> None:
    assert decode("sensor", structured([READING, READING])).part.tolist() == [0, 1]


def test_binary_events_are_read_plainly() -> None:
    headers = [[("ce_id", b"1"), ("content-type", b"application/json")]]
    assert len(decode("sensor", raw(READING, headers=headers)).rows) == 1


def test_structured_and_plain_records_mix_in_a_batch() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": READING | {"value": 7}}
    batch = raw(READING, event, READING, headers=[[], [("content-type", b"application/cloudevents+json")], []])
    assert [row.value for row in decode("sensor", batch).rows] == [1.5, 7.0, 1.5]


# --- the laws -------------------------------------------------------------------------------------------------------------

json_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def wild_values(draw: st.DrawFn, stream: str) -> bytes | None:
    """Good records, records with something wrong, cut ones, arrays of them, and plain noise."""
    example = EXAMPLES[stream]
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return draw(st.none() | st.binary(max_size=40))
    if kind == 1:
        return json.dumps(draw(json_trees)).encode()
    known = [field.encode_name for field in msgspec.structs.fields(STREAMS[stream])]
    changed = example | draw(st.dictionaries(st.sampled_from([*known, "x"]), json_trees, max_size=3))
    for name in draw(st.lists(st.sampled_from(known), max_size=1)):
        changed.pop(name, None)
    text = json.dumps([changed, example] if kind == 2 else changed, ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )
    return text[: draw(st.integers(0, len(text)))] if kind == 3 else text


def records_in(value: bytes | None) -> int:
    """How many records a value counts as: elements of a readable array, one for anything else."""
    try:
        tree = json.loads((value or b"").decode("utf-8"))
    except ValueError:
        return 1
    return max(len(tree), 1) if isinstance(tree, list) else 1


@pytest.mark.parametrize("stream", STREAMS)
@settings(max_examples=60)
@given(data=st.data())
def test_nothing_raises_and_nothing_is_lost(stream: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(wild_values(stream), max_size=8))
    decoded = decode(stream, raw(*values))
    by_record = np.bincount(decoded.row_of, minlength=len(values)) + np.bincount(
        [letter.offset - 100 for letter in decoded.dead], minlength=len(values)
    )
    arrays = stream in ("sensor", "group", "vehicle")
    for value, count in zip(values, by_record.tolist(), strict=True):
        assert count >= 1
        assert count in ({records_in(value), 1} if arrays else {1})
    assert {letter.reason for letter in decoded.dead} <= REASONS
    assert all(isinstance(encode(record), bytes) for record in [*decoded.rows, *decoded.dead])


@pytest.mark.parametrize("stream", STREAMS)
@settings(max_examples=30)
@given(data=st.data())
def test_a_record_is_read_the_same_in_any_company(stream: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(wild_values(stream), max_size=6))
    alone: list[Decoded] = [decode(stream, raw(value)) for value in values]
    together = decode(stream, raw(*values))
    assert [repr(row) for row in together.rows] == [repr(row) for one in alone for row in one.rows]
    assert [letter.path for letter in together.dead] == [letter.path for one in alone for letter in one.dead]


# --- single records -------------------------------------------------------------------------------------------------------


def test_an_asset_is_decoded_with_its_times() -> None:
    asset = decode_record(Asset, b'{"asset_id":"a","kind":"sensor","periods":[{"from":"2023-11-14T22:13:20Z"}]}')
    assert isinstance(asset, Asset) and asset.periods[0].from_ == T0


@pytest.mark.parametrize(
    ("kind", "value", "reason", "path"),
    [
        (Asset, b"{}", "missing_field", "$.asset_id"),
        (Asset, b'{"asset_id":"a","kind":"x","periods":[{"from":"soon"}]}', "bad_timestamp", "$.periods[0].from"),
        (Asset, b'{"asset_id":"a","kind":"x","periods":[{"from":0,"crs":"mars"}]}', "unknown_crs", "$.periods[0].crs"),
        (Feedback, b'{"incident_id":"i","action":"eat","by":"x","ts":1}', "unknown_value", "$.action"),
        (Mute, b"{", "malformed_json", "$"),
        (Asset, b'{"asset_id":"a\\u0007","kind":"x","periods":[]}', "bad_identifier", "$.asset_id"),
    ],
)
def test_a_single_record_that_cannot_be_read_says_why(kind: Any, value: bytes, reason: str, path: str) -> None:
    cause = decode_record(kind, value)
    assert isinstance(cause, Cause) and (cause.reason, cause.path) == (reason, path)


@given(st.binary(max_size=60))
def test_decoding_single_records_never_raises(value: bytes) -> None:
    assert all(decode_record(kind, value) is not None for kind in (Asset, Mute, Feedback, Signal, Incident))

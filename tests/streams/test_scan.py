"""The compiled scan of plain records beside the decoder of records: one result, whatever a log holds."""

from __future__ import annotations

import json
import math
import struct
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import codec, compiled
from streams.batch import RawBatch
from streams.codec import decode, decode_records
from streams.gate import Gate
from streams.gate_checks import COLUMNS
from streams.packed import Packed
from streams.records import Asset, Period
from streams.registry import Registry
from streams.scan import SCANNED, shape_of

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="nothing is compiled here")

T0 = 1_700_000_000_000
READING: dict[str, Any] = {"sensor_id": "GAS-1", "ts": T0, "metric": "ch4", "value": 1.5}
FIX: dict[str, Any] = {"vehicle_id": "皖A12345", "ts": T0, "lat": 31.8206, "lon": 117.2272}

identifiers = st.one_of(
    st.sampled_from(["GAS-1", "GAS-2", "燃气-01", "a" * 128, "a" * 129, "", "a\u0085b", "a\u2028b", "a\x7fb", 'a"b', "é\\"]),
    st.text(max_size=6),
)
numbers = st.one_of(
    st.floats(allow_nan=True),
    st.floats(-1000, 1000).map(lambda value: round(value, 3)),
    st.integers(-(2**65), 2**65),
    st.sampled_from([0, -0.0, 1e-7, 1e22, 1e23, 2**53, 2**53 + 1, 5e-324, 1.7976931348623157e308, None, "1", True]),
)
whole = st.one_of(st.integers(-(2**64), 2**64), st.none(), st.just(1.0), st.just("x"))
times = st.one_of(
    st.integers(T0, T0 + 5).map(lambda ts: ts), st.sampled_from([0, -1, 2**63, 1.5, "2023-11-15T06:13:20Z", "no", None, True])
)
readings = st.fixed_dictionaries(
    {"sensor_id": identifiers, "ts": times, "metric": st.one_of(st.just("ch4"), identifiers), "value": numbers},
    optional={
        "unit": st.one_of(st.sampled_from(["%LEL", "%VOL", "°C", "no unit", None, 7]), st.text(max_size=4)),
        "quality": st.sampled_from(["good", "suspect", "bad", "worse", None]),
        "lat": numbers,
        "lon": numbers,
        "crs": st.sampled_from(["wgs84", "gcj02", "moon", None]),
        "seq": whole,
        "schema_version": whole,
        "firmware": st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.just([1])),
    },
)
fixes = st.fixed_dictionaries(
    {"vehicle_id": identifiers, "ts": times, "lat": numbers, "lon": numbers},
    optional={
        "speed_kmh": numbers,
        "kind": st.sampled_from(["muck_truck", "patrol", "plane", None]),
        "alarm_bits": whole,
        "status_bits": whole,
        "load_state": st.sampled_from(["full", "empty", "?", None]),
        "crs": st.sampled_from(["wgs84", "bd09"]),
    },
)


def written(record: Any, how: int) -> bytes:
    """A record as different clients write it."""
    match how:
        case 0:
            return json.dumps(record).encode("utf-8", "surrogatepass")
        case 1:
            return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        case 2:
            return json.dumps(record, indent=1).encode("utf-8", "surrogatepass")
        case _:
            return json.dumps(dict(reversed(record.items())), ensure_ascii=False).encode("utf-8", "replace")


def broken(value: bytes, at: int, byte: int) -> bytes:
    """One byte of it is another."""
    place = at % len(value)
    return value[:place] + bytes([byte]) + value[place + 1 :]


garbage = st.sampled_from(
    [
        None,
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"a":1}\n{"b":2}',
        b'"',
        b'{"sensor_id":"a',
        b"\\",
        b"NaN",
        b"[1]",
        b"{}}",
    ]
)


def values_of(records: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[bytes | None]]:
    one = st.builds(written, records, st.integers(0, 3))
    damaged = st.builds(broken, one, st.integers(0, 300), st.integers(0, 255))
    arrays = st.lists(records, min_size=1, max_size=3).map(lambda held: json.dumps(held).encode("utf-8", "surrogatepass"))
    return st.lists(st.one_of(one, one, one, damaged, arrays, garbage), max_size=12)


def raw_of(values: list[bytes | None], topic: str = "city.sensor.readings") -> RawBatch:
    n = len(values)
    return RawBatch(topic, 0, list(range(7, 7 + n)), [T0 + i for i in range(n)], values, [b"k"] * n)


#: Plain records in front, so that a batch of garbage is not left to the decoder of records altogether.
PLAIN = {"sensor": [orjson.dumps(READING)] * 12, "vehicle": [orjson.dumps(FIX)] * 12}


def bits(column: Any) -> bytes:
    return np.where(np.isnan(column), np.nan, column).tobytes()


def agree(stream: str, raw: RawBatch) -> None:
    """Both ways have the same rows, dead letters, counts and columns."""
    with mock.patch.object(codec, "SCAN_FROM", 0):
        quick = decode(stream, raw)
    slow = decode_records(stream, raw)
    assert [repr(row) for row in quick.rows] == [repr(row) for row in slow.rows]
    assert quick.dead == slow.dead
    assert (quick.tombstones, quick.unknown_fields) == (slow.tombstones, slow.unknown_fields)
    for name in ("row_of", "part", "ts"):
        mine, theirs = getattr(quick, name), getattr(slow, name)
        assert (mine.dtype, mine.tolist()) == (theirs.dtype, theirs.tolist()), name
    for name in COLUMNS[stream]:
        (mine, bad), (theirs, worse) = quick.fields.numbers(name), slow.fields.numbers(name)
        assert bits(mine) == bits(theirs), name
        none = np.zeros(len(theirs), dtype=np.bool_)
        assert (none if bad is None else bad).tolist() == (none if worse is None else worse).tolist(), name
    for name in (*({"sensor": ("sensor_id", "metric", "unit", "quality")}.get(stream, ("vehicle_id", "kind", "load_state"))),):
        assert quick.fields[name] == slow.fields[name], name
        assert quick.fields.distinct(name) == slow.fields.distinct(name), name


@settings(max_examples=400, deadline=None)
@given(values_of(readings))
def test_readings_of_all_kinds_are_what_the_decoder_of_records_makes_of_them(values: list[bytes | None]) -> None:
    agree("sensor", raw_of([*PLAIN["sensor"], *values]))


@settings(max_examples=200, deadline=None)
@given(values_of(fixes))
def test_fixes_of_all_kinds_are_what_the_decoder_of_records_makes_of_them(values: list[bytes | None]) -> None:
    agree("vehicle", raw_of([*PLAIN["vehicle"], *values]))


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(0, 200))
def test_bytes_of_any_kind_in_the_middle_of_a_record(noise: bytes, at: int) -> None:
    value = orjson.dumps(READING | {"unit": "%LEL", "firmware": "1.2"})
    place = at % len(value)
    agree("sensor", raw_of([*PLAIN["sensor"], value[:place] + noise + value[place:], value[:place] + noise]))


def read(number: str) -> float | None:
    """A number as the scan reads it; None where the scan refuses it."""
    value = b'{"sensor_id":"a","ts":1,"metric":"m","value":%b}' % number.encode()
    shape = shape_of("sensor")
    assert shape is not None
    from streams.scan import scan

    found = scan(shape, Packed.of([value]))
    return float(found.fields.numbers("value")[0][0]) if found.said[0] else None


def exactly(number: str) -> None:
    found = read(number)
    if found is not None:
        assert struct.pack("d", found) == struct.pack("d", float(number)), number


@settings(max_examples=2000, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_as_python_writes_them_are_read_to_the_last_bit(value: float) -> None:
    exactly(repr(value))


@settings(max_examples=2000, deadline=None)
@given(st.integers(0, 10**18 - 1), st.integers(-70, 70))
def test_numbers_of_any_digits_and_power_are_read_to_the_last_bit(digits: int, power: int) -> None:
    exactly(f"{digits}e{power}")
    exactly(f"-{digits}E{power:+d}")


@settings(max_examples=1000, deadline=None)
@given(st.floats(1e-9, 1e17), st.integers(15, 18))
def test_numbers_half_way_between_two_doubles_are_read_to_the_last_bit(value: float, digits: int) -> None:
    half = (struct.unpack("q", struct.pack("d", value))[0], math.nextafter(value, math.inf))
    exactly(f"{(value + half[1]) / 2:.{digits}g}")
    exactly(f"{value:.{digits}g}")


def test_usual_numbers_are_not_refused() -> None:
    usual = ["0", "-1", "12.5", "0.1", "1e-7", "21.437", "12.345678901234567", "0.0012345678901234567", "1700000000000", "-0.0"]
    assert [read(number) for number in usual] == [float(number) for number in usual]
    assert [read(number) for number in ("-0", "01", "1.", ".5", "+1", "1e", "0x1", "1e400", "NaN", "1" * 19)] == [None] * 10


def test_a_batch_of_plain_records_makes_no_record_until_somebody_looks() -> None:
    decoded = decode("sensor", raw_of([orjson.dumps(READING | {"value": i}) for i in range(200)]))
    assert decoded.rows.held == {}  # type: ignore[attr-defined]
    assert decoded.rows[-1].value == 199
    assert list(decoded.rows.held) == [199]  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", sorted(SCANNED))
def test_fields_an_unknown_one_among_them_are_counted(stream: str) -> None:
    record = (FIX if stream == "vehicle" else READING) | {"firmware": {"major": 1}, "site": "north"}
    plain = {name: value for name, value in record.items() if name != "firmware"}
    values = [orjson.dumps(plain if i % 2 else record) for i in range(100)]
    assert decode(stream, raw_of(list(values))).unknown_fields == 100


def test_more_words_than_the_scan_tells_apart_are_left_to_the_decoder_of_records() -> None:
    agree("sensor", raw_of([orjson.dumps(READING | {"metric": f"m{i % 150}"}) for i in range(400)]))


def test_words_of_what_the_scan_refused_may_be_as_many_as_rows() -> None:
    agree("sensor", raw_of([orjson.dumps(READING | {"metric": f"m{i // 2}" if i % 2 else "x"}) for i in range(70_000)]))


REGISTRY = Registry.from_assets(
    [
        Asset("GAS-1", "sensor", [Period(0, metric="ch4", unit="%VOL", sentinels=[9.0, 1.0])]),
        Asset("燃气-01", "sensor", [Period(0, metric="ch4")]),
    ]
)


def admitted(gate: Gate, stream: str, raw: RawBatch, *, quick: bool) -> Any:
    with mock.patch.object(codec, "SCAN_FROM", 0 if quick else 10**9):
        found = gate.admit(decode(stream, raw), raw)
    batch = found.batch
    return (
        batch.slot.tolist(),
        batch.ts.tolist(),
        batch.offset.tolist(),
        batch.part.tolist(),
        batch.late.tolist(),
        [repr(record) for record in batch.records],
        {name: bits(column) for name, column in batch.columns.items()},
        [msgspec.to_builtins(letter) for letter in found.quarantined],
        found.duplicates,
        found.reasons,
        found.fresh,
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(values_of(readings), min_size=1, max_size=3), st.lists(values_of(fixes), min_size=1, max_size=2))
def test_the_gate_admits_the_same(sensors: list[list[bytes | None]], vehicles: list[list[bytes | None]]) -> None:
    for stream, batches in (("sensor", sensors), ("vehicle", vehicles)):
        quick, slow = Gate(stream, REGISTRY), Gate(stream, REGISTRY)
        for values in batches:
            raw = raw_of([*PLAIN[stream], *values])
            assert repr(admitted(quick, stream, raw, quick=True)) == repr(admitted(slow, stream, raw, quick=False))
        assert repr(quick.snapshot()) == repr(slow.snapshot())
        assert quick.series.last_arrival[: len(quick.series)].tolist() == slow.series.last_arrival[: len(slow.series)].tolist()


def test_slots_known_by_their_spelling_end_with_their_series() -> None:
    quick = Gate("sensor", REGISTRY)
    values: list[bytes | None] = [orjson.dumps(READING | {"sensor_id": f"s{i}", "ts": T0 + i}) for i in range(100)]
    first = admitted(quick, "sensor", raw_of(values), quick=True)
    assert first[0] == list(range(100))
    quick.forget([3, 98])
    again = ["s99", "new", "s3", "s0"]
    values = [orjson.dumps(READING | {"sensor_id": name, "ts": T0 + 500 + i}) for i, name in enumerate(again)]
    assert admitted(quick, "sensor", raw_of(values), quick=True)[0] == [99, 98, 3, 0]

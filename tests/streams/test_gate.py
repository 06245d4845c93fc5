"""streams.gate: believed, quarantined with a reason, repeated or late; every row exactly one of them."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import compiled
from streams.batch import RawBatch
from streams.codec import STREAMS, decode, encode
from streams.gate import Admitted, Gate, GateSettings
from streams.gate_checks import REASONS
from streams.gate_memory import SeriesMemory
from streams.records import Asset, Period
from streams.registry import Registry

T0 = 1_700_000_000_000
READING = {"sensor_id": "GAS-1", "ts": T0, "metric": "ch4", "value": 1.5}
FIX = {"vehicle_id": "A1", "ts": T0, "lat": 31.8206, "lon": 117.2272}
EVENT = {"event_id": "e1", "camera_id": "c1", "ts": T0, "kind": "fire", "confidence": 0.9}
CALL = {"call_id": "k1", "ts": T0, "line": "12345", "text": "有煤气味"}
EMPTY = Registry()
#: A degree of latitude is 111,195 m: a vehicle at 200 km/h needs 2,001 s for it.
NORTH = {"lat": 32.8206}


def raw(records: list[dict[str, Any]], arrival: int | None = None) -> RawBatch:
    """``arrival`` None: each record arrives at its ``ts``, or at T0 where that makes no sense."""
    arrivals = [arrival or (r["ts"] if isinstance(r["ts"], int) and abs(r["ts"] - T0) < 10**9 else T0) for r in records]
    n = len(records)
    values: list[bytes | None] = [json.dumps(record).encode() for record in records]
    return RawBatch("city.topic", 0, list(range(n)), arrivals, values, [None] * n)


def admit(gate: Gate, *records: dict[str, Any], arrival: int | None = None) -> Admitted:
    batch = raw(list(records), arrival)
    return gate.admit(decode(gate.stream, batch), batch)


def reasons(stream: str, *records: dict[str, Any], registry: Registry = EMPTY, arrival: int | None = None) -> dict[str, int]:
    return dict(admit(Gate(stream, registry), *records, arrival=arrival).reasons)


def sensor(**period: Any) -> Registry:
    return Registry.from_assets([Asset("GAS-1", "sensor", [Period(0, **period)])])


# --- reasons --------------------------------------------------------------------------------------------------------------


def test_a_sound_reading_is_processed() -> None:
    admitted = admit(Gate("sensor", EMPTY), READING)
    assert (admitted.processed, admitted.late, admitted.duplicates, admitted.quarantined) == (1, 0, 0, [])


@pytest.mark.parametrize(
    ("stream", "record", "reason"),
    [
        ("sensor", READING | {"value": float("nan")}, "not_a_number"),
        ("sensor", READING | {"value": float("inf")}, "not_a_number"),
        ("sensor", READING | {"lat": float("nan"), "lon": 1.0}, "not_a_number"),
        ("sensor", READING | {"quality": "bad"}, "bad_quality"),
        ("sensor", READING | {"quality": "maintenance"}, "bad_quality"),
        ("sensor", READING | {"quality": "calibration"}, "bad_quality"),
        ("sensor", READING | {"ts": 0}, "too_old"),
        ("sensor", READING | {"ts": T0 // 1000}, "too_old"),
        ("sensor", READING | {"ts": 4_102_444_800_000}, "future"),
        ("sensor", READING | {"ts": T0 * 1_000_000}, "future"),
        ("sensor", READING | {"ts": -(2**63)}, "too_old"),
        ("sensor", READING | {"ts": 2**63 - 1}, "future"),
        ("sensor", READING | {"unit": "furlong"}, "unit_unknown"),
        ("sensor", READING | {"unit": "kPa"}, "unit_unknown"),
        ("sensor", READING | {"lat": 0, "lon": 0}, "zero_coordinate"),
        ("sensor", READING | {"lat": 31.0}, "out_of_range_coordinate"),
        ("vehicle", FIX | {"lat": 0, "lon": 0}, "zero_coordinate"),
        ("vehicle", FIX | {"lat": 0, "lon": 0, "crs": "bd09"}, "zero_coordinate"),
        ("vehicle", FIX | {"lat": 91}, "out_of_range_coordinate"),
        ("vehicle", FIX | {"lon": -180.5}, "out_of_range_coordinate"),
        ("vehicle", FIX | {"lat": 1e308, "crs": "gcj02"}, "out_of_range_coordinate"),
        ("vehicle", FIX | {"speed_kmh": float("nan")}, "not_a_number"),
        ("video", EVENT | {"lat": 95, "lon": 0}, "out_of_range_coordinate"),
        ("hotline", CALL | {"ts": 0}, "too_old"),
    ],
)
def test_what_cannot_be_believed_is_quarantined_with_its_reason(stream: str, record: dict[str, Any], reason: str) -> None:
    assert reasons(stream, record, arrival=T0) == {reason: 1}


def test_a_quarantined_record_names_entity_place_and_detail() -> None:
    [letter] = admit(Gate("sensor", EMPTY), READING, READING | {"ts": T0 + 1, "quality": "bad"}).quarantined
    assert (letter.entity, letter.offset, letter.detail, letter.record.quality) == ("GAS-1", 1, "quality is bad", "bad")


def test_a_suspect_reading_passes_with_a_mark() -> None:
    admitted = admit(Gate("sensor", EMPTY), READING, READING | {"ts": T0 + 1, "quality": "suspect"})
    assert admitted.batch.columns["suspect"].tolist() == [0.0, 1.0]


def test_a_reading_without_position_is_fine() -> None:
    assert np.isnan(admit(Gate("sensor", EMPTY), READING).batch.columns["lat"]).all()


def test_a_time_within_the_tolerance_is_believed() -> None:
    assert reasons("sensor", READING | {"ts": T0 + 300_000}, READING | {"ts": T0 + 300_001}, arrival=T0) == {"future": 1}


def test_tolerances_are_settings() -> None:
    gate = Gate("sensor", EMPTY, GateSettings(too_old_s=10))
    assert admit(gate, READING, arrival=T0 + 11_000).reasons == Counter(too_old=1)


def test_refused_rows_make_no_series() -> None:
    gate = Gate("sensor", EMPTY)
    admit(gate, READING | {"quality": "bad"})
    assert len(gate.series) == 0


# --- units and the registry -----------------------------------------------------------------------------------------------


def test_a_value_is_turned_into_the_canonical_unit() -> None:
    batch = admit(Gate("sensor", EMPTY), READING | {"unit": "%VOL", "value": 1}).batch
    assert (batch.columns["value"].tolist(), batch.records[0].value, batch.records[0].unit) == ([20.0], 20.0, "%LEL")


def test_without_a_unit_the_registry_says_it() -> None:
    batch = admit(Gate("sensor", sensor(metric="ch4", unit="ppm")), READING | {"value": 500}).batch
    assert batch.columns["value"].tolist() == [1.0]


def test_the_records_own_unit_wins_over_the_registrys() -> None:
    batch = admit(Gate("sensor", sensor(metric="ch4", unit="ppm")), READING | {"value": 5, "unit": "%LEL"}).batch
    assert batch.columns["value"].tolist() == [5.0]


def test_the_registrys_unit_is_that_of_its_metric_only() -> None:
    batch = admit(Gate("sensor", sensor(metric="ch4", unit="ppm")), READING | {"metric": "battery", "value": 80}).batch
    assert batch.columns["value"].tolist() == [80.0]


def test_a_unit_of_the_registry_that_does_not_fit_is_unit_unknown() -> None:
    assert reasons("sensor", READING, registry=sensor(metric="ch4", unit="kPa")) == {"unit_unknown": 1}


def test_an_unknown_metric_keeps_its_unit_and_value() -> None:
    batch = admit(Gate("sensor", EMPTY), READING | {"metric": "radon", "unit": "Bq/m3"}).batch
    assert (batch.records[0].unit, batch.columns["value"].tolist()) == ("Bq/m3", [1.5])


def test_a_conversion_beyond_a_double_is_not_a_number() -> None:
    assert reasons("sensor", READING | {"value": 1e308, "unit": "%VOL"}) == {"not_a_number": 1}


def test_sentinels_of_the_registry_are_quarantined() -> None:
    registry = sensor(metric="ch4", unit="%VOL", sentinels=[-200.0])
    assert reasons("sensor", READING | {"value": -200}, READING | {"ts": T0 + 1}, registry=registry) == {"sentinel": 1}


def test_the_registry_of_the_readings_own_time_counts() -> None:
    periods = [Period(0, T0 + 10, metric="ch4", unit="%VOL"), Period(T0 + 10, metric="ch4", sentinels=[1.0])]
    gate = Gate("sensor", Registry.from_assets([Asset("GAS-1", "sensor", periods)]))
    rows = [READING | {"ts": T0 + dt, "value": 1} for dt in (0, 10, 9)]
    admitted = admit(gate, *rows)
    assert (admitted.batch.columns["value"].tolist(), dict(admitted.reasons)) == ([20.0, 20.0], {"sentinel": 1})


def test_a_switched_registry_counts_from_the_next_batch() -> None:
    gate = Gate("sensor", EMPTY)
    admit(gate, READING)
    gate.switch(sensor(metric="ch4", unit="%VOL"))
    assert admit(gate, READING | {"ts": T0 + 1, "value": 1}).batch.columns["value"].tolist() == [20.0]


# --- repetitions and order ------------------------------------------------------------------------------------------------


def test_the_same_reading_again_is_a_duplicate() -> None:
    assert admit(Gate("sensor", EMPTY), READING, READING).duplicates == 1


def test_the_same_reading_in_a_later_batch_is_a_duplicate() -> None:
    gate = Gate("sensor", EMPTY)
    admit(gate, READING)
    assert admit(gate, READING).duplicates == 1


def test_another_value_at_the_same_time_is_kept() -> None:
    admitted = admit(Gate("sensor", EMPTY), READING, READING | {"value": 2})
    assert (admitted.processed, admitted.duplicates) == (2, 0)


def test_another_metric_at_the_same_time_is_another_series() -> None:
    assert admit(Gate("sensor", EMPTY), READING, READING | {"metric": "o2"}).batch.slot.tolist() == [0, 1]


def test_an_older_reading_is_late_and_stays_in_the_batch() -> None:
    admitted = admit(Gate("sensor", EMPTY), READING, READING | {"ts": T0 - 1000})
    assert (admitted.batch.late.tolist(), admitted.late, admitted.processed) == ([False, True], 1, 1)


def test_a_late_reading_again_is_a_duplicate() -> None:
    late = READING | {"ts": T0 - 1000}
    admitted = admit(Gate("sensor", EMPTY), READING, late, late)
    assert (admitted.late, admitted.duplicates) == (1, 1)


def test_a_reading_in_another_unit_is_the_same_reading() -> None:
    one, same = READING | {"value": 20}, READING | {"value": 1, "unit": "%VOL"}
    assert admit(Gate("sensor", EMPTY), one, same).duplicates == 1


@pytest.mark.parametrize(("stream", "record"), [("video", EVENT), ("hotline", CALL), ("vehicle", FIX)])
def test_an_event_a_call_and_a_fix_are_known_by_their_identity(stream: str, record: dict[str, Any]) -> None:
    assert admit(Gate(stream, EMPTY), record, record).duplicates == 1


def test_two_events_of_one_kind_at_one_moment_are_two() -> None:
    assert admit(Gate("video", EMPTY), EVENT, EVENT | {"event_id": "e2"}).processed == 2


def test_an_older_event_of_the_same_kind_is_late() -> None:
    assert admit(Gate("video", EMPTY), EVENT, EVENT | {"event_id": "e2", "ts": T0 - 1}).late == 1


def test_forgotten_ids_are_news_again() -> None:
    gate = Gate("hotline", EMPTY, GateSettings(remember_ids=2))
    calls = [CALL | {"call_id": name} for name in "abca"]
    assert admit(gate, *calls).processed == 4


# --- jumps ----------------------------------------------------------------------------------------------------------------


def test_a_fix_that_no_vehicle_can_have_reached_is_quarantined() -> None:
    assert reasons("vehicle", FIX, FIX | NORTH | {"ts": T0 + 60_000}) == {"impossible_jump": 1}


def test_a_fix_within_reach_is_believed() -> None:
    assert reasons("vehicle", FIX, FIX | NORTH | {"ts": T0 + 2_010_000}) == {}


def test_noise_of_two_positions_is_no_jump() -> None:
    assert reasons("vehicle", FIX, FIX | {"ts": T0 + 1, "lat": 31.8211}) == {}


def test_a_refused_fix_does_not_move_the_vehicle() -> None:
    back = FIX | {"ts": T0 + 20_000}
    assert reasons("vehicle", FIX, FIX | NORTH | {"ts": T0 + 10_000}, back) == {"impossible_jump": 1}


def test_a_new_place_is_believed_after_three_fixes_that_agree() -> None:
    elsewhere = [FIX | NORTH | {"ts": T0 + 10_000 * i} for i in range(1, 6)]
    admitted = admit(Gate("vehicle", EMPTY), FIX, *elsewhere)
    assert (dict(admitted.reasons), admitted.batch.offset.tolist()) == ({"impossible_jump": 3}, [0, 4, 5])


def test_refused_fixes_that_contradict_each_other_are_never_believed() -> None:
    wild = [FIX | {"lat": 31.8 + (1 if i % 2 else 3), "ts": T0 + 10_000 * i} for i in range(1, 9)]
    assert reasons("vehicle", FIX, *wild) == {"impossible_jump": 8}


def test_a_refused_fix_sent_again_is_a_duplicate_and_no_confirmation() -> None:
    jump = FIX | NORTH | {"ts": T0 + 10_000}
    admitted = admit(Gate("vehicle", EMPTY), FIX, jump, jump, jump, jump, jump)
    assert (dict(admitted.reasons), admitted.duplicates) == ({"impossible_jump": 1}, 4)


# --- state ----------------------------------------------------------------------------------------------------------------


def test_a_forgotten_series_begins_anew() -> None:
    gate = Gate("sensor", EMPTY)
    admit(gate, READING)
    gate.forget([0])
    admitted = admit(gate, READING | {"ts": T0 - 1000}, READING | {"ts": T0 - 1000, "sensor_id": "other"})
    assert (admitted.processed, admitted.fresh) == (2, {0: 0, 1: 1})


def test_slots_given_out_in_a_batch_are_named() -> None:
    gate = Gate("sensor", EMPTY)
    first = admit(gate, READING, READING | {"sensor_id": "b"}).fresh
    assert (first, admit(gate, READING | {"sensor_id": "c"}).fresh) == ({0: 0, 1: 1}, {2: 0})


def test_a_snapshot_holds_numbers_text_and_arrays_only() -> None:
    gate = Gate("vehicle", EMPTY)
    admit(gate, FIX)

    def plain(tree: Any) -> bool:
        if isinstance(tree, dict):
            return all(isinstance(key, str) and plain(value) for key, value in tree.items())
        return (
            all(map(plain, tree))
            if isinstance(tree, list)
            else tree is None or isinstance(tree, int | float | str | np.ndarray)
        )

    assert plain(gate.snapshot())


def test_a_snapshot_does_not_change_with_the_gate_it_came_from() -> None:
    gate = Gate("sensor", EMPTY)
    admit(gate, READING)
    saved = gate.snapshot()
    admit(gate, READING | {"ts": T0 + 5})
    assert saved["memory"]["newest"].tolist() == [T0]


# --- the laws -------------------------------------------------------------------------------------------------------------

times = st.integers(0, 6).map(lambda step: T0 + step * 60_000)
far_times = st.one_of(times, times, times, st.sampled_from([0, T0 * 1000, T0 - 10**9, T0 + 10**9]))
FLOWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "sensor": st.fixed_dictionaries(
        {
            "sensor_id": st.sampled_from(["a", "b", "GAS-1"]),
            "ts": far_times,
            "metric": st.sampled_from(["ch4", "radon"]),
            "value": st.sampled_from([1.0, 2.0, -200.0, float("nan")]),
        },
        optional={
            "unit": st.sampled_from(["%VOL", "kPa", "%LEL", None]),
            "quality": st.sampled_from(["good", "bad", "suspect"]),
            "lat": st.sampled_from([0.0, 31.0]),
            "lon": st.sampled_from([0.0, 117.0]),
        },
    ),
    "vehicle": st.fixed_dictionaries(
        {
            "vehicle_id": st.sampled_from("ab"),
            "ts": far_times,
            "lat": st.sampled_from([0.0, 31.0, 31.001, 31.01, 32.0, 99.0]),
            "lon": st.sampled_from([0.0, 117.0]),
        }
    ),
    "video": st.fixed_dictionaries(
        {
            "event_id": st.sampled_from("abcdefgh"),
            "camera_id": st.sampled_from("xy"),
            "ts": far_times,
            "kind": st.just("fire"),
            "confidence": st.just(0.5),
        }
    ),
    "hotline": st.fixed_dictionaries(
        {"call_id": st.sampled_from("abcdefgh"), "ts": far_times, "line": st.just("110"), "text": st.just("x")}
    ),
}
FLOWS["group"] = FLOWS["sensor"]
REGISTRY = Registry.from_assets(
    [
        Asset(
            "GAS-1",
            "sensor",
            [
                Period(0, T0 + 120_000, metric="ch4", unit="%VOL", sentinels=[-200.0]),
                Period(T0 + 180_000, metric="ch4", sentinels=[2.0]),
            ],
        )
    ]
)


def fate(gate: Gate, batch: RawBatch) -> list[tuple[Any, ...]]:
    """What becomes of each row: (offset, outcome, …), in order of offset; and law 8 on the way."""
    decoded = decode(gate.stream, batch)
    admitted = gate.admit(decoded, batch)
    quarantined = len(admitted.quarantined)
    assert len(decoded.rows) == admitted.processed + admitted.late + quarantined + admitted.duplicates
    assert sum(admitted.reasons.values()) == quarantined and set(admitted.reasons) <= set(REASONS[1:])
    assert all(encode(letter) for letter in admitted.quarantined)
    shown: list[tuple[Any, ...]] = [(letter.offset, letter.reason, letter.detail) for letter in admitted.quarantined]
    rows = admitted.batch
    for i in range(len(rows)):
        numbers = {name: repr(column[i]) for name, column in rows.columns.items()}
        shown.append(
            (int(rows.offset[i]), "late" if rows.late[i] else "processed", int(rows.slot[i]), repr(rows.records[i]), numbers)
        )
    return sorted(shown, key=lambda entry: entry[0])


@pytest.mark.parametrize("stream", STREAMS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cutting_batches_and_restarting_in_between_changes_nothing(stream: str, data: st.DataObject) -> None:
    records = data.draw(st.lists(FLOWS[stream], max_size=30))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)), max_size=6)) | {0, len(records)})
    settings_ = GateSettings(remember_rows=3, remember_ids=4)
    batch = raw(records, T0 + 360_000)
    whole = fate(Gate(stream, REGISTRY, settings_), batch)
    gate = Gate(stream, REGISTRY, settings_)
    pieces = []
    for start, stop in pairwise(cuts):
        pieces += fate(gate, batch.cut(start, stop))
        if data.draw(st.booleans()):
            saved = gate.snapshot()
            gate = Gate(stream, REGISTRY, settings_)
            gate.restore(saved)
    assert pieces == whole


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_memory_judges_a_batch_as_it_would_row_by_row(data: st.DataObject) -> None:
    records = data.draw(st.lists(FLOWS["vehicle"].filter(lambda fix: 0 < fix["lat"] < 90), max_size=40))
    batch = raw(records, T0 + 360_000)
    singly = Gate("vehicle", EMPTY)
    one_by_one = [row for i in range(len(records)) for row in fate(singly, batch.cut(i, i + 1))]
    assert fate(Gate("vehicle", EMPTY), batch) == one_by_one


@pytest.mark.parametrize("by_value", [True, False])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_memory_judges_compiled_as_in_numpy_and_row_by_row(by_value: bool, data: st.DataObject) -> None:
    row = st.tuples(st.integers(0, 4), st.integers(-3, 6), st.sampled_from([1.0, 2.0, float("nan")]))
    rows = data.draw(st.lists(row, max_size=40))
    slot = np.array([one[0] for one in rows], dtype=np.int32)
    ts, value = np.array([one[1] for one in rows], dtype=np.int64), np.array([one[2] for one in rows], dtype=np.float64)
    memories = [SeriesMemory(3, by_value=by_value) for _ in range(3)]
    for memory in memories:
        memory.grow(5)
    at_once = memories[0].judge(slot, ts, value).tolist()
    with mock.patch.object(compiled, "AVAILABLE", False):
        in_numpy = memories[1].judge(slot, ts, value).tolist()
    singly = [int(memories[2].judge(slot[i : i + 1], ts[i : i + 1], value[i : i + 1])[0]) for i in range(len(rows))]
    assert at_once == in_numpy == singly
    saved = [{name: column.tobytes() for name, column in memory.snapshot(5).items()} for memory in memories]
    assert saved[0] == saved[1] == saved[2]


@pytest.mark.parametrize("stream", STREAMS)
def test_an_empty_batch_is_admitted(stream: str) -> None:
    assert fate(Gate(stream, EMPTY), raw([])) == []

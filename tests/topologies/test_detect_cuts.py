"""Law 2 for the whole stage with the whole default rulebook: where a batch is cut changes nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.records import Asset, Signal
from streams.registry import Registry
from tests.contracts.rows import alike
from topologies.detect import DetectStage
from topologies.settings_stages import DetectSettings

START = 1_751_241_600_000
BOOK = RuleBook.default()
#: Small times, so that forgetting, effective dates and silence happen within a few dozen records.
SETTINGS = DetectSettings(give_up_s={"sensor": 240.0, "vehicle": 240.0, "video": 240.0, "hotline": 120.0, "group": 240.0})


def _registry() -> Registry:
    def sensor(name: str, metric: str, **facts: Any) -> dict[str, Any]:
        period = {"from": 0, "city": "340100", "lat": 31.8, "lon": 117.2, "metric": metric, "report_after_s": 45.0, **facts}
        return {"asset_id": name, "kind": "sensor", "periods": [period]}

    moved = sensor("S0", "ch4")
    moved["periods"] = [
        {**moved["periods"][0], "to": START + 90_000},
        {**moved["periods"][0], "from": START + 90_000, "lat": 31.9, "report_after_s": 20.0},
    ]
    assets = [
        moved,
        sensor("S1", "ponding_depth", attributes={"place": "underpass"}),
        sensor("S2", "water_pressure", group="G1"),
        sensor("NEVER", "ch4"),
        # Sensors behind a gateway, of intervals of their own: their silences are judged by each other.
        *(sensor(f"S{i}", "mystery", gateway="GW", interval_s=5.0 * i, report_after_s=12.0 * i) for i in range(3, 6)),
        sensor("ALSO", "ch4", gateway="GW", interval_s=9.0),
        {"asset_id": "V0", "kind": "vehicle", "periods": [{"from": 0, "city": "340100", "report_after_s": 30.0}]},
    ]
    return Registry.from_assets([msgspec.convert(asset, Asset) for asset in assets])


REGISTRY = _registry()
METRICS = ("ch4", "ponding_depth", "water_pressure", "mystery")


@st.composite
def records(draw: st.DrawFn, stream: str) -> list[tuple[int, bytes | None]]:
    """(arrival, value) of a few dozen records: repetitions, disorder, gaps, garbage, extremes."""
    now, rows = START, []
    for i in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([-500, 0, 1, 400, 999, 1000, 3000, 11_000, 61_000, 250_000]))
        ts = now - draw(st.sampled_from([0, 0, 0, 200, 5_000, 200_000, -400_000]))
        who = draw(st.integers(0, 5))
        level = draw(st.sampled_from([0.0, 0.3, 5.0, 12.0, 21.0, 30.0, 55.0, 110.0]))
        record: dict[str, Any] = {"ts": ts}
        if stream == "sensor":
            record |= {"sensor_id": f"S{who}", "metric": METRICS[draw(st.integers(0, 3))], "value": level}
            record |= draw(st.sampled_from([{}, {}, {}, {"unit": "furlong"}, {"quality": "maintenance"}]))
        elif stream == "vehicle":
            record |= {
                "vehicle_id": f"V{who}",
                "lat": 31.8 + level / 20_000,
                "lon": 117.2,
                "speed_kmh": level,
                "kind": "muck_truck",
            }
            record |= {"load_state": "full", "lid_state": "open", "hopper_state": "up", "alarm_bits": int(level) % 2}
        elif stream == "video":
            kind = draw(st.sampled_from(["fire", "smoke", "vendor"]))
            record |= {
                "camera_id": f"C{who}",
                "event_id": f"E{i % 30}",
                "kind": kind,
                "confidence": min(0.99, 0.5 + level / 100),
            }
        else:
            text = draw(st.sampled_from(["煤气味很浓", "路面塌陷了一个大坑", "请问电话是多少"]))
            record |= {"call_id": f"K{i % 30}", "line": "12345", "text": text, "caller": f"1380000000{who}"}
        value: bytes | None = orjson.dumps(record)
        broken = draw(st.integers(0, 30))
        rows.append((now, {0: b"{", 1: None, 2: b"[]"}.get(broken, value)))
    return rows


TOPIC = {
    "sensor": "city.sensor.readings",
    "group": "city.sensor.groups",
    "vehicle": "city.vehicle.positions",
    "video": "city.video.events",
    "hotline": "city.hotline.calls",
}


def _raw(stream: str, rows: list[tuple[int, bytes | None]]) -> RawBatch:
    count = len(rows)
    return RawBatch(
        TOPIC[stream], 0, list(range(10, 10 + count)), [at for at, _ in rows], [v for _, v in rows], [b"G1"] * count
    )


def _run(
    stream: str, rows: list[tuple[int, bytes | None]], cuts: list[int], restart: bool = False, partitions: int = 1
) -> tuple[Any, ...]:
    chosen = msgspec.structs.replace(SETTINGS, partitions=partitions)
    stage = DetectStage(TOPIC[stream], 0, BOOK, REGISTRY, chosen)
    raw = _raw(stream, rows)
    said: list[Any] = []
    dead: list[Any] = []
    quarantined: list[Any] = []
    regrouped: list[Any] = []
    outcomes: Counter[str] = Counter()
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        done = stage.process(raw.cut(start, stop))
        said += map(msgspec.to_builtins, done.signals)
        dead += map(msgspec.to_builtins, done.dead)
        quarantined += map(msgspec.to_builtins, done.quarantined)
        regrouped += [(group, msgspec.to_builtins(reading)) for group, reading in done.regrouped]
        outcomes += done.outcomes
        if restart:
            stage = DetectStage.restore(TOPIC[stream], 0, BOOK, REGISTRY, chosen, stage.snapshot())
    return said, dead, quarantined, regrouped, outcomes, stage.snapshot()


@pytest.mark.parametrize("stream", ["sensor", "vehicle", "video", "hotline", "group"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_signals_outcomes_and_state_do_not_depend_on_where_batches_are_cut(stream: str, data: st.DataObject) -> None:
    rows = data.draw(records("sensor" if stream == "group" else stream))
    # In a topic of several, some speak here that belong elsewhere.
    partitions = data.draw(st.integers(1, 3))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(rows) - 1)), max_size=4)) - {len(rows)})
    whole, cut = (_run(stream, rows, where, partitions=partitions) for where in ([], cuts))
    for name, a, b in zip(("signals", "dead", "quarantined", "regrouped", "outcomes", "state"), whole, cut, strict=True):
        assert alike(a, b), name


def _agree_at_every_cut(stream: str, rows: list[tuple[int, bytes | None]]) -> dict[str, Any]:
    whole = _run(stream, rows, [])
    for cut in range(1, len(rows)):
        for name, a, b in zip(
            ("signals", "dead", "quarantined", "regrouped", "outcomes", "state"), whole, _run(stream, rows, [cut]), strict=True
        ):
            assert alike(a, b), (name, cut)
    state: dict[str, Any] = whole[-1]
    return state


def test_a_series_whose_first_row_is_a_repetition_is_as_old_as_that_row() -> None:
    event = {"event_id": "E0", "kind": "fire", "confidence": 0.5}
    rows: list[tuple[int, bytes | None]] = [
        (START, orjson.dumps(event | {"camera_id": "C0", "ts": START})),
        (START - 1000, orjson.dumps(event | {"camera_id": "C1", "ts": START - 1000})),
        (START - 9000, orjson.dumps(event | {"camera_id": "C1", "event_id": "E1", "ts": START - 9000})),
    ]
    _agree_at_every_cut("video", rows)


def test_a_sensor_is_known_by_its_first_refused_row_and_speaks_by_the_second() -> None:
    def refused(after_ms: int) -> tuple[int, bytes]:
        at = START + after_ms
        return at, orjson.dumps({"sensor_id": "S9", "metric": "ch4", "unit": "furlong", "value": 1.0, "ts": at})

    state = _agree_at_every_cut("sensor", [refused(0), refused(7000)])
    assert state["shard"]["heard"].tolist()[-1] == START + 7000


@pytest.mark.parametrize("stream", ["sensor", "vehicle", "video", "hotline"])
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_stage_restored_from_its_snapshot_goes_on_as_if_nothing_had_happened(stream: str, data: st.DataObject) -> None:
    rows = data.draw(records(stream))
    cut = [len(rows) // 2] if len(rows) > 1 else []
    partitions = data.draw(st.integers(1, 3))
    whole, again = (_run(stream, rows, where, bool(where), partitions) for where in ([], cut))
    assert alike(whole[:5], again[:5])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=records("sensor"))
def test_the_sequence_of_a_source_only_rises(rows: list[tuple[int, bytes | None]]) -> None:
    stage = DetectStage(TOPIC["sensor"], 0, BOOK, REGISTRY, SETTINGS)
    raw = _raw("sensor", rows)
    half = len(rows) // 2
    found = stage.process(raw.cut(0, half)).signals
    found += stage.idle(max(START, *raw.arrivals) + 90_000, 10 + half).signals
    found += stage.switch(rules=RuleBook.of(list(BOOK.rules[::2]), BOOK.families), next_offset=10 + half).signals
    found += stage.switch(registry=Registry(), next_offset=10 + half).signals
    found += stage.process(raw.cut(half, len(rows))).signals
    places = [record.source.sequence for record in found if isinstance(record, Signal) or record.source]
    assert all(a < b for a, b in itertools.pairwise(places))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=records("sensor"))
def test_outcomes_add_up_to_the_rows(rows: list[tuple[int, bytes | None]]) -> None:
    assert sum(
        DetectStage(TOPIC["sensor"], 0, BOOK, REGISTRY, SETTINGS).process(_raw("sensor", rows)).outcomes.values()
    ) == len(rows)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whose_silence_it_is_does_not_depend_on_where_batches_are_cut(data: st.DataObject) -> None:
    """A stream of many rows that stops, and trickles: silences of all kinds, and that of the stream itself."""
    alive = [(START + 1000 * t, _reading(f"S{data.draw(st.integers(0, 5))}", START + 1000 * t)) for t in range(0, 30 * 11, 11)]
    trickle = data.draw(st.lists(st.integers(340, 2400), max_size=6))
    late = [(START + 1000 * t, _reading("S3", START + data.draw(st.integers(100, 2400)) * 1000)) for t in sorted(trickle)]
    rows = [*alive, *late, (START + 2_500_000, _reading("S4", START + 2_500_000))]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=4)))
    whole, cut = _run("sensor", rows, []), _run("sensor", rows, cuts, restart=True)
    assert any(one.get("outage") == "stream" or one.get("rule") == "platform-stream-silent" for one in whole[0])
    assert alike(whole[:5], cut[:5])


def _reading(sensor: str, ts: int) -> bytes:
    return orjson.dumps({"sensor_id": sensor, "ts": ts, "metric": "mystery", "value": float(ts % 7000) / 100})

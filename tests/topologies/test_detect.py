"""The detect stage, one fact each."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.errors import Mend
from streams.partitioner import partition_of
from streams.records import Asset, Control, Signal
from streams.registry import Registry
from topologies.detect import Detected, DetectStage
from topologies.settings_stages import DetectSettings, detect_settings

START = 1_751_241_600_000
BOOK = RuleBook.default()
READINGS = "city.sensor.readings"


def assets(*given: dict[str, Any]) -> Registry:
    rows = [{"asset_id": one.pop("id"), "kind": one.pop("kind", "sensor"), "periods": [{"from": 0, **one}]} for one in given]
    return Registry.from_assets([msgspec.convert(row, Asset) for row in rows])


def only(*names: str) -> RuleBook:
    return RuleBook.of([BOOK[name] for name in names], BOOK.families)


def stage(rules: RuleBook = BOOK, registry: Registry | None = None, topic: str = READINGS, **settings: Any) -> DetectStage:
    return DetectStage(topic, 0, rules, registry or Registry(), DetectSettings(**settings))


class Feed:
    """Offsets run on from call to call."""

    def __init__(self, to: DetectStage) -> None:
        self.to, self.offset = to, 0

    def __call__(self, *records: dict[str, Any], key: bytes | None = None) -> Detected:
        first, self.offset = self.offset, self.offset + len(records)
        arrivals = [START + round(1000 * record.pop("arrives_s", record["at_s"])) for record in records]
        values = [orjson.dumps({"ts": START + round(1000 * record.pop("at_s")), **record}) for record in records]
        offsets = list(range(first, self.offset))
        return self.to.process(RawBatch(self.to.topic, 0, offsets, arrivals, values, [key] * len(records)))


def ch4(at_s: float, value: float, sensor: str = "G-1", **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "sensor_id": sensor, "metric": "ch4", "value": value, **more}


def signals(found: Detected) -> list[Signal]:
    return [record for record in found.signals if isinstance(record, Signal)]


def controls(found: Detected) -> list[Control]:
    return [record for record in found.signals if isinstance(record, Control)]


def test_a_signal_carries_the_facts_of_the_registry() -> None:
    registry = assets(
        {"id": "G-1", "city": "340102", "lat": 31.8, "lon": 117.2, "gateway": "GW-1", "grid_code": "g", "metric": "ch4"}
    )
    found = signals(Feed(stage(only("gas-methane-well"), registry))(ch4(0, 25.0), ch4(60, 25.0)))[0]
    assert (found.city, found.gateway, found.grid_code) == ("340102", "GW-1", "g")
    assert found.location is not None
    assert found.location.coordinates == (117.2, 31.8)


def test_a_signal_says_value_threshold_unit_and_since_in_plain_words() -> None:
    found = signals(Feed(stage(only("gas-methane-well")))(ch4(0, 25.0), ch4(60, 25.0)))[0]
    assert found.explanation == "ch4 25 %LEL; at or above 20 (level 3); since 2025-06-30T00:00:00Z"
    assert (found.value, found.threshold, found.unit) == (25.0, 20.0, "%LEL")


def test_a_signal_of_an_unregistered_sensor_goes_to_the_default_city_with_its_own_position() -> None:
    found = signals(Feed(stage(only("gas-methane-well")))(ch4(0, 25.0), ch4(60, 25.0, lat=31.9, lon=117.3)))[0]
    assert found.city == "340100"
    assert found.location is not None
    assert found.location.coordinates == (117.3, 31.9)


def test_raised_updated_and_cleared_share_one_id() -> None:
    rows = [ch4(0, 25.0), ch4(60, 25.0), ch4(120, 60.0), ch4(180, 60.0), ch4(240, 1.0), ch4(2100, 1.0)]
    found = signals(Feed(stage(only("gas-methane-well")))(*rows))
    assert [signal.phase for signal in found] == ["raised", "updated", "cleared"]
    assert {signal.signal_id for signal in found} == {f"gas-methane-well:G-1:{START + 60_000}"}


def test_a_call_is_named_by_its_own_id_and_its_caller_is_the_witness() -> None:
    feed = Feed(stage(only("gas-smell-call"), topic="city.hotline.calls"))
    call = {"at_s": 0, "call_id": "C-9", "line": "12345", "text": "楼道里有很浓的煤气味", "caller": "13812345678"}
    found = signals(feed(call))[0]
    assert found.signal_id == "gas-smell-call:C-9:C-9"
    assert found.witness is not None
    assert "1381234" not in found.witness
    assert found.momentary


def test_what_happened_long_before_it_arrived_is_historical() -> None:
    feed = Feed(stage(only("gas-methane-well"), live_limit_s={"sensor": 3600.0}))
    found = signals(feed(ch4(0, 25.0, arrives_s=7200), ch4(60, 25.0, arrives_s=7200)))
    assert [signal.historical for signal in found] == [True]


def test_late_rows_are_counted_and_not_shown_to_rules_that_do_not_take_them() -> None:
    found = Feed(stage(only("gas-methane-well")))(ch4(60, 1.0), ch4(0, 50.0, arrives_s=61), ch4(10, 50.0, arrives_s=62))
    assert found.outcomes == {"processed": 1, "late": 2}
    assert not signals(found)


def test_a_registered_sensor_that_was_never_heard_is_reported() -> None:
    registry = assets({"id": "G-1", "metric": "ch4"}, {"id": "G-2", "metric": "ch4", "report_after_s": 60.0})
    found = Feed(stage(only("device-silent"), registry))(ch4(0, 1.0), ch4(120, 1.0))
    assert [(signal.entity, signal.phase) for signal in signals(found)] == [("G-2", "raised")]


def test_a_sensor_whose_key_belongs_to_another_partition_is_not_expected_here() -> None:
    name = next(f"G-{n}" for n in range(100) if partition_of(f"G-{n}", 4) != 0)
    registry = assets({"id": name, "metric": "ch4", "report_after_s": 60.0})
    found = Feed(stage(only("device-silent"), registry, partitions=4))(ch4(0, 1.0, "X"), ch4(120, 1.0, "X"))
    assert not signals(found)


def _elsewhere() -> str:
    return next(f"G-{n}" for n in range(100) if partition_of(f"G-{n}", 4) != 0)


def test_a_sensor_that_has_moved_to_another_partition_is_not_silent_here() -> None:
    """Partitions were added behind its first record."""
    name = _elsewhere()
    registry = assets({"id": name, "metric": "ch4", "report_after_s": 60.0})
    for partitions, expected in ((1, [name]), (4, [])):
        found = Feed(stage(only("device-silent"), registry, partitions=partitions))(ch4(0, 1.0, name), ch4(120, 1.0, "X"))
        assert [signal.entity for signal in signals(found)] == expected
        assert controls(found)[-1].silent_fraction == len(expected)


def test_what_it_had_raised_here_is_cleared_after_its_give_up_time() -> None:
    name = _elsewhere()
    registry = assets({"id": name, "metric": "ch4", "report_after_s": 60.0})
    feed = Feed(stage(only("gas-methane-well"), registry, partitions=4, give_up_s={"sensor": 600.0}))
    found = signals(feed(ch4(0, 25.0, name), ch4(60, 25.0, name), ch4(300, 1.0, "X"), ch4(1200, 1.0, "X")))
    assert [(signal.entity, signal.phase) for signal in found] == [(name, "raised"), (name, "cleared")]


def test_a_moved_sensor_stays_one_after_a_restart() -> None:
    name = _elsewhere()
    registry = assets({"id": name, "metric": "ch4", "report_after_s": 60.0})
    one = stage(only("device-silent", "gas-methane-well"), registry, partitions=4)
    Feed(one)(ch4(0, 1.0, name))
    again = DetectStage.restore(READINGS, 0, one.rules, registry, DetectSettings(partitions=4), one.snapshot())
    feed = Feed(again)
    feed.offset = 1
    assert not signals(feed(ch4(120, 1.0, "X")))
    assert again.shard.sweep_due() == one.shard.sweep_due()


def test_a_sensor_keyed_by_its_gateway_is_expected_where_the_gateway_is() -> None:
    gateway = next(f"GW-{n}" for n in range(100) if partition_of(f"GW-{n}", 4) == 0)
    facts = {"metric": "ch4", "report_after_s": 60.0, "gateway": gateway, "attributes": {"key": "gateway"}}
    name = next(f"G-{n}" for n in range(100) if partition_of(f"G-{n}", 4) != 0)
    found = Feed(stage(only("device-silent"), assets({"id": name, **facts}), partitions=4))(
        ch4(0, 1.0, "X"), ch4(240, 1.0, "X")
    )
    assert [signal.entity for signal in signals(found)] == [name]


def test_silence_is_found_on_an_idle_partition() -> None:
    one = stage(only("device-silent"), assets({"id": "G-1", "metric": "ch4", "report_after_s": 60.0}))
    Feed(one)(ch4(0, 1.0))
    found = signals(one.idle(START + 90_000, 1))
    assert [(signal.phase, signal.source.offset, signal.source.tick) for signal in found] == [("raised", 1, START + 60_000)]


def test_limits_and_times_of_a_sensor_hold_for_the_metric_the_registry_names() -> None:
    registry = assets({"id": "G-1", "metric": "ch4", "report_after_s": 60.0})
    battery = {"at_s": 0, "sensor_id": "G-1", "metric": "battery", "value": 80.0}
    found = Feed(stage(only("device-silent"), registry))(battery, *(ch4(30.0 * n, 1.0) for n in range(10)))
    assert not signals(found)


def test_progress_is_told_per_city_each_time_five_seconds_have_passed() -> None:
    registry = assets({"id": "G-1", "city": "340102", "metric": "ch4", "report_after_s": 4.0})
    found = controls(Feed(stage(registry=registry))(ch4(0, 1.0), ch4(3, 1.0), ch4(12, 1.0), ch4(13, 1.0)))
    assert [(one.city, one.arrival_ts - START) for one in found] == [
        ("340100", 0),
        ("340102", 0),
        ("340100", 10_000),
        ("340102", 10_000),
    ]
    assert [one.silent_fraction for one in found[::2]] == [0.0, 1.0]


def test_readings_of_a_group_are_sent_on_under_its_key() -> None:
    registry = assets({"id": "G-1", "metric": "ch4", "group": "SPAN-1"}, {"id": "G-2", "metric": "ch4"})
    found = Feed(stage(registry=registry))(ch4(0, 1.0), ch4(1, 1.0, "G-2"), ch4(2, 2.0))
    assert [(group, reading.value) for group, reading in found.regrouped] == [("SPAN-1", 1.0), ("SPAN-1", 2.0)]


def test_series_of_the_group_topic_are_groups() -> None:
    one = stage(only("group-unusual"), topic="city.sensor.groups")
    Feed(one)(ch4(0, 1.0), ch4(1, 1.0, "G-2"), key=b"SPAN-1")
    assert [one.shard.facts[slot].entity for slot in one.shard.live()] == ["SPAN-1"]


def test_a_series_the_registry_does_not_know_is_forgotten_after_its_give_up_time() -> None:
    one = stage(only("gas-methane-well"), give_up_s={"sensor": 600.0})
    feed = Feed(one)
    feed(ch4(0, 25.0), ch4(30, 25.0))
    found = feed(ch4(900, 1.0, "G-2"))
    assert (found.expired, found.entities) == (1, 1)
    assert [(signal.entity, signal.phase) for signal in signals(found)] == [("G-1", "cleared")]


def test_series_that_are_forgotten_together_clear_what_they_raised_and_leave_their_slots() -> None:
    one = stage(only("gas-methane-well", "gas-methane-trace"), give_up_s={"sensor": 600.0})
    feed = Feed(one)
    high, calm = [f"H-{n}" for n in range(20)], [f"C-{n}" for n in range(20)]
    for at in (0, 30):
        feed(*(ch4(at, 25.0, name) for name in high), *(ch4(at, 1.0, name) for name in calm))
    feed(ch4(500, 25.0, "LATER"), ch4(530, 25.0, "LATER"))
    found = feed(ch4(900, 1.0, "LAST"))
    cleared = [signal.entity for signal in signals(found) if signal.rule == "gas-methane-well"]
    assert (found.expired, found.entities, cleared) == (40, 2, high)
    again = signals(feed(*(ch4(at, 25.0, name) for at in (1000, 1030) for name in ("N-1", "N-2"))))
    raised = [(signal.entity, signal.phase) for signal in again if signal.rule == "gas-methane-well"]
    assert raised == [("N-1", "raised"), ("N-2", "raised")] and len(one.shard.facts) == 41


def test_a_registered_series_is_never_forgotten() -> None:
    feed = Feed(stage(only("gas-methane-well"), assets({"id": "G-1", "metric": "ch4"}), give_up_s={"sensor": 600.0}))
    feed(ch4(0, 1.0))
    assert feed(ch4(90_000, 1.0, "G-2")).expired == 0


def test_facts_follow_the_effective_dates_of_the_registry() -> None:
    first = {"from": 0, "to": START + 600_000, "lat": 31.8, "lon": 117.2, "metric": "ch4"}
    asset = {
        "asset_id": "G-1",
        "kind": "sensor",
        "periods": [first, {**first, "from": START + 600_000, "to": None, "lat": 31.9}],
    }
    feed = Feed(stage(only("gas-methane-well"), Registry.from_assets([msgspec.convert(asset, Asset)])))
    feed(ch4(0, 1.0))
    found = signals(feed(ch4(700, 25.0), ch4(760, 25.0)))[0]
    assert found.location is not None
    assert found.location.coordinates == (117.2, 31.9)


def test_a_switch_of_rules_keeps_the_state_of_rules_that_did_not_change() -> None:
    one = stage(only("gas-methane-well", "gas-methane-trace"))
    feed = Feed(one)
    feed(ch4(0, 25.0))
    one.switch(rules=only("gas-methane-well", "water-turbidity"), next_offset=1)
    assert [signal.phase for signal in signals(feed(ch4(60, 25.0)))] == ["raised"]


def test_a_rule_that_leaves_the_book_clears_its_alarms_before_the_switch_is_told() -> None:
    one = stage(only("gas-methane-well"))
    Feed(one)(ch4(0, 25.0), ch4(60, 25.0))
    found = one.switch(rules=only("water-turbidity"), next_offset=2).signals
    assert [getattr(record, "phase", None) or getattr(record, "control", None) for record in found] == ["cleared", "rules"]


def test_a_switch_of_the_registry_is_told_with_its_place_in_the_log() -> None:
    one = stage()
    Feed(one)(ch4(0, 1.0))
    told = controls(one.switch(registry=Registry(revision=7), next_offset=1))[0]
    assert (told.control, told.registry_revision, told.source.offset) == ("registry", 7, 1)


def test_limits_of_a_new_registry_hold_at_once() -> None:
    one = stage(only("tank-level-high"), assets({"id": "T-1", "metric": "tank_level", "limits": {"high": 90.0}}))
    feed = Feed(one)

    def level(at_s: float) -> dict[str, Any]:
        return {"at_s": at_s, "sensor_id": "T-1", "metric": "tank_level", "value": 85.0}

    assert not signals(feed(level(0), level(30)))
    one.switch(registry=assets({"id": "T-1", "metric": "tank_level", "limits": {"high": 80.0}}), next_offset=2)
    assert [signal.phase for signal in signals(feed(level(60), level(90)))] == ["raised"]


def test_a_topic_that_is_no_input_is_refused_with_the_mend() -> None:
    with pytest.raises(Mend, match="no input topic"):
        stage(topic="city.mutes")


def test_a_state_of_another_format_is_refused() -> None:
    with pytest.raises(Mend, match="format 99"):
        DetectStage.restore(READINGS, 0, BOOK, Registry(), None, {"format": 99})


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(Mend, match="progres_s"):
        detect_settings({"progres_s": 5})

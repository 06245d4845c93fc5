"""What a device sends although it may not be believed shows that it lives; what a truck says it is decides its rules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.topologies.test_detect import Feed, assets, only, signals, stage

VEHICLES = "city.vehicle.positions"


def minutes(count: int, **last: Any) -> list[dict[str, Any]]:
    """A pressure every minute; ``last`` changes all but the first."""
    rows = [{"at_s": 60.0 * i, "sensor_id": "W-1", "metric": "water_pressure", "value": 0.3} for i in range(count)]
    return [row if i == 0 else row | last for i, row in enumerate(rows)]


def registered(**more: Any) -> Any:
    facts = {"id": "W-1", "city": "340100", "metric": "water_pressure", "interval_s": 60.0, "report_after_s": 180.0}
    return assets(facts | more)


@pytest.mark.parametrize("last", [{"quality": "maintenance"}, {"quality": "bad"}, {"value": -9999}, {"unit": "furlong"}])
def test_a_sensor_whose_readings_cannot_be_believed_is_not_silent(last: dict[str, Any]) -> None:
    feed = Feed(stage(only("device-silent"), registered(sentinels=[-9999])))
    assert signals(feed(*minutes(12, **last))) == []


def test_one_that_says_nothing_at_all_still_is() -> None:
    feed = Feed(stage(only("device-silent"), registered()))
    told = signals(feed({**minutes(1)[0]}, {"at_s": 600, "sensor_id": "W-2", "metric": "ph", "value": 7.0}))
    assert [(one.entity, one.phase) for one in told] == [("W-1", "raised")]


def test_signs_of_life_of_a_series_nobody_knows_make_none() -> None:
    at = stage(only("device-silent"))
    Feed(at)(*minutes(3, quality="bad")[1:])
    assert at.shard.entities == 0


def test_a_registered_truck_that_says_what_it_is_gets_the_rules_of_its_kind() -> None:
    truck = assets({"id": "T-1", "kind": "vehicle", "city": "340100", "interval_s": 30.0, "limits": {"speed_kmh": 60.0}})
    fixes = [
        {"at_s": 10.0 * i, "vehicle_id": "T-1", "lat": 31.8 + i / 400, "lon": 117.2, "speed_kmh": 90.0, "kind": "muck_truck"}
        for i in range(6)
    ]
    told = signals(Feed(stage(only("muck-overspeed"), truck, VEHICLES))(*fixes))
    assert [(one.rule, one.phase) for one in told] == [("muck-overspeed", "raised")]

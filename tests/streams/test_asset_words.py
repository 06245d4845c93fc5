"""Registries written by others: free fields, aliases and codes are understood, the house's own names never overruled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detectors.fences import FenceSet
from streams.record_codec import decode_record
from streams.records import Asset
from streams.registry import Registry

SQUARE = {"type": "Polygon", "coordinates": [[[117.2, 31.8], [117.21, 31.8], [117.21, 31.81], [117.2, 31.81], [117.2, 31.8]]]}


def known(kind: str = "site", asset_id: str = "A-1", **period: Any) -> Asset:
    value = json.dumps({"asset_id": asset_id, "kind": kind, "periods": [{"from": 0, **period}]}).encode()
    asset = decode_record(Asset, value)
    assert isinstance(asset, Asset)
    read = Registry.from_assets([asset]).asset(asset_id)
    assert read is not None
    return read


def attributes(**given: Any) -> dict[str, Any]:
    return known(**given).periods[0].attributes


def test_a_field_the_contract_does_not_know_is_an_attribute() -> None:
    assert attributes(well_type="sewage") == {"well_type": "sewage"}


def test_an_attribute_that_is_there_is_not_overruled_by_a_free_field() -> None:
    assert attributes(kind="sensor", place="road", attributes={"place": "underpass"})["place"] == "underpass"


@pytest.mark.parametrize(
    ("word", "meant"), [("disposal", "disposal_site"), ("消纳场", "disposal_site"), ("no_muck_zone", "forbidden_zone")]
)
def test_what_a_site_is_for_may_be_said_in_other_words(word: str, meant: str) -> None:
    assert attributes(site_type=word)["fence_kind"] == meant


def test_a_word_nobody_knows_means_nothing() -> None:
    assert "fence_kind" not in attributes(site_type="castle")


def test_a_fence_beside_the_contracts_fields_is_a_fence_with_its_hours() -> None:
    fences = FenceSet.from_assets([known(site_type="no_muck_zone", hours="07:00-19:00", fence=SQUARE, lat=31.8, lon=117.2)])
    assert [(fence.kind, fence.daily) for fence in fences.fences] == [("forbidden_zone", (25_200_000, 68_400_000))]


def test_a_site_with_a_radius_and_no_drawing_is_a_circle() -> None:
    fences = FenceSet.from_assets([known(type="disposal", radius_m=200, lat=31.8, lon=117.2)])
    assert not fences[0].area.is_empty
    assert fences[0].shape.buffer(0.0022).contains(fences[0].area)


def test_a_drawn_area_is_not_widened_by_a_radius_beside_it() -> None:
    fences = FenceSet.from_assets([known(site_type="disposal", radius_m=350, fence=SQUARE, lat=31.8, lon=117.2)])
    assert fences[0].area.equals(fences[0].shape)


@pytest.mark.parametrize(
    "facts",
    [{"asset_id": "ADV-T-00699"}, {"asset_id": "T-1", "group": "ADV-04"}, {"asset_id": "T-1", "department": "广告管理"}],
)
def test_a_tilt_sensor_by_the_code_or_the_department_of_billboards_stands_on_one(facts: dict[str, Any]) -> None:
    asset_id = facts.pop("asset_id")
    assert attributes(kind="sensor", asset_id=asset_id, metric="tilt", **facts)["place"] == "billboard"


def test_one_without_any_hint_stands_where_the_rules_take_it_to_stand() -> None:
    assert "place" not in attributes(kind="sensor", asset_id="TILT-1", metric="tilt")


def test_understanding_twice_changes_nothing() -> None:
    once = known(site_type="no_muck_zone", hours="07:00-19:00", fence=SQUARE)
    assert Registry.from_assets([once]).asset("A-1") == once

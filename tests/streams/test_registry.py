"""streams.registry: what is known of an asset, and when it held."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.geography import haversine_m
from streams.records import Asset, Period
from streams.registry import Registry

T0 = 1_700_000_000_000


def asset(asset_id: str = "a", *periods: Period, kind: str = "sensor", **facts: Any) -> Asset:
    return Asset(asset_id, kind, list(periods) or [Period(T0, **facts)])


def registry(*assets: Asset) -> Registry:
    return Registry.from_assets(assets)


# --- periods --------------------------------------------------------------------------------------------------------------


def test_a_period_holds_from_its_beginning_until_before_its_end() -> None:
    known = registry(asset("a", Period(100, 200, city="x")))
    assert [known.at("a", ts) is not None for ts in (99, 100, 199, 200)] == [False, True, True, False]


def test_before_the_first_period_nothing_is_known() -> None:
    assert registry(asset()).at("a", T0 - 1) is None


def test_an_unknown_asset_has_no_facts() -> None:
    assert registry().at("a", T0) is None


def test_each_moment_has_the_facts_of_its_period() -> None:
    known = registry(asset("a", Period(200, city="new"), Period(100, 200, city="old")))
    assert [facts.city for ts in (150, 250) if (facts := known.at("a", ts))] == ["old", "new"]


def test_an_open_period_ends_where_the_next_begins() -> None:
    known = registry(asset("a", Period(100, city="old"), Period(200, city="new")))
    assert [facts.valid_to for facts in known.periods("a")] == [200, None] and known.problems == []


def test_times_may_be_text() -> None:
    known = registry(asset("a", Period("2023-11-15T06:13:20+08:00")))
    assert known.at("a", T0) is not None and known.at("a", T0 - 1) is None


@pytest.mark.parametrize(
    ("periods", "problem"),
    [
        ([Period(100, 300), Period(200)], "period 1 overlaps period 2"),
        ([Period(100), Period(100)], "period 1 overlaps period 2"),
        ([Period(200, 100)], "period 1: from is not before to"),
        ([Period(100, 100)], "period 1: from is not before to"),
        ([Period("soon")], "period 1: expected epoch milliseconds"),
        ([Period(0, lat=31.0, lon=117.0, crs="mars")], "period 1: unknown crs 'mars'"),  # type: ignore[arg-type]
        ([Period(0, lat=31.0)], "period 1: only one of lat and lon"),
        ([Period(0, lat=95.0, lon=117.0)], "is not on Earth"),
        ([Period(0, lat=0.0, lon=0.0)], "zero of an unset device"),
        ([Period(0, metric="ch4", unit="kPa")], "unit 'kPa' does not fit metric 'ch4'"),
        ([], "no period"),
    ],
)
def test_what_is_wrong_is_a_problem_and_no_error(periods: list[Period], problem: str) -> None:
    [line] = registry(Asset("a", "sensor", periods)).problems
    assert line.startswith("a: ") and problem in line


def test_a_position_of_an_unknown_system_is_left_out() -> None:
    facts = registry(asset(lat=31.0, lon=117.0, crs="mars")).at("a", T0)
    assert facts is not None and facts.lat is None


def test_positions_are_turned_into_wgs84() -> None:
    facts = registry(asset(lat=31.818601, lon=117.232682, crs="gcj02")).at("a", T0)
    assert facts is not None and facts.lat is not None and facts.lon is not None
    assert haversine_m(facts.lat, facts.lon, 31.8206, 117.2272) < 1.0


def test_limits_are_turned_into_the_metrics_unit() -> None:
    facts = registry(asset(metric="ch4", unit="%VOL", limits={"high": 1.0})).at("a", T0)
    assert facts is not None and facts.limits == {"high": 20.0}


@given(st.lists(st.tuples(st.integers(0, 20), st.none() | st.integers(0, 20)), max_size=6))
def test_periods_never_overlap_once_read(spans: list[tuple[int, int | None]]) -> None:
    known = registry(Asset("a", "sensor", [Period(start, end) for start, end in spans]))
    read = known.periods("a")
    assert all(one.valid_to is not None and one.valid_to <= two.valid_from for one, two in pairwise(read))
    found = [(ts, known.at("a", ts)) for ts in range(22)]
    assert all(facts.holds_at(ts) for ts, facts in found if facts is not None)


# --- changes --------------------------------------------------------------------------------------------------------------


def test_a_change_leaves_the_old_registry_as_it_was() -> None:
    old = registry(asset("a", city="x"))
    new = old.with_asset(asset("b"), revision=7).without("a")
    assert (len(old), "a" in new, "b" in new, new.revision) == (1, False, True, 7)


def test_the_last_asset_of_an_id_holds() -> None:
    facts = registry(asset("a", city="x"), asset("a", city="y")).latest("a")
    assert facts is not None and facts.city == "y"


def test_a_mended_asset_has_no_problems_left() -> None:
    assert registry(Asset("a", "sensor", [])).with_asset(asset("a")).problems == []


def test_removing_what_is_not_there_is_no_error() -> None:
    assert len(registry().without("a")) == 0


def test_the_fingerprint_is_that_of_the_content() -> None:
    one, other = registry(asset("a"), asset("b")), registry(asset("b"), asset("a")).with_assets(revision=9)
    assert one.fingerprint == other.fingerprint != registry(asset("a")).fingerprint


def test_lines_written_are_lines_read() -> None:
    known = registry(asset("a", city="x", limits={"high": 3.0}), asset("b"))
    assert Registry.from_jsonl(known.lines()).fingerprint == known.fingerprint


def test_a_line_that_cannot_be_read_is_a_problem() -> None:
    known = Registry.from_jsonl(['{"asset_id":"a","kind":"x","periods":[{"from":0}]}', "", "{", b"\xff"])
    assert (len(known), [line.split(":")[0] for line in known.problems]) == (1, ["line 3", "line 4"])


# --- many assets ----------------------------------------------------------------------------------------------------------

CITY = registry(
    asset("school", kind="site", lat=31.8206, lon=117.2272, city="340100"),
    asset("well", lat=31.8216, lon=117.2272, city="340100", group="g1", gateway="gw"),
    asset("far", lat=31.9206, lon=117.2272, city="340200", group="g1"),
    asset(
        "moved", Period(T0, T0 + 10, lat=31.8206, lon=117.2272, group="g2"), Period(T0 + 10, lat=32.5, lon=117.2, group="g3")
    ),
    asset("nowhere"),
)


def test_near_is_by_distance_the_nearest_first() -> None:
    assert [(facts.asset_id, round(metres)) for facts, metres in CITY.near(31.8206, 117.2272, 200)] == [
        ("school", 0),
        ("well", 111),
    ]


def test_near_may_ask_for_kinds() -> None:
    assert [facts.asset_id for facts, _ in CITY.near(31.8206, 117.2272, 200, ["sensor"])] == ["well"]


def test_near_may_ask_for_a_moment() -> None:
    assert "moved" in [facts.asset_id for facts, _ in CITY.near(31.8206, 117.2272, 200, ts=T0 + 5)]


@pytest.mark.parametrize("place", [(float("nan"), 0.0, 10.0), (0.0, float("inf"), 10.0), (95.0, 0.0, 10.0), (0.0, 0.0, -1.0)])
def test_near_nowhere_is_nothing(place: tuple[float, float, float]) -> None:
    assert CITY.near(*place) == []


def test_near_finds_over_the_date_line() -> None:
    known = registry(asset("a", lat=0.5, lon=-179.999))
    assert len(known.near(0.5, 179.999, 1000)) == 1


@given(st.floats(31.7, 32.6), st.floats(117.1, 117.3), st.floats(0, 100_000))
def test_near_finds_what_measuring_all_finds(lat: float, lon: float, radius: float) -> None:
    placed = [facts for facts in CITY.assets() if facts.lat is not None and facts.lon is not None]
    expected = {f.asset_id for f in placed if haversine_m(lat, lon, float(f.lat or 0), float(f.lon or 0)) <= radius}
    assert {facts.asset_id for facts, _ in CITY.near(lat, lon, radius)} == expected


def test_members_of_a_group_are_those_of_now() -> None:
    assert (CITY.members("g1"), CITY.members("g2"), CITY.members("g3")) == (["far", "well"], [], ["moved"])


def test_members_of_a_group_may_be_those_of_then() -> None:
    assert (CITY.members("g2", T0 + 5), CITY.members("g3", T0 + 5)) == (["moved"], [])


def test_groups_gateways_and_cities_are_known() -> None:
    assert (CITY.groups(), CITY.gateways(), CITY.cities()) == (["g1", "g2", "g3"], ["gw"], ["340100", "340200"])


def test_the_sensors_behind_a_gateway_are_known() -> None:
    assert CITY.behind("gw") == ["well"]


def test_assets_come_by_kind_in_order() -> None:
    assert [facts.asset_id for facts in CITY.assets("sensor")] == ["far", "moved", "nowhere", "well"]

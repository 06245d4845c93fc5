"""The simulated city keeps its promises: deterministic, ordered, and honest about its truth."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import orjson
import pytest

from replay.simulate import City
from replay.simulate.effects import creep, plateau
from replay.simulate.export import with_arrival, write_jsonl
from replay.simulate.faults import FaultRates
from replay.simulate.hazards import RECIPES
from replay.simulate.layout import distance_m

START = 1_772_380_800_000


def small(**changes: object) -> City:
    settings: dict[str, object] = {"hours": 0.2, "sensors": 120, "vehicles": 12, "cameras": 6, "recipes": ()} | changes
    return City(seed=3, start_ts=START, **settings)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert [(w.arrival_ts, w.value) for w in small().stream()] == [(w.arrival_ts, w.value) for w in small().stream()]


def test_records_come_in_the_order_of_arrival() -> None:
    arrivals = [w.arrival_ts for w in small().stream()]
    assert arrivals == sorted(arrivals)


def test_all_four_streams_and_some_garbage_are_sent() -> None:
    city = City(seed=3, start_ts=START, hours=2.0, sensors=600, vehicles=12, cameras=20, recipes=())
    wires = list(city.stream())
    assert set(Counter(w.topic for w in wires)) == {"sensor.readings", "vehicle.positions", "video.events", "hotline.calls"}
    assert any(w.key == b"garbage" for w in wires)


def test_every_recipe_states_its_truth_and_a_day_and_a_half_has_room_for_all() -> None:
    city = City(seed=5, start_ts=START, hours=36.0)
    assert len(city.truth) == len(RECIPES) - 1  # but for the drift, which is told from a week of neighbours
    for row in city.truth:
        assert START <= row["from_ts"] < row["to_ts"] <= city.end_ts
        assert 1 <= row["level"] <= 4


@pytest.mark.parametrize("seed", range(30))
def test_nobody_dumps_where_muck_may_be_loaded_or_tipped(seed: int) -> None:
    city = City(seed=seed, start_ts=START, hours=3.0, sensors=120, vehicles=60, cameras=6, recipes=["MUC-03"] * 8)
    sites = city.layout.muck_sites()
    assert len(sites) > 10 and len(city.truth) == 8
    for row in city.truth:
        assert min(distance_m((row["lat"], row["lon"]), site) for site in sites) >= 400.0


def test_a_short_city_leaves_out_what_lasts_longer() -> None:
    names = {row["hazard_id"].split("-", 1)[1] for row in City(seed=5, start_ts=START, hours=5.0).truth}
    assert "GAS-01" in names and not {"VIO-01", "RAI-01-12H"} & names


@pytest.mark.parametrize("hours", [2.0, 3.0, 5.0, 6.5])
def test_no_hazard_begins_after_the_end_of_its_city(hours: float) -> None:
    city = City(seed=5, start_ts=START, hours=hours)
    assert city.hazards and all(hazard.from_ts < city.end_ts for hazard in city.hazards)


def test_hazards_of_one_category_are_apart() -> None:
    spots: dict[str, list[tuple[float, float]]] = {}
    for hazard in City(seed=6, start_ts=START, hours=24.0).hazards:
        if hazard.category == "gas":
            spots.setdefault(hazard.category, []).append((hazard.lat, hazard.lon))
    pairs = [(a, b) for found in spots.values() for i, a in enumerate(found) for b in found[i + 1 :]]
    assert pairs and all(distance_m(a, b) > 700 for a, b in pairs)


def test_a_bent_sensor_shows_its_hazard_and_nothing_else_before() -> None:
    city = small(hours=3.0, recipes=("GAS-02",), at_s=(1_800.0,))
    truth = city.truth[0]
    values = [
        (row["ts"], row["value"])
        for w in city.stream()
        if w.key == truth["entities"][0].encode()
        for row in [orjson.loads(w.value)]
    ]
    assert max(v for ts, v in values if ts < truth["from_ts"]) < 20.0
    assert max(v for ts, v in values if truth["from_ts"] <= ts < truth["to_ts"]) >= 50.0


def test_a_hushed_sensor_says_nothing() -> None:
    city = small(hours=3.0, recipes=("DEV-01",), at_s=(600.0,))
    truth = city.truth[0]
    times = [orjson.loads(w.value)["ts"] for w in city.stream() if w.key == truth["entities"][0].encode()]
    assert times and not [ts for ts in times if truth["from_ts"] <= ts < truth["to_ts"]]


def readings(city: City, sensor: str) -> list[tuple[int, float]]:
    """(ts, value) of one sensor in order of event time, each reading once."""
    rows = (orjson.loads(w.value) for w in city.stream() if w.key == sensor.encode())
    return sorted({(row["ts"], row["value"]) for row in rows})


def test_a_lossy_sensor_loses_its_share_and_is_never_silent() -> None:
    city = small(hours=3.0, recipes=("DEV-01-LOSS",), at_s=(1_800.0,), faults=FaultRates(0, 0, 0, 0))
    hazard = city.hazards[0]
    times = [ts for ts, _ in readings(city, hazard.entities[0])]
    steps = np.diff([ts for ts in times if ts >= hazard.from_ts])
    assert set(np.diff([ts for ts in times if ts < hazard.from_ts])) == {60_000}
    assert set(steps) <= {120_000, 180_000}
    assert 60_000 / steps.mean() == pytest.approx(hazard.losses[0].kept, abs=0.02)


def test_a_meter_only_rises_but_for_its_setback() -> None:
    city = small(hours=3.0, recipes=("DEV-02-METER",), at_s=(3_600.0,), faults=FaultRates(0, 0, 0, 0))
    hazard = city.hazards[0]
    rows = readings(city, hazard.entities[0])
    falls = [(b, 1 - y / x) for (_, x), (b, y) in pairwise(rows) if y < x]
    assert len(rows) == 180 and len(falls) == 1
    assert 0 <= falls[0][0] - hazard.from_ts < 60_000
    assert falls[0][1] == pytest.approx(hazard.setbacks[0].share, rel=0.01)


def test_a_shaking_billboard_shakes_three_to_six_times_as_much() -> None:
    city = small(hours=3.0, recipes=("ADV-01-SWAY",), at_s=(3_600.0,))
    hazard = city.hazards[0]
    rows = readings(city, hazard.entities[0])
    calm = np.std([value for ts, value in rows if ts < hazard.from_ts])
    shaken = np.std([value for ts, value in rows if hazard.from_ts <= ts < hazard.to_ts])
    assert 3.0 < shaken / calm < 7.0


def test_what_creeps_arrives_and_stays() -> None:
    shape = creep(0.2, 100.0)
    assert [shape(seconds, 1.5) for seconds in (0, 50, 500)] == pytest.approx([1.5, 1.6, 1.7])


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ValueError, match="NOPE"):
        small(recipes=("NOPE",))


def test_a_plateau_rises_and_stays() -> None:
    shape = plateau(10.0, 60.0)
    assert [shape(0, 2.0), shape(30, 2.0), shape(600, 2.0)] == [2.0, 6.0, 10.0]


def test_arrival_is_added_to_objects_only() -> None:
    assert with_arrival(b'{"a":1}', 5) == b'{"a":1,"arrival_ts":5}'
    assert with_arrival(b"null", 5) == b"null"


def test_files_hold_what_the_stream_held(tmp_path) -> None:  # type: ignore[no-untyped-def]
    counts = write_jsonl(small(), tmp_path)
    lines = (tmp_path / "city.sensor.readings.jsonl").read_bytes().splitlines()
    assert len(lines) == counts["sensor.readings"] > 0
    assert len((tmp_path / "registry.jsonl").read_bytes().splitlines()) == len(small().registry)

"""Silence from readings to incidents: both stages over a small city whose devices report every 30 s to every 30 min."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.partitioner import partition_of
from streams.records import Asset, Control, Incident, Signal
from streams.registry import Registry
from topologies.detect import DetectStage
from topologies.incident import IncidentStage
from topologies.settings_stages import DetectSettings

START = 1_751_241_600_000
TOPIC = "city.sensor.readings"
CITY = "340100"
#: Intervals (s) of the 25 sensors behind a gateway.
EVERY = (30, 60, 60, 60, 120, 120, *[300] * 10, *[600] * 5, 900, 1800, 1800, 1800)
BOOK = RuleBook.of(
    [rule for rule in RuleBook.default() if rule.name in ("device-silent", "platform-stream-silent")],
    RuleBook.default().families,
)
Alive = Callable[[str, str, float], bool]


def _registry(gateways: int) -> Registry:
    rows: list[dict[str, Any]] = []
    for g in range(gateways):
        place = {"from": 0, "city": CITY, "lat": 31.80 + 0.01 * g, "lon": 117.2}
        rows.append({"asset_id": f"GW{g}", "kind": "gateway", "periods": [place]})
        for i, every in enumerate(EVERY):
            own = {"lat": 31.80 + 0.01 * g + 0.0003 * i, "metric": "ch4", "gateway": f"GW{g}"}
            times = {"interval_s": float(every), "report_after_s": 3.5 * every}
            rows.append({"asset_id": f"G{g}-{i:02}", "kind": "sensor", "periods": [place | own | times]})
    return Registry.from_assets(msgspec.convert(row, Asset) for row in rows)


class City:
    """``alive(gateway, sensor, second)`` says who sends; the rest is the two stages as a replay runs them."""

    def __init__(self, gateways: int = 3, partitions: int = 1, registered: bool = True) -> None:
        self.registry = _registry(gateways) if registered else Registry()
        settings = DetectSettings(partitions=partitions)
        self.shards = [DetectStage(TOPIC, p, BOOK, self.registry, settings) for p in range(partitions)]
        self.stage = IncidentStage(CITY, BOOK, self.registry)
        self.gateways, self.partitions = gateways, partitions

    def rows(self, hours: float, alive: Alive, delay_s: Callable[[int], float] = lambda n: 0.2) -> list[tuple[int, str, bytes]]:
        """(arrival, sensor, value) in order of arrival; ``delay_s`` of the n-th record."""
        phases = np.random.default_rng(7).random((self.gateways, len(EVERY)))
        sent = [
            (phases[g, i] * every + k * every, f"GW{g}", f"G{g}-{i:02}")
            for g in range(self.gateways)
            for i, every in enumerate(EVERY)
            for k in range(int(hours * 3600 / every) + 1)
        ]
        found = []
        for n, (second, gateway, sensor) in enumerate(sorted(sent)):
            if second < hours * 3600 and alive(gateway, sensor, second):
                ts = START + int(second * 1000)
                body = {"sensor_id": sensor, "ts": ts, "metric": "ch4", "value": round(1.0 + (n % 13) / 100, 2)}
                found.append((ts + int(delay_s(n) * 1000), sensor, orjson.dumps(body)))
        return sorted(found)

    def run(self, rows: Iterable[tuple[int, str, bytes]], until_h: float) -> list[Incident]:
        said: list[tuple[int, int, int, Signal | Control]] = []
        of: dict[int, list[tuple[int, str, bytes]]] = {}
        for row in rows:
            of.setdefault(partition_of(row[1], self.partitions), []).append(row)
        end = START + round(until_h * 3_600_000)
        for p, mine in of.items():
            arrivals, keys, values = ([row[k] for row in mine] for k in range(3))
            raw = RawBatch(TOPIC, p, list(range(len(mine))), arrivals, values, [key.encode() for key in keys])
            shard = self.shards[p]
            found = shard.process(raw).signals + shard.idle(end, len(mine)).signals
            said += [(one.arrival_ts, p, n, one) for n, one in enumerate(found)]
        said.sort(key=lambda item: item[:3])
        return self.stage.process([one for *_, one in said]).incidents + self.stage.advance(end).incidents


def _ends(incidents: list[Incident]) -> list[tuple[str, str, str]]:
    """(category, entity told of first, how it stands at the end) of every incident that was not merged into another."""
    first: dict[str, Incident] = {}
    last: dict[str, Incident] = {}
    for one in incidents:
        first.setdefault(one.incident_id, one)
        last[one.incident_id] = one
    ends = ((one.category, one.evidence[0].entity, last[name].status) for name, one in first.items())
    return sorted(end for end in ends if end[2] != "merged")


def _down(*gateways: str, start: float, stop: float = 1e9) -> Alive:
    return lambda gateway, sensor, second: not (gateway in gateways and start <= second < stop)


@pytest.mark.parametrize(("partitions", "start"), [(1, 1800), (2, 1931), (8, 1931), (8, 2111)])
def test_a_gateway_of_mixed_intervals_is_one_incident_and_its_return_resolves_it(partitions: int, start: int) -> None:
    city = City(partitions=partitions)
    found = city.run(city.rows(3, _down("GW1", start=start, stop=start + 5400)), 3)
    assert _ends(found) == [("device", "GW1", "resolved")]


def test_an_outage_of_a_gateway_is_told_within_three_minutes_of_the_first_missed_report() -> None:
    city = City()
    found = city.run(city.rows(1, _down("GW1", start=1800)), 1)
    assert found[0].opened_ts - START <= (1800 + 180) * 1000


@pytest.mark.parametrize("length_s", [90, 400, 1000, 3000])
def test_an_outage_of_any_length_leaves_no_single_incidents_behind(length_s: int) -> None:
    city = City()
    found = _ends(city.run(city.rows(3, _down("GW1", start=1800, stop=1800 + length_s)), 3))
    assert found in ([], [("device", "GW1", "resolved")])


@pytest.mark.parametrize(("partitions", "sensor"), [(1, "G1-00"), (1, "G1-20"), (8, "G1-00"), (8, "G1-10")])
def test_one_dead_sensor_among_live_ones_is_its_own_incident(sensor: str, partitions: int) -> None:
    city = City(partitions=partitions)
    found = city.run(city.rows(2, lambda gateway, one, second: one != sensor or second < 1900), 2)
    assert _ends(found) == [("device", sensor, "open")]


@pytest.mark.parametrize("partitions", [1, 8])
def test_two_gateways_at_once_are_two_incidents(partitions: int) -> None:
    city = City(4, partitions)
    found = city.run(city.rows(2, _down("GW1", "GW2", start=1800)), 2)
    assert _ends(found) == [("device", "GW1", "open"), ("device", "GW2", "open")]


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_whole_topic_silent_is_one_outage_of_the_platform(partitions: int) -> None:
    city = City(partitions=partitions)
    found = city.run(city.rows(1, lambda *_: True), 3)
    assert _ends(found) == [("platform", TOPIC, "open")]


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_topic_that_returns_resolves_its_outage(partitions: int) -> None:
    city = City(partitions=partitions)
    found = city.run(city.rows(3, lambda gateway, sensor, second: not 1800 <= second < 3600), 3)
    assert _ends(found) == [("platform", TOPIC, "resolved")]


@pytest.mark.parametrize("partitions", [1, 8])
def test_late_records_behind_the_end_of_a_recording_leave_at_most_one_incident(partitions: int) -> None:
    city = City(partitions=partitions)
    rows = city.rows(1, lambda *_: True, lambda n: 0.2 if n % 40 else 20.0 + n * 37 % 380)
    assert _ends(city.run(rows, 1 + 400 / 3600)) in ([], [("platform", TOPIC, "open")])


@pytest.mark.parametrize("partitions", [1, 4])
def test_no_data_is_not_normal_where_nobody_is_registered_either(partitions: int) -> None:
    city = City(partitions=partitions, registered=False)
    found = city.run(city.rows(1, lambda *_: True), 2)
    assert _ends(found) == [("platform", TOPIC, "open")]


def test_a_city_that_reports_has_no_incident() -> None:
    city = City()
    assert city.run(city.rows(2, lambda *_: True), 2) == []

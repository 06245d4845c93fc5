"""The quick ways find what the plain ones do: the agent of the throughput run over one log, by each way, alarms and all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.servers import Broker
from benchmarks.throughput import Feed, contend, expected
from streams.embedded.redis import EmbeddedRedis

READINGS, SENSORS = 12_000, 150
TOPIC = "bench.ways"
WAYS = {
    "quick": {},
    "records as objects": {"CITYWATCH_TRANSPORT": "plain"},
    "nothing compiled": {"NUMBA_DISABLE_JIT": "1"},
    "neither": {"CITYWATCH_TRANSPORT": "plain", "NUMBA_DISABLE_JIT": "1"},
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("embedded") as broker:
        broker.topic(TOPIC)
        Feed(broker.bootstrap, TOPIC, READINGS, SENSORS).run()
        yield broker


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedRedis(folder) as redis:
        yield redis.url


@pytest.mark.parametrize(("name", "rules"), [("citywatch", "four"), ("citywatch_five", "five")])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_finds_the_same(
    broker: Broker, redis: str, name: str, rules: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in WAYS[way].items():
        monkeypatch.setenv(variable, value)
    run = contend(name, broker, TOPIC, READINGS, [], redis=redis, sensors=SENSORS)
    found, _ = expected(READINGS, SENSORS, rules)
    assert run["records"] == READINGS and found["bench-silence raised"] > 0
    assert Counter(run["found"]) == found

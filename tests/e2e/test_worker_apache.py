"""What needs Apache Kafka: two workers of which one is killed, and deciding again from the retained log."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import pytest

import citywatch
from tests.e2e.test_worker_embedded import Town

pytestmark = pytest.mark.kafka


@pytest.fixture(params=["redis", "topic"])
def town(apache, tmp_path, monkeypatch, request):
    prefix = f"w{time.time_ns()}."
    monkeypatch.setenv("CITYWATCH_TOPIC_PREFIX", prefix)
    assert citywatch.main(["topics", "create", "--broker", apache.bootstrap]) == 0
    found = ApacheTown(tmp_path, SimpleNamespace(bootstrap=apache.bootstrap, close=lambda: None))
    found.prefix, found.group, found.store = prefix, prefix.rstrip("."), request.param
    yield found
    found.close()


class ApacheTown(Town):
    group = ""
    store = "redis"

    def start(self, ready=True, **settings):
        ours = {
            "CITYWATCH_TOPIC_PREFIX": self.prefix,
            "CITYWATCH_GROUP": self.group,
            "CITYWATCH_CHECKPOINT_STORE": self.store,
            "CITYWATCH_SESSION_TIMEOUT_S": "6",
        }
        return super().start(ready, **(ours | settings))

    def incidents(self, topic="incidents"):
        return super().incidents(self.prefix + topic.removeprefix("city."))


def one_happening(found):
    return len({key for key, _ in found}) == 1 and {len(bodies) for bodies in found.values()} == {1}


def test_a_killed_worker_is_taken_over_and_a_rebuild_is_no_news(town):
    first = town.start()
    town.read(1.0, 25.0)
    town.wait(lambda: town.incidents())
    second = town.start()
    first.kill()
    first.wait(10)
    town.read(60.0, sensor="GAS-1")
    town.read(60.0, sensor="GAS-2")
    town.wait(lambda: any(b"GAS-2" in body for bodies in town.incidents().values() for body in bodies))
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0, town.words()
    before = town.incidents()
    assert one_happening(before)

    # Its checkpoints are lost: refused, then decided again from the log; and once more, although there are checkpoints.
    assert town.start(ready=False, CITYWATCH_NAMESPACE="fresh").wait(30) == 2
    for sensor in ("GAS-3", "GAS-4"):
        town.rebuild_from = "2020-01-01T00:00:00Z"
        again = town.start(CITYWATCH_NAMESPACE="fresh")
        town.rebuild_from = None
        town.read(60.0, sensor=sensor)
        town.wait(lambda: any(sensor.encode() in body for bodies in town.incidents().values() for body in bodies))  # noqa: B023
        after = town.incidents()
        assert one_happening(after)
        assert all(after[place] == bodies for place, bodies in before.items())
        before = after
        again.send_signal(signal.SIGTERM)
        assert again.wait(10) == 0, town.words()

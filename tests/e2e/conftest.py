"""One test, two brokers: the embedded one and Apache Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from streams.embedded.broker import EmbeddedBroker
from tests.e2e import apache_kafka


@dataclass
class World:
    """A broker to test on. ``server`` is its EmbeddedBroker or ApacheKafka."""

    kind: str
    bootstrap: str
    server: Any

    def topic(self, partitions: int = 1, **config: str) -> str:
        """Make a topic nobody else uses and return its name; the embedded broker knows no configuration."""
        name = f"city.try-{uuid.uuid4().hex[:12]}"
        if isinstance(self.server, EmbeddedBroker):
            self.server.create_topic(name, partitions)
        else:
            make_topics(self.bootstrap, {name: partitions}, **config)
        return name


def make_topics(bootstrap: str, partitions: dict[str, int], replication: int = 1, **config: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    settings = {"max.message.bytes": "12000000"} | {name.replace("_", "."): value for name, value in config.items()}
    wanted = [NewTopic(name, count, replication, config=settings) for name, count in partitions.items()]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for made in admin.create_topics(wanted, operation_timeout=20).values():
        made.result()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = admin.list_topics(timeout=5).topics
        if all(name in listed and len(listed[name].partitions) == count for name, count in partitions.items()):
            return
        time.sleep(0.02)


@pytest.fixture(scope="session")
def apache() -> Iterator[World]:
    """One node of Apache Kafka for the whole run; skipped, saying why, where it cannot be had."""
    reason = apache_kafka.missing()
    if reason is not None:
        pytest.skip(reason)
    with apache_kafka.ApacheKafka() as kafka:
        yield World("apache", kafka.bootstrap, kafka)


@pytest.fixture(scope="session")
def embedded() -> Iterator[World]:
    """One embedded broker for the whole run, without the table's topics."""
    with EmbeddedBroker({}) as broker:
        yield World("embedded", broker.bootstrap, broker)


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> World:
    """The broker under test: embedded, then Apache Kafka."""
    broker: World = request.getfixturevalue(request.param)
    return broker

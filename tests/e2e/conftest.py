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

#: What takes minutes begins first, all else as it is found: the processors are shared to the end.
FIRST = (
    "[brokers-away]", "test_kill_nine.py", "test_faults_once.py", "test_worker_apache.py", "test_replay_equals_live.py",
    "test_endurance.py", "test_readme.py", "test_foreign_producers.py", "test_law_eight.py", "test_checkpoint_topic.py",
    "test_load.py", "test_quick.py",
)  # fmt: skip
#: Files of which each test stands alone: processes that run side by side may share them, others are of one process.
APART = ("test_faults_once.py", "test_worker_apache.py", "test_worker_embedded.py", "test_endurance.py", "test_readme.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, word in enumerate(FIRST) if word in item.nodeid), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """``--dist loadfile``, but for the files that may be shared."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Shared(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return nodeid if file.endswith(APART) else file

    return Shared(config, log)


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

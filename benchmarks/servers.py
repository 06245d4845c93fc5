"""The brokers a benchmark runs on: Apache Kafka where Java and Maven are, and the embedded one."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Literal

from streams.commands import ensure_topics
from streams.embedded.broker import EmbeddedBroker
from streams.errors import Mend
from streams.topics import partition_counts
from tests.e2e import apache_kafka

Kind = Literal["apache", "embedded"]
#: Records of at most 120 bytes that the embedded broker keeps of one partition without losing the oldest (5 MB).
EMBEDDED_KEEPS = 30_000


class Broker:
    """One broker on loopback, on the cores of the thread that makes it."""

    def __init__(self, kind: Kind, topics: dict[str, int] | None = None) -> None:
        self.kind = kind
        self._server: Any = EmbeddedBroker(topics or {}) if kind == "embedded" else apache_kafka.ApacheKafka()
        self.bootstrap: str = self._server.bootstrap
        if topics and kind == "apache":
            for name, count in topics.items():
                self.topic(name, count)

    @property
    def label(self) -> str:
        return "embedded broker (librdkafka)" if self.kind == "embedded" else f"Apache Kafka {kafka_version()}, one node"

    def topic(self, name: str, partitions: int = 1, **config: str) -> None:
        """Make a topic; ``config`` (underscores for dots) means something on Apache Kafka only."""
        if self.kind == "embedded":
            self._server.create_topic(name, partitions)
            return
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        settings = {option.replace("_", "."): value for option, value in config.items()}
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for made in admin.create_topics([NewTopic(name, partitions, 1, config=settings)], operation_timeout=20).values():
            made.result()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and name not in admin.list_topics(timeout=5).topics:
            time.sleep(0.02)

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def city_broker(what: str, quick: bool) -> Broker:
    """A broker with the city's topics: Apache Kafka, for a smoke run the embedded one. Raises Mend where there can be none."""
    if quick:
        return Broker("embedded", partition_counts())
    if (missing := why_no_apache()) is not None:
        raise Mend(f"no {what} without Apache Kafka: {missing}", mend="--quick is a smoke run on the embedded broker")
    broker = Broker("apache")
    ensure_topics(broker.bootstrap)
    return broker


def why_no_apache() -> str | None:
    """What is missing for Apache Kafka; None where it can run."""
    return apache_kafka.missing()


def kafka_version() -> str:
    """Release of the artifact that Maven fetched, from the name of its jar."""
    import re

    found = re.search(r"kafka_2\.\d+-([\d.]+)\.jar", apache_kafka.classpath())
    return found[1] if found else "of an unknown release"

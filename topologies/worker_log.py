"""What the worker must know of the log before it begins: which cluster, which topics, how many partitions."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import Mend
from streams.kafka import unreachable
from streams.topics import TOPICS
from streams.transport import addresses


@dataclass(frozen=True, slots=True)
class LogFacts:
    """``partitions``: full topic name to number of partitions, as the broker says."""

    cluster_id: str
    partitions: dict[str, int]


def log_facts(broker: str, prefix: str, timeout_s: float = 10.0) -> LogFacts:
    """Blocking. Raises :class:`Mend` where nobody answers or a topic is missing."""
    addresses(broker)
    admin = AdminClient(
        {"bootstrap.servers": broker, "log_level": 0, "socket.timeout.ms": int(timeout_s * 1000)},
        logger=logging.getLogger("citywatch.librdkafka"),
    )
    try:
        metadata = admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise unreachable(broker, error) from error
    # The store that uses the checkpoint topic asks for it itself.
    wanted = [topic.name(prefix) for topic in TOPICS if topic.base != "checkpoints"]
    missing = [name for name in wanted if name not in metadata.topics or not metadata.topics[name].partitions]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Mend(f"there is no topic {missing[0]!r}{more}", broker, "run `citywatch topics create`")
    return LogFacts(metadata.cluster_id or "", {name: len(metadata.topics[name].partitions) for name in wanted})

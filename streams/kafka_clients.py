"""Making a Kafka client, and the one line for a broker that does not answer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streams.errors import Mend
from streams.header_names import read_any_name
from streams.kafka_codecs import lend_codecs

#: What kafka-python is told the broker speaks. Asking the embedded broker, it gives up after 30 s; this much both speak.
KAFKA_PYTHON_API = (2, 3)

#: librdkafka would write connection trouble to the terminal; deliveries and reads tell what matters.
SILENT = logging.getLogger("citywatch.librdkafka")
SILENT.setLevel(logging.CRITICAL)


def is_embedded(cluster_id: str | None) -> bool:
    """Whether a cluster is the in-memory broker: what that cannot do (offsets by time, transactions) it answers wrongly and
    not with an error. librdkafka names its mock clusters so.

    >>> is_embedded("mockCluster158ee881a9f8"), is_embedded("CigXXBFnRnevwbQlDNzd3w")
    (True, False)
    """
    return (cluster_id or "").startswith("mockCluster")


def check_broker(broker: str, timeout_s: float = 5.0) -> str:
    """Cluster id of the broker (empty where it says none). Raises Mend where nobody answers."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": broker, "log_level": 0}, logger=SILENT)
    try:
        return admin.list_topics(timeout=timeout_s).cluster_id or ""
    except KafkaException as error:
        raise unreachable(broker, error) from error


def unreachable(broker: str, error: object = None) -> Mend:
    """The one line for a broker that does not answer."""
    why = ""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        why = f" ({error.args[0].str()})"
    return Mend(f"no Kafka broker answers{why}", broker, "start one, or mend CITYWATCH_BROKER; `citywatch demo` needs none")


def blocking_consumer(broker: str, *topics: str, **settings: Any) -> Any:
    """kafka-python's consumer, from the beginning, without a group: the recorder's client. Raises Mend where nobody answers."""
    import kafka

    lend_codecs()
    read_any_name()
    check_broker(broker)  # kafka-python connects when it likes, and would only log that it cannot
    return kafka.KafkaConsumer(
        *topics,
        **{
            "bootstrap_servers": broker.split(","),
            "api_version": KAFKA_PYTHON_API,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            **settings,
        },
    )


@contextlib.contextmanager
def blocking_admin(broker: str, **settings: Any) -> Iterator[Any]:
    """kafka-python's admin client. Raises Mend where nobody answers."""
    import kafka

    check_broker(broker)
    admin = kafka.KafkaAdminClient(**{"bootstrap_servers": broker.split(","), "api_version": KAFKA_PYTHON_API, **settings})
    try:
        yield admin
    finally:
        admin.close()


def partitions_of(client: Any, broker: str, topic: str, timeout_s: float = 10.0) -> list[int]:
    """Partition numbers of a topic. Raises Mend where the broker is away or has no such topic."""
    try:
        metadata = client.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise unreachable(broker, error) from error
    if metadata.error is not None or not metadata.partitions:
        raise Mend(f"there is no topic {topic!r}", broker, "run `citywatch topics create`")
    return sorted(metadata.partitions)

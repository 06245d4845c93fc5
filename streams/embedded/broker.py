"""An Apache Kafka stand-in: the in-memory broker that librdkafka carries for its own tests, inside this process.

Faust (aiokafka), confluent-kafka and kafka-python produce to it and consume from it with groups, headers, tombstones and
10 MB values. It has no CreateTopics or any other admin call, no compaction, no ``offsets_for_times``, no LogAppendTime
(consumers see the producer's time), its transactions only pretend, and it keeps about 5 MB per partition: a seek outside
what is left silently goes to the earliest. So feeders are paced by lag, and each run is a fresh world.

The functions are those of ``rdkafka_mock.h``, called by ctypes in the very library that confluent-kafka has loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
from collections.abc import Mapping
from enum import IntEnum
from types import TracebackType
from typing import Any

from streams import topics
from streams.errors import Mend

_PRODUCER = 0
_OK = 0


class ApiKey(IntEnum):
    """Kinds of request that a fault may be pushed for (the Kafka protocol's numbers)."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22


def library_path() -> str:
    """File of the librdkafka that confluent-kafka is linked with, found through the wheel's own list of files.

    Raises Mend where the installed confluent-kafka carries none (a build against a system library).
    """
    try:
        files = importlib.metadata.files("confluent-kafka") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if "rdkafka" in file.name and (".so" in file.name or file.suffix in (".dylib", ".dll")):
            return str(file.locate())
    raise Mend(
        "the installed confluent-kafka carries no librdkafka",
        "embedded broker",
        "install its wheel (`pip install --only-binary :all: confluent-kafka`), or set CITYWATCH_BROKER to an Apache Kafka",
    )


_PROTOTYPES: Mapping[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_err2str": (ctypes.c_char_p, [ctypes.c_int]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    "rd_kafka_mock_clear_request_errors": (None, [ctypes.c_void_p, ctypes.c_int16]),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_rtt": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]),
    "rd_kafka_mock_partition_set_leader": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32],
    ),
}


def _load() -> ctypes.CDLL:
    import confluent_kafka  # noqa: F401  its import loads the library; the same file gives the same instance

    library = ctypes.CDLL(library_path())
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class EmbeddedBroker:
    """A running in-memory broker.

    ``partitions`` maps full topic names to partition counts (default: the table of topics). ``brokers`` is the number of
    nodes, each on a free loopback port.

    >>> with EmbeddedBroker({"try.it": 1}) as broker:
    ...     broker.bootstrap.startswith("127.0.0.1:")
    True
    """

    def __init__(self, partitions: Mapping[str, int] | None = None, *, brokers: int = 1) -> None:
        self._library = _load()
        reason = ctypes.create_string_buffer(512)
        conf = self._library.rd_kafka_conf_new()
        # The client exists only to own the cluster's threads; it would complain of having no server to connect to.
        self._library.rd_kafka_conf_set(conf, b"log_level", b"0", reason, len(reason))
        self._client = self._library.rd_kafka_new(_PRODUCER, conf, reason, len(reason))
        if not self._client:
            raise Mend(f"librdkafka did not start: {reason.value.decode(errors='replace')}", "embedded broker")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        if not self._cluster:
            self._library.rd_kafka_destroy(self._client)
            raise Mend("librdkafka could not open loopback ports", "embedded broker", "check the limit of open files")
        self.brokers = brokers
        listed: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        #: ``host:port[,host:port…]`` for any Kafka client on this machine.
        self.bootstrap = listed.decode().replace("localhost", "127.0.0.1")
        # The default of 3 s would make every start three seconds long.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        for name, count in (topics.partition_counts() if partitions is None else partitions).items():
            self.create_topic(name, count)

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic. There is no admin call, so this is the only way that chooses the number of partitions."""
        self._check(
            self._library.rd_kafka_mock_topic_create(self._open(), name.encode(), partitions, min(self.brokers, 3)), name
        )

    def fail_requests(self, api: ApiKey, errors: list[int]) -> None:
        """Answer the next requests of this kind with these error codes (confluent_kafka.KafkaError's numbers), one each."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._open(), api, len(errors), codes)

    def stop_failing(self, api: ApiKey) -> None:
        self._library.rd_kafka_mock_clear_request_errors(self._open(), api)

    def node_down(self, node: int = 1) -> None:
        """Close the node's connections and refuse new ones; nodes are numbered from 1."""
        self._check(self._library.rd_kafka_mock_broker_set_down(self._open(), node), f"node {node}")

    def node_up(self, node: int = 1) -> None:
        self._check(self._library.rd_kafka_mock_broker_set_up(self._open(), node), f"node {node}")

    def delay(self, milliseconds: int, node: int = 1) -> None:
        """Let every answer of the node take this long."""
        self._check(self._library.rd_kafka_mock_broker_set_rtt(self._open(), node, milliseconds), f"node {node}")

    def set_leader(self, topic: str, partition: int, node: int) -> None:
        """Make a node the partition's leader; -1: no leader."""
        self._check(
            self._library.rd_kafka_mock_partition_set_leader(self._open(), topic.encode(), partition, node),
            f"{topic}/{partition}",
        )

    def close(self) -> None:
        """End the broker; everything in it is gone. Does nothing the second time."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._cluster = None
            self._library.rd_kafka_destroy(self._client)
            self._client = None

    def _open(self) -> int:
        if not self._cluster:
            raise Mend("it is closed", "embedded broker", "start a new one")
        cluster: int = self._cluster
        return cluster

    def _check(self, code: int, where: str) -> None:
        if code != _OK:
            why: bytes = self._library.rd_kafka_err2str(code)
            raise Mend(why.decode(), f"embedded broker, {where}")

    def __enter__(self) -> EmbeddedBroker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # Interpreter exit may have taken the library away already.
        with contextlib.suppress(Exception):
            self.close()

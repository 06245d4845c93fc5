"""Checkpoints in a compacted Kafka topic: no second system to run, and fencing by the broker.

Each shard has a transactional producer of its own whose transactional id is the shard's name, so whoever begins with a shard
(``init_transactions``) makes the broker refuse every earlier owner's writes and end what they left open. That alone says
who *may* write; who *should* own the shard says its head in the topic (:mod:`topologies.checkpoints.topic_records`). A write
is therefore: be the one who may write, know the head that holds, compare (generation, mark), commit. A writer that was
overtaken looks at the head again: where its generation still stands it goes on (a zombie had woken for a moment), else it is
the zombie.

Cost, with 30 shards on one node of Apache Kafka: 120 sleeping threads and 16 MB, half a percent of a core when idle, and
about 8 ms a shard and checkpoint. A worker that starts reads the topic from its beginning, so its size counts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streams.partitioner import partition_of
from topologies.checkpoints.format import decode, encode
from topologies.checkpoints.protocol import Checkpoint, Fenced, ShardKey, StoreAway, Value
from topologies.checkpoints.topic_log import QUIET, TopicLog, trouble
from topologies.checkpoints.topic_records import (
    NOBODY,
    PART_BYTES,
    VERSION_HEADER,
    Head,
    cut,
    encode_head,
    head_of,
    record_key,
    shard_key,
)
from topologies.checkpoints.upgrades import FORMAT

#: So long a dead writer's open transaction hides what others wrote behind it, unless its shard is claimed before.
TRANSACTION_MS = 30_000
#: Two that overtake each other so often are not a zombie and its heir.
_ATTEMPTS = 3
#: Shards begun with at the same time: each waits for the broker, none works.
_TOGETHER = 8
_OVERTAKEN = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.INVALID_PRODUCER_ID_MAPPING}
)

Replacement = Callable[[Head], tuple[Head, list[bytes]]]
Record = tuple[str, bytes | None, list[tuple[str, bytes]] | None]


class _Overtaken(Exception):
    """Somebody else has begun with the shard since this producer did."""


class _Lane:
    """One shard's writer. ``head`` is what holds as long as ``producer`` is the last one that began; None: not read yet."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.producer: Any = None
        self.head: Head | None = None


class TopicStore:
    """Thread safe; one shard's calls are done one after the other. Connects with the first call."""

    def __init__(
        self,
        broker: str,
        topic: str,
        namespace: str = "citywatch",
        group: str = "citywatch",
        timeout_s: float = 5.0,
        number: int = FORMAT,
    ) -> None:
        self.format = number
        self._broker, self._topic, self._timeout_s = broker, topic, timeout_s
        self._prefix = f"{namespace}:{group}"
        self._log = TopicLog(broker, topic, self._prefix, timeout_s)
        self._lanes: dict[ShardKey, _Lane] = {}
        self._lock = Lock()

    # --- the protocol -----------------------------------------------------------------------------------------------------

    def prepare(self, keys: Collection[ShardKey]) -> None:
        """Begin with all of them before one is read: what a dead owner left open would hide the others' checkpoints."""
        self._log.partitions()
        with self._lock:
            self._lanes = {key: _Lane() for key in keys}
            lanes = dict(self._lanes)
        with ThreadPoolExecutor(_TOGETHER, "citywatch-checkpoints") as pool:
            for producer, lane in zip(pool.map(self._producer, lanes), lanes.values(), strict=True):
                lane.producer = producer

    def claim(self, key: ShardKey, generation: int) -> tuple[int, Checkpoint | None]:
        return self.raise_generation(key, generation), self.read(key)

    def raise_generation(self, key: ShardKey, generation: int = 0) -> int:
        def claimed(held: Head) -> tuple[Head, list[bytes]]:
            return Head(max(generation, held.generation + 1), held.mark, held.version, held.parts, held.size, held.sha256), []

        return self._replace(key, claimed, None).generation

    def read(self, key: ShardKey) -> Checkpoint | None:
        value = self._log.value(str(key), self._partition(key))
        return decode(value, f"checkpoint {key}") if value is not None else None

    def write(self, checkpoint: Checkpoint) -> None:
        self.write_bytes(checkpoint.key, checkpoint.generation, checkpoint.mark, encode(checkpoint, self.format))

    def write_bytes(self, key: ShardKey, generation: int, mark: int, value: Value) -> None:
        def written(held: Head) -> tuple[Head, list[bytes]]:
            if (generation, mark) < (held.generation, held.mark):
                raise Fenced(f"{key}: stored {(held.generation, held.mark)}, offered {(generation, mark)}")
            return head_of(generation, mark, uuid.uuid4().hex, value), cut(value)

        self._replace(key, written, generation)

    def keys(self) -> list[ShardKey]:
        return sorted(shard_key(text) for text in self._log.shards())

    def forget(self, key: ShardKey) -> None:
        self._replace(key, lambda held: (NOBODY, []), None)

    def close(self) -> None:
        with self._lock:
            for lane in self._lanes.values():
                lane.producer = None
            self._lanes.clear()
        self._log.close()

    # --- writing ----------------------------------------------------------------------------------------------------------

    def _partition(self, key: ShardKey) -> int:
        return partition_of(str(key), self._log.partitions())

    def _lane(self, key: ShardKey) -> _Lane:
        with self._lock:
            return self._lanes.setdefault(key, _Lane())

    def _replace(self, key: ShardKey, what: Replacement, generation: int | None) -> Head:
        """Replace the head that holds by ``what(head)`` and its parts, in one transaction; the new head.

        ``generation``: of a writer, who must not fence its heir only to find that it has one.
        """
        lane = self._lane(key)
        with lane.lock:
            for attempt in range(_ATTEMPTS):
                held = lane.head
                if lane.producer is None or held is None:
                    held = self._begin(lane, key, generation)
                head, parts = what(held)
                try:
                    self._commit(lane.producer, self._partition(key), self._records(key, held, head, parts))
                except _Overtaken:
                    lane.producer = None
                    time.sleep(0.05 * attempt)
                    continue
                except Exception:
                    # Whether it was committed is unknown: the next call begins anew and looks.
                    lane.producer = None
                    raise
                lane.head = head
                return head
        raise StoreAway(f"{key}: another worker begins with this shard again and again")

    def _begin(self, lane: _Lane, key: ShardKey, generation: int | None) -> Head:
        """Become the one writer of a shard and learn what holds."""
        partition = self._partition(key)
        if lane.producer is None:
            if generation is not None and generation < (held := self._log.head(str(key), partition)).generation:
                raise Fenced(f"{key}: claimed with {held.generation}, offered {generation}")
            lane.producer = self._producer(key)
        # Nobody else could commit since it began, so what is read now holds until we replace it.
        head = lane.head = self._log.head(str(key), partition)
        return head

    def _producer(self, key: ShardKey) -> Any:
        """A producer that has begun: earlier owners are refused, what they left open is ended."""
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": self._broker,
                "transactional.id": f"{self._prefix}:{key}",
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.timeout.ms": TRANSACTION_MS,
                "message.max.bytes": PART_BYTES + 40_000,
                "linger.ms": 0,
                "compression.type": "lz4",
                "log_level": 0,
            },
            logger=QUIET,
        )
        try:
            producer.init_transactions(self._timeout_s)
        except KafkaException as error:
            raise trouble(error, self._topic) from error
        return producer

    def _records(self, key: ShardKey, held: Head, head: Head, parts: list[bytes]) -> list[Record]:
        shard, version = str(key), [(VERSION_HEADER, head.version.encode())]
        records: list[Record] = [(record_key(self._prefix, shard, n), part, version) for n, part in enumerate(parts)]
        records += [(record_key(self._prefix, shard, n), None, None) for n in range(head.parts, held.parts)]
        records.append((record_key(self._prefix, shard, None), encode_head(head) if head != NOBODY else None, None))
        return records

    def _commit(self, producer: Any, partition: int, records: list[Record]) -> None:
        try:
            producer.begin_transaction()
            for key, value, headers in records:
                producer.produce(self._topic, value, key, partition, headers=headers)
            # Waits for every record's acknowledgement first.
            producer.commit_transaction(self._timeout_s)
        except (KafkaException, BufferError) as error:
            found = error.args[0] if isinstance(error, KafkaException) else None
            if found is not None and found.code() in _OVERTAKEN:
                raise _Overtaken from error
            raise trouble(error, self._topic) from error

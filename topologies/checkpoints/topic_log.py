"""The checkpoint topic as a reader sees it: which head holds for each shard, and at which offsets its parts stand.

Only committed records count, and they are read to the end that the log has *with* records of open transactions: a partition is
shared by several shards, and a reader that stopped at the last stable offset would take an old checkpoint for the newest
while another shard's transaction is open in front of it. An index is kept, not the values; reading goes on where it ended.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator
from threading import Lock, RLock
from typing import Any

import confluent_kafka
import confluent_kafka.admin
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.errors import Mend
from streams.kafka_clients import is_embedded
from topologies.checkpoints.protocol import StoreAway
from topologies.checkpoints.topic_records import NOBODY, VERSION_HEADER, Head, Place, decode_head, join, place_of

#: Being fenced is what producers here are for; librdkafka would call it fatal on the terminal.
QUIET = logging.getLogger("citywatch.librdkafka.checkpoints")
QUIET.setLevel(logging.CRITICAL + 1)
_POLL_S = 0.05
#: The package does not declare what it exports.
_ADMIN: Any = confluent_kafka.admin
#: What a person must mend; everything else a broker answers may pass by itself.
_FOR_GOOD = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)


def trouble(error: Exception, topic: str) -> Exception:
    """What a client's error means for the store: :class:`StoreAway`, or :class:`Mend` where waiting does not help."""
    found = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if isinstance(found, KafkaError) and found.code() in _FOR_GOOD:
        return Mend(
            f"the broker refuses: {found.str()}",
            where=f"checkpoint topic {topic}",
            mend="run `citywatch topics create`, allow this user the topic and its transactional ids, or set "
            "CITYWATCH_CHECKPOINT_STORE=redis",
        )
    return StoreAway(f"checkpoint topic {topic}: {found.str() if isinstance(found, KafkaError) else found}")


class TopicLog:
    """Thread safe. ``prefix`` is ``<namespace>:<group>``; records of others are skipped."""

    def __init__(self, broker: str, topic: str, prefix: str, timeout_s: float) -> None:
        self.topic, self.prefix = topic, prefix
        self._broker, self._timeout_s = broker, timeout_s
        self._admin: AdminClient | None = None
        self._partitions = 0
        self._consumer: Any = None
        self._readers = 0
        self._lock = RLock()
        self._fetcher: Any = None
        self._fetching = Lock()
        self._positions: dict[int, int] = {}
        self._heads: dict[str, Head] = {}
        #: (shard, part) -> offset and version.
        self._parts: dict[tuple[str, int], tuple[int, str]] = {}

    # --- the broker -------------------------------------------------------------------------------------------------------

    def partitions(self) -> int:
        """How many the topic has. Raises :class:`Mend` for a broker or a topic that cannot keep checkpoints."""
        with self._lock:
            if not self._partitions:
                self._partitions = self._inspect()
            return self._partitions

    def _inspect(self) -> int:
        admin = self._new_admin()
        try:
            metadata = admin.list_topics(timeout=self._timeout_s)
            if is_embedded(metadata.cluster_id):
                raise Mend(
                    "the embedded broker only pretends to do transactions and forgets old records",
                    where="CITYWATCH_CHECKPOINT_STORE",
                    mend="set it to redis, or CITYWATCH_BROKER to an Apache Kafka",
                )
            if self.topic not in metadata.topics or not metadata.topics[self.topic].partitions:
                raise Mend(f"there is no topic {self.topic!r}", where=self._broker, mend="run `citywatch topics create`")
            policy = self._policy(admin)
        except KafkaException as error:
            raise trouble(error, self.topic) from error
        if "compact" not in policy:
            raise Mend(
                f"topic {self.topic!r} has cleanup.policy={policy}: it would forget checkpoints",
                where=self._broker,
                mend="set its cleanup.policy to compact; `citywatch topics create` makes it so",
            )
        self._admin = admin
        return len(metadata.topics[self.topic].partitions)

    def _new_admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._broker, "log_level": 0}, logger=QUIET)

    def _policy(self, admin: AdminClient) -> str:
        (told,) = admin.describe_configs([_ADMIN.ConfigResource(_ADMIN.ConfigResource.Type.TOPIC, self.topic)]).values()
        try:
            return str(told.result(self._timeout_s)["cleanup.policy"].value)
        except KafkaException as error:
            if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                return "compact"  # Who may not ask must take the administrator's word.
            raise

    def _end(self, partition: int) -> int:
        """Where the log ends, open transactions included."""
        admin = self._admin
        assert admin is not None
        wanted: Any = {TopicPartition(self.topic, partition): _ADMIN.OffsetSpec.latest()}
        try:
            (told,) = admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=self._timeout_s
            ).values()
            return int(told.result(self._timeout_s).offset)
        except (KafkaException, TimeoutError) as error:
            # librdkafka's admin client keeps the leader epoch it learned first, and is refused for good once the partition has
            # had another leader, or the same one after a restart: the next question is a new client's.
            with self._lock:
                if self._admin is admin:
                    self._admin = self._new_admin()
            raise trouble(error, self.topic) from error

    # --- reading ----------------------------------------------------------------------------------------------------------

    def head(self, shard: str, partition: int) -> Head:
        """What holds for a shard now. Raises :class:`StoreAway` where an open transaction hides the end for too long."""
        self._follow([partition])
        return self._heads.get(shard, NOBODY)

    def shards(self) -> list[str]:
        """Every shard with a value."""
        self._follow(range(self.partitions()))
        return sorted(shard for shard, head in self._heads.items() if head.version)

    def value(self, shard: str, partition: int) -> bytes | None:
        """The value that holds now; None where there is none. Raises :class:`Mend` where it is damaged."""
        for _ in range(3):
            head = self.head(shard, partition)
            if not head.version:
                return None
            with self._lock:
                places = [self._parts.get((shard, part)) for part in range(head.parts)]
            offsets = [place[0] for place in places if place is not None and place[1] == head.version]
            found = self._fetch(partition, offsets)
            # Fewer: it was replaced, and compacted away, since the head was read.
            if len(found) == head.parts or self.head(shard, partition) == head:
                return join(head, found, f"checkpoint {shard}")
        raise StoreAway(f"checkpoint {shard} is being replaced all the time")

    def _follow(self, partitions: Any) -> None:
        self.partitions()
        with self._lock:
            reached = dict(self._positions)  # Before the ends are asked for: other threads read on meanwhile.
        ends = {partition: self._end(partition) for partition in partitions}
        for partition, end in ends.items():
            if end < reached.get(partition, 0):
                raise Mend(
                    f"ends at {end} and had reached {reached[partition]}: it lost records or was made anew",
                    where=f"{self.topic}/{partition}",
                    mend="start the worker again; where it refuses then, use `citywatch worker --rebuild-from TIME`",
                )
        deadline = time.monotonic() + self._timeout_s
        with self._session():
            while True:
                with self._lock:
                    behind = {p: end for p, end in ends.items() if self._positions.get(p, 0) < end}
                    if not behind:
                        return
                    came = self._poll()
                if came:
                    deadline = time.monotonic() + self._timeout_s
                if time.monotonic() > deadline:
                    raise StoreAway(
                        f"{self.topic}/{min(behind)} cannot be read to its end: the broker is slow, or a writer that died left "
                        "a transaction open (it ends when its shard is claimed, or after transaction.timeout.ms)"
                    )

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        """An assignment while somebody reads: an idle consumer would fetch every checkpoint that is written."""
        with self._lock:
            self._consumer = self._consumer or self._open("read_committed")
            if not self._readers:
                starts = [TopicPartition(self.topic, p, self._positions.get(p, 0)) for p in range(self.partitions())]
                self._consumer.assign(starts)
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    self._consumer.unassign()

    def _open(self, isolation: str) -> Any:
        return confluent_kafka.Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": f"citywatch-checkpoints-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "queued.max.messages.kbytes": 16_384,
                "log_level": 0,
            },
            logger=QUIET,
        )

    def _poll(self) -> bool:
        """Index what has come; whether something had."""
        messages = _next(self._consumer)
        for message in messages:
            error, known = message.error(), self._positions.get(message.partition(), 0)
            if error is None:
                # A former assignment's record may be in the client's queue still.
                if message.offset() >= known:
                    self._index(message)
                    self._positions[message.partition()] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                # Behind the last record stand transaction markers: the end is what the broker says it is.
                self._positions[message.partition()] = max(known, message.offset())
            elif error.fatal() or error.code() in _FOR_GOOD:
                raise trouble(KafkaException(error), self.topic)
        return bool(messages)

    def _index(self, message: Any) -> None:
        place: Place | None = place_of(self.prefix, message.key())
        if place is None:
            return
        value = message.value()
        if place.part is None:
            if value is None:
                self._heads.pop(place.shard, None)
            else:
                self._heads[place.shard] = decode_head(value, f"checkpoint {place.shard}")
        elif value is None:
            self._parts.pop((place.shard, place.part), None)
        else:
            version = dict(message.headers() or ()).get(VERSION_HEADER) or b""
            self._parts[place.shard, place.part] = (message.offset(), version.decode())

    def _fetch(self, partition: int, offsets: list[int]) -> list[bytes]:
        """The records at these ascending offsets, known to be committed; fewer where compaction has taken one away."""
        if not offsets:
            return []
        with self._fetching:
            consumer = self._fetcher = self._fetcher or self._open("read_uncommitted")
            try:
                consumer.assign([TopicPartition(self.topic, partition, offsets[0])])
                return self._collect(consumer, partition, set(offsets))
            except KafkaException as error:
                raise trouble(error, self.topic) from error
            finally:
                consumer.unassign()

    def _collect(self, consumer: Any, partition: int, wanted: set[int]) -> list[bytes]:
        found: list[bytes] = []
        last = max(wanted)
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            for message in _next(consumer):
                if message.partition() != partition:
                    continue
                if message.error() is not None:
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        return found
                    continue
                if message.offset() in wanted:
                    found.append(message.value())
                    deadline = time.monotonic() + self._timeout_s
                if message.offset() >= last:
                    return found
        raise StoreAway(f"{self.topic}: a checkpoint could not be fetched in {self._timeout_s:g} s")

    def close(self) -> None:
        with self._lock, self._fetching:
            for consumer in (self._consumer, self._fetcher):
                if consumer is not None:
                    consumer.close()
            self._consumer = self._fetcher = None


def _next(consumer: Any) -> list[Any]:
    """What has come, soon after the first of it (``consume`` alone waits for as many as were asked for)."""
    first = consumer.poll(_POLL_S)
    return [first, *consumer.consume(500, 0)] if first is not None else []

"""Reading whole topics outside any consumer group: registry, mutes, incidents for the terminal."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.errors import Mend
from streams.kafka_clients import SILENT, partitions_of, unreachable

Headers = Sequence[tuple[str, bytes | None]]
_POLL_S = 0.2
#: Records of one look.
_MOST = 5_000
#: A partition without a leader, or whose leader the client does not know yet.
_LEADERLESS = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)


class LogRecord(NamedTuple):
    """One record as it stands in the log; ``timestamp`` in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class LogReader:
    """Reads whole topics from an offset on, outside any consumer group: registry, mutes, incidents for the terminal.

    ``start`` is "earliest", "latest" or the offsets to begin at. ``headers``: keep them, too; only of topics whose writers are
    known, for the binding crashes the process over a header name that is no UTF-8. Blocking; call it in a thread of its own
    from a worker.
    """

    def __init__(
        self,
        broker: str,
        topics: Sequence[str],
        *,
        start: str | dict[tuple[str, int], int] = "earliest",
        timeout_s: float = 10.0,
        headers: bool = False,
    ) -> None:
        self.broker, self._headers = broker, headers
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": broker,
                # Demanded by the library; nothing is ever committed under it.
                "group.id": f"citywatch-reader-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 12_000_000,
                "log_level": 3,
            },
            logger=SILENT,
        )
        self._timeout_s = timeout_s
        self._fetching = False
        try:
            #: Next offset to be read per (topic, partition).
            self.positions = self._begin(topics, start)
        except BaseException:
            self.close()
            raise

    def _begin(self, topics: Sequence[str], start: str | dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        positions: dict[tuple[str, int], int] = {}
        for topic in topics:
            for part in partitions_of(self._consumer, self.broker, topic, self._timeout_s):
                low, high = self._bounds(topic, part)
                if isinstance(start, dict):
                    positions[topic, part] = max(low, start.get((topic, part), low))
                else:
                    positions[topic, part] = high if start == "latest" else low
        return positions

    def _bounds(self, topic: str, part: int) -> tuple[int, int]:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, part), timeout=self._timeout_s)
                return low, high
            except KafkaException as error:
                # A broker that has just come back has not taken its partitions up yet: that passes, and nobody need mend it.
                if error.args[0].code() not in _LEADERLESS or time.monotonic() > deadline:
                    raise unreachable(self.broker, error) from error
                time.sleep(_POLL_S)

    def read_to_end(self, timeout_s: float = 60.0) -> list[LogRecord]:
        """Every record up to the end each partition has at this moment.

        Raises Mend where nothing comes for ``timeout_s`` in all: the broker went away meanwhile.
        """
        targets = {key: self._bounds(*key)[1] for key in self.positions}
        polls = max(1, int(timeout_s / _POLL_S))
        records: list[LogRecord] = []
        while any(self.positions[key] < end for key, end in targets.items()):
            # Soon after the first of it: asked for thousands at once, the client waits for thousands.
            came = self._messages(1, _POLL_S)
            records += self._taken([*came, *self._messages(_MOST, 0.0)])
            polls -= not came
            if polls <= 0:
                raise Mend(f"nothing came for {timeout_s:g} s before the end of the log", self.broker, "is the broker healthy?")
        return records

    def poll(self, timeout_s: float = 0.1, most: int = _MOST) -> list[LogRecord]:
        """What has come, at most ``most`` records; empty after ``timeout_s`` without any. Raises Mend on a fatal error."""
        return self._taken(self._messages(most, timeout_s))

    def _messages(self, most: int, timeout_s: float) -> list[Any]:
        if not self._fetching:
            # Not before anybody reads: behind a fetch that waits at the broker every question for an offset waits, too.
            self._fetching = True
            self._consumer.assign([TopicPartition(topic, part, offset) for (topic, part), offset in self.positions.items()])
        return self._consumer.consume(most, timeout_s)

    def _taken(self, messages: list[Any]) -> list[LogRecord]:
        records: list[LogRecord] = []
        for message in messages:
            key = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                self.positions[key] = message.offset() + 1
                records.append(_record(message, self._headers))
            elif error.code() == KafkaError._PARTITION_EOF:
                # Behind the last record there may stand transaction markers: the end is what the broker says it is.
                self.positions[key] = max(self.positions[key], message.offset())
            elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Mend(error.str(), f"{self.broker}, {key[0]}", "run `citywatch topics create`")
        return records

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _record(message: Any, headers: bool) -> LogRecord:
    return LogRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()) if headers else (),
    )


def read_topic(broker: str, topic: str, timeout_s: float = 60.0, *, headers: bool = False) -> Iterator[LogRecord]:
    """Every record of a topic from its beginning to the end it has now, partition by partition order kept."""
    with LogReader(broker, [topic], headers=headers) as reader:
        yield from reader.read_to_end(timeout_s)

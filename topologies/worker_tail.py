"""What stands in ``city.signals`` behind the checkpoints: how far each source had decided, and which switches it announced.

A worker that begins with a checkpoint decides again what was decided after it. Where rules or registry have changed since, it
must change them where the worker before it announced the change, or else behind everything that was said: anywhere before,
one place in the log would get two bodies (law 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import confluent_kafka
import msgspec
from confluent_kafka import KafkaException, TopicPartition

from streams.kafka import LogReader, LogRecord
from streams.kafka_clients import SILENT, is_embedded, unreachable
from streams.records import Source
from topologies.detect import switch_number

Sequence = tuple[int, int, int]
#: ``Source.sequence`` of a record's own signals has this in the place of a tick.
_RECORD = 2**62


class _Said(msgspec.Struct):
    """Of a signal or control, what tells where it was decided and what it announces."""

    source: Source
    arrival_ts: int = 0
    control: str | None = None
    fingerprint: str | None = None
    registry_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """From record ``offset`` on, after the clock has come to ``clock`` (0: by itself)."""

    offset: int
    clock: int = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """One call of a detect stage's ``switch``, by the names of what it switched to."""

    number: int
    place: Place
    fingerprint: str | None = None
    revision: int | None = None


@dataclass(slots=True)
class Tail:
    """Of one source: the last place it said something at, and its switches in order."""

    last: Sequence | None = None
    switches: dict[int, Switch] = field(default_factory=dict)

    def end(self) -> Place | None:
        """Behind everything it has said."""
        if self.last is None:
            return None
        offset, tick, _ = self.last
        return Place(offset + 1) if tick == _RECORD else Place(offset, tick)


_decode = msgspec.json.Decoder(_Said).decode


def tails(records: Iterable[LogRecord]) -> dict[tuple[str, int], Tail]:
    """By source topic and partition; what cannot be read is nobody's."""
    found: dict[tuple[str, int], Tail] = {}
    for record in records:
        try:
            said = _decode(record.value or b"")
        except msgspec.DecodeError:
            continue
        source = said.source
        tail = found.setdefault((source.topic, source.partition), Tail())
        tail.last = max(tail.last or source.sequence, source.sequence)
        if said.control in ("rules", "registry"):
            number = switch_number(source)
            place = Place(source.offset, said.arrival_ts)
            before = tail.switches.get(number)
            tail.switches[number] = Switch(
                number,
                place,
                said.fingerprint if said.control == "rules" else before.fingerprint if before else None,
                said.registry_revision if said.control == "registry" else before.revision if before else None,
            )
    return found


def read_tails(broker: str, topic: str, since_ms: int, timeout_s: float = 60.0) -> dict[tuple[str, int], Tail]:
    """Blocking: from the first record the log accepted at or after ``since_ms``. Raises Mend where nobody answers."""
    with LogReader(broker, [topic], start=_starts(broker, topic, since_ms)) as reader:
        return tails(reader.read_to_end(timeout_s))


def _starts(broker: str, topic: str, since_ms: int) -> str | dict[tuple[str, int], int]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker, "group.id": "citywatch-tail", "enable.auto.commit": False, "log_level": 0}, logger=SILENT
    )
    try:
        metadata = consumer.list_topics(topic, timeout=10.0)
        if is_embedded(metadata.cluster_id):
            # It answers every time with its end; and it keeps little.
            return "earliest"
        partitions = metadata.topics[topic].partitions
        found = consumer.offsets_for_times([TopicPartition(topic, part, since_ms) for part in partitions], timeout=10.0)
        # Nothing at or after the time: nothing is to be read.
        return {
            (topic, one.partition): one.offset
            if one.offset >= 0
            else consumer.get_watermark_offsets(TopicPartition(topic, one.partition), timeout=10.0)[1]
            for one in found
        }
    except KafkaException as error:
        raise unreachable(broker, error) from error
    finally:
        consumer.close()

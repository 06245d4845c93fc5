"""``worker --rebuild-from TIME``: begin again from the retained log instead of a checkpoint that does not belong to it (D4).

Every shard gets a starting point without state: the first offset at or after TIME (mutes: from the beginning, because a mute
stands until it is withdrawn). It carries a higher generation, so a worker that still runs is fenced. Everything is decided
again with the same ids, revisions and bodies, so nothing of it is news to whoever keeps the highest revision. TIME must lie
before the beginning of what is still open, or those incidents begin at what is seen first of them.
"""

from __future__ import annotations

import logging

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from streams.errors import Mend
from streams.event_time import epoch_ms
from streams.kafka_clients import is_embedded
from streams.topics import topic_name
from topologies.checkpoints import Checkpoint, CheckpointStore, Fenced, ShardKey, StoreAway
from topologies.settings import Settings
from topologies.worker_build import CONSUMED, stage_of
from topologies.worker_clock import wall_ms
from topologies.worker_log import log_facts

log = logging.getLogger(__name__)


def moment(text: str) -> int:
    """Epoch ms of an RFC 3339 text with offset or of digits. Raises :class:`Mend`."""
    try:
        return epoch_ms(int(text) if text.lstrip("-").isdigit() else text)
    except (ValueError, OverflowError) as error:
        raise Mend(
            f"{text!r} is no time ({error})", where="--rebuild-from", mend="for example 2026-11-23T08:00:00+08:00"
        ) from None


def rebuild(settings: Settings, text: str) -> dict[ShardKey, int]:
    """Write the starting points; returns the offset of every shard."""
    from topologies.worker import store_of

    at = moment(text)
    facts = log_facts(settings.broker, settings.topic_prefix)
    if is_embedded(facts.cluster_id):
        raise Mend(
            "the embedded broker cannot find offsets by time",
            where=settings.broker,
            mend="use Apache Kafka, or start a fresh world",
        )
    from_beginning = {topic_name("mutes", settings.topic_prefix)}
    marks: dict[ShardKey, int] = {}
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": settings.broker,
            "group.id": f"{settings.group}-rebuild",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        for base in CONSUMED:
            topic = topic_name(base, settings.topic_prefix)
            stage = stage_of(topic, settings.topic_prefix)
            for partition in range(facts.partitions[topic]):
                key = ShardKey(stage, topic, partition)
                marks[key] = _offset(consumer, topic, partition, None if topic in from_beginning else at)
    except KafkaException as error:
        raise Mend(
            f"cannot find offsets by time ({error.args[0].str()})",
            where=settings.broker,
            mend="is the broker healthy?",
        ) from error
    finally:
        consumer.close()
    store = store_of(settings)
    try:
        store.prepare(marks)
        for key, mark in marks.items():
            begin_again(store, key, mark, facts.cluster_id, facts.partitions[key.topic])
    except StoreAway as error:
        raise store_away(settings, error) from error
    except Fenced as error:
        raise Mend(
            f"a worker of this group has taken over meanwhile ({error})",
            where="--rebuild-from",
            mend="stop all workers of the group first",
        ) from error
    finally:
        store.close()
    log.warning("deciding again from %s: %d shards", text, len(marks))
    return marks


def store_away(settings: Settings, error: StoreAway) -> Mend:
    if settings.checkpoint_store == "topic":
        return Mend(f"does not answer ({error})", where=settings.broker, mend="start Kafka or mend CITYWATCH_BROKER")
    return Mend(f"does not answer ({error})", where=settings.redis, mend="start Redis or mend CITYWATCH_REDIS")


def _offset(consumer: confluent_kafka.Consumer, topic: str, partition: int, at: int | None) -> int:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)
    if at is None:
        return int(low)
    (found,) = consumer.offsets_for_times([TopicPartition(topic, partition, at)], timeout=10.0)
    if found.error is not None:
        raise KafkaException(found.error)
    # Nothing at or after the time: the end.
    return int(found.offset) if found.offset >= 0 else int(high)


def begin_again(store: CheckpointStore, key: ShardKey, mark: int, cluster_id: str, partition_count: int) -> None:
    """A starting point without state, whatever is stored; raises :class:`Fenced` where a worker claims the shard meanwhile."""
    # Two above whatever is stored: within a generation marks only rise, and this one begins behind what is there.
    generation = store.raise_generation(key) + 1
    store.write(Checkpoint(key, cluster_id, partition_count, generation, mark, {}, written_at=wall_ms()))

"""The table of topics: name, record type, key, partitions, retention and the rest, in one place.

Everything that makes, reads or describes a topic goes through :data:`TOPICS`; the AsyncAPI file is generated from it.
Partition counts are defaults for a new cluster: what a broker says about an existing topic wins. ``city.registry`` and
``city.mutes`` have one partition because their revision *is* an offset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streams.errors import Mend

PREFIX_VARIABLE = "CITYWATCH_TOPIC_PREFIX"
DEFAULT_PREFIX = "city."

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: A record is at most 1 MiB (contract); the batch around it and its headers need room.
INPUT_MAX_BYTES = 1_048_576 + 65_536
#: Incidents carry their evidence and dead letters their raw bytes in base64.
OUTPUT_MAX_BYTES = 2 * 1_048_576

Cleanup = Literal["delete", "compact"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. ``base`` is the name without the prefix; ``retention_ms`` is None where the topic is compacted."""

    base: str
    record: str
    key: str
    partitions: int = 4
    replication: int = 1
    retention_ms: int | None = None
    cleanup: Cleanup = "delete"
    timestamp_type: Literal["LogAppendTime", "CreateTime"] = "LogAppendTime"
    min_isr: int = 1
    max_message_bytes: int = OUTPUT_MAX_BYTES
    #: Name of the input stream (codec, gate, rules) this topic carries, for the inputs of the detect stage.
    stream: str | None = None
    #: Who writes and reads it is citywatch alone.
    internal: bool = False
    #: More of Kafka's own configuration, by its names.
    more: tuple[tuple[str, str], ...] = ()

    def name(self, prefix: str | None = None) -> str:
        """Full name under ``prefix`` (default: the environment's)."""
        return (topic_prefix() if prefix is None else prefix) + self.base

    @property
    def compacted(self) -> bool:
        return self.cleanup == "compact"

    def config(self, *, replication: int | None = None) -> dict[str, str]:
        """Configuration as Kafka names it; ``min.insync.replicas`` is 2 of three replicas, so that one broker may fail."""
        replicas = self.replication if replication is None else replication
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": self.timestamp_type,
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(2 if replicas >= 3 else self.min_isr),
        }
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config | dict(self.more)


def _input(base: str, record: str, key: str, days: int, stream: str, *, internal: bool = False) -> Topic:
    return Topic(
        base, record, key, retention_ms=days * DAY_MS, max_message_bytes=INPUT_MAX_BYTES, stream=stream, internal=internal
    )


TOPICS: tuple[Topic, ...] = (
    _input("sensor.readings", "Reading", "sensor_id or gateway id", 7, "sensor"),
    _input("vehicle.positions", "VehicleFix", "vehicle_id", 7, "vehicle"),
    _input("video.events", "VideoEvent", "camera_id", 7, "video"),
    _input("hotline.calls", "HotlineCall", "call_id", 30, "hotline"),
    # What was replaced stays a day: a worker that takes over decides a while with the registry of the one before it.
    Topic(
        "registry",
        "Asset",
        "asset_id",
        partitions=1,
        cleanup="compact",
        more=(("min.compaction.lag.ms", str(DAY_MS)),),
    ),
    Topic("mutes", "Mute", "mute_id", partitions=1, cleanup="compact"),
    Topic("feedback", "Feedback", "incident_id", retention_ms=365 * DAY_MS),
    _input("sensor.groups", "Reading", "group_id", 2, "group", internal=True),
    Topic("signals", "Signal", "city", retention_ms=30 * DAY_MS),
    Topic("incidents", "Incident", "incident_id", cleanup="compact"),
    *(Topic(f"incidents.level{level}", "Incident", "incident_id", retention_ms=90 * DAY_MS) for level in (1, 2, 3, 4)),
    Topic("dead_letters", "DeadLetter", "source topic", retention_ms=30 * DAY_MS),
    Topic("quarantine", "Quarantined", "entity", retention_ms=30 * DAY_MS),
    Topic("heartbeat", "Heartbeat", "worker", partitions=1, retention_ms=HOUR_MS, internal=True),
    # A worker that starts reads it whole: small segments are compacted soon, and old values do not wait for many new ones.
    Topic(
        "checkpoints",
        "Checkpoint",
        "namespace:group:shard#part",
        partitions=8,
        cleanup="compact",
        internal=True,
        more=(("segment.bytes", str(32 * 1_048_576)), ("segment.ms", str(HOUR_MS)), ("min.cleanable.dirty.ratio", "0.2")),
    ),
)

BY_BASE: Mapping[str, Topic] = {topic.base: topic for topic in TOPICS}
#: Streams of the detect stage by name: sensor, group, vehicle, video, hotline.
BY_STREAM: Mapping[str, Topic] = {topic.stream: topic for topic in TOPICS if topic.stream is not None}


def topic_prefix(environ: Mapping[str, str] | None = None) -> str:
    """The prefix of every topic name, ``CITYWATCH_TOPIC_PREFIX`` or ``city.``; a name must fit Kafka's alphabet."""
    prefix = (os.environ if environ is None else environ).get(PREFIX_VARIABLE, DEFAULT_PREFIX)
    if len(prefix) > 200 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in prefix):
        raise Mend(
            f"{prefix!r} cannot begin a topic name",
            PREFIX_VARIABLE,
            "use at most 200 letters, digits, dots, underscores, dashes",
        )
    return prefix


def topic_name(base: str, prefix: str | None = None) -> str:
    """Full name of the topic with this base name.

    >>> topic_name("sensor.readings", "city.")
    'city.sensor.readings'
    """
    try:
        return BY_BASE[base].name(prefix)
    except KeyError:
        raise Mend(f"no topic {base!r}", "streams.topics", f"one of {', '.join(sorted(BY_BASE))}") from None


def topic_of(name: str, prefix: str | None = None) -> Topic | None:
    """The table's row for a full name, None where the name is not ours.

    >>> topic_of("city.signals", "city.").record
    'Signal'
    """
    start = topic_prefix() if prefix is None else prefix
    return BY_BASE.get(name[len(start) :]) if name.startswith(start) else None


def stream_of(name: str, prefix: str | None = None) -> str | None:
    """Input stream a topic carries, None for every other topic.

    >>> stream_of("city.sensor.groups", "city.")
    'group'
    """
    topic = topic_of(name, prefix)
    return topic.stream if topic is not None else None


def level_topic(level: int, prefix: str | None = None) -> str:
    """Topic of incidents that have this level, 1 (red) to 4 (blue)."""
    return topic_name(f"incidents.level{level}", prefix)


def partition_counts(prefix: str | None = None, partitions: int | None = None) -> dict[str, int]:
    """Full name → partitions on a new cluster; ``partitions`` overrides the default where more than one is allowed."""
    return {
        topic.name(prefix): partitions if partitions is not None and topic.partitions > 1 else topic.partitions
        for topic in TOPICS
    }

"""``replay record``: the topics of a broker into a bag, by kafka-python's blocking consumer.

Every partition is read from its beginning (or from now on) until its high water, a number of seconds, or Ctrl-C; whichever
comes, the bag is closed in good order. ``until`` in the manifest is the wall clock at which the recorder last saw every
partition's end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.bag import BagWriter
from streams.batch import Headers, RawBatch
from streams.codec import decode_record
from streams.errors import Mend
from streams.kafka import blocking_consumer, check_broker, read_topic
from streams.records import Asset
from streams.topics import TOPICS, topic_name, topic_prefix
from streams.transport_raw import ARRIVAL_HEADER
from streams.unreadable import Cause

#: What a bag can do without: heartbeats and checkpoints are the worker's own business.
LEFT_OUT = frozenset({"heartbeat", "checkpoints"})
_POLL_MS = 200


@dataclass(slots=True)
class Recorded:
    records: dict[str, int] = field(default_factory=dict)
    partitions: int = 0
    stopped_by: str = "high_water"


def recorded_topics(prefix: str) -> list[str]:
    return [topic.name(prefix) for topic in TOPICS if topic.base not in LEFT_OUT]


def record(
    broker: str,
    out: Path,
    *,
    topics: Sequence[str] = (),
    seconds: float | None = None,
    follow: bool = False,
    from_now: bool = False,
    playback: bool = False,
    rule_fingerprint: str | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[int], None] | None = None,
) -> Recorded:
    """Record until the high water of every partition; with ``follow`` or ``seconds`` go on after it.

    ``playback``: the header ``cw_arrival_ts`` of a played recording replaces the broker's time, as in the worker's playback
    mode. Raises :class:`Mend` where the broker or a named topic is not there.
    """
    import kafka

    prefix = topic_prefix()
    cluster = check_broker(broker) or None
    consumer: Any = blocking_consumer(
        broker, auto_offset_reset="latest" if from_now else "earliest", fetch_max_wait_ms=_POLL_MS
    )
    stop = stop or threading.Event()
    result = Recorded()
    try:
        there = consumer.topics()
        wanted = list(topics) or [name for name in recorded_topics(prefix) if name in there]
        missing = [name for name in wanted if name not in there]
        if missing or not wanted:
            raise Mend(
                f"has no topic {', '.join(missing) or prefix + '*'}",
                broker,
                "run `citywatch topics create`, or mend the prefix",
            )
        homes = [kafka.TopicPartition(name, p) for name in wanted for p in sorted(consumer.partitions_for_topic(name) or ())]
        consumer.assign(homes)
        result.partitions = len(homes)
        ends = consumer.end_offsets(homes)
        with BagWriter(out, prefix=prefix, cluster_id=cluster, rule_fingerprint=rule_fingerprint) as writer:
            for home in homes:
                writer.manifest.partitions[home.topic] = max(writer.manifest.partitions.get(home.topic, 0), home.partition + 1)
            if from_now:
                if topic_name("registry", prefix) in there:
                    _snapshot(broker, prefix, writer)
                consumer.seek_to_end(*homes)
            until = _take(consumer, homes, ends, writer, result, seconds, follow, playback, stop, progress)
            writer.close(until=None if playback else until)
        result.records = dict(writer.manifest.counts)
    finally:
        consumer.close()
    return result


def _take(
    consumer: Any,
    homes: list[Any],
    ends: dict[Any, int],
    writer: BagWriter,
    result: Recorded,
    seconds: float | None,
    follow: bool,
    playback: bool,
    stop: threading.Event,
    progress: Callable[[int], None] | None,
) -> int | None:
    began = time.monotonic()
    total, complete_at = 0, None
    try:
        while True:
            asked = int(time.time() * 1000)
            polled = consumer.poll(timeout_ms=_POLL_MS, max_records=10_000)
            for home, messages in sorted(polled.items()):
                writer.write(_batch(home.topic, home.partition, messages, playback))
                total += len(messages)
            if progress is not None and polled:
                progress(total)
            if not polled:
                # Whatever the broker accepted before it was asked has been read.
                complete_at = asked
            if stop.is_set():
                result.stopped_by = "interrupt"
                return complete_at
            if seconds is not None and time.monotonic() - began >= seconds:
                result.stopped_by = "seconds"
                return complete_at
            if not follow and seconds is None and all(consumer.position(home) >= ends[home] for home in homes):
                return complete_at
    except KeyboardInterrupt:
        result.stopped_by = "interrupt"
        return complete_at


def _batch(topic: str, partition: int, messages: list[Any], playback: bool) -> RawBatch:
    headers: list[Headers] = [tuple(message.headers or ()) for message in messages]
    arrivals = [int(message.timestamp) for message in messages]
    if playback:
        for row, found in enumerate(headers):
            text = dict(found).get(ARRIVAL_HEADER)
            if text is not None and text.isdigit():
                arrivals[row] = int(text)
    return RawBatch(
        topic,
        partition,
        [message.offset for message in messages],
        arrivals,
        [message.value for message in messages],
        [message.key for message in messages],
        headers if any(headers) else None,
    )


def _snapshot(broker: str, prefix: str, writer: BagWriter) -> None:
    """The registry as it stands: a recording that begins in the middle of the log needs what was said before."""
    assets: dict[str, Asset] = {}
    revision = 0
    for record in read_topic(broker, topic_name("registry", prefix)):
        revision = record.offset + 1
        asset = None if record.value is None else decode_record(Asset, record.value)
        if isinstance(asset, Asset):
            assets[asset.asset_id] = asset
        elif not isinstance(asset, Cause):
            assets.pop((record.key or b"").decode("utf-8", "replace"), None)
    writer.registry([assets[name] for name in sorted(assets)], revision)

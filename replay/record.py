"""``replay record``: the topics of a broker into a bag, by kafka-python's blocking consumer.

Every partition is read from its beginning (or from now on) until its high water, a number of seconds, or Ctrl-C. Whichever
comes, the recorder then asks where the partitions end and reads up to there, so that a bag is one cut through all topics and
is closed in good order; a second Ctrl-C ends it at once. ``until`` in the manifest is the wall clock at which it asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.bag import BagWriter, NoRoom
from replay.group import GroupProgress
from streams.batch import Headers, RawBatch
from streams.codec import decode_record
from streams.errors import Mend
from streams.kafka import blocking_consumer, check_broker, read_topic
from streams.records import Asset
from streams.topics import TOPICS, topic_name, topic_prefix
from streams.transport_raw import ARRIVAL_HEADER
from streams.unreadable import Cause

logger = logging.getLogger("citywatch.replay")

#: What a bag can do without: heartbeats and checkpoints are the worker's own business.
LEFT_OUT = frozenset({"heartbeat", "checkpoints"})
_POLL_MS = 200
#: A broker that delivers nothing for so long, though it has more, is given up: the bag ends where it stands.
STALLED_S = 30.0


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
    group: str | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[int], None] | None = None,
) -> Recorded:
    """Record until the high water of every partition; with ``follow`` or ``seconds`` go on after it.

    ``playback``: the header ``cw_arrival_ts`` of a played recording replaces the broker's time, as in the worker's playback
    mode. ``group``: the worker's consumer group, whose progress the manifest keeps, so that ``verify`` can tell what was
    lost from what was yet to be decided. ``stop``: what is followed is read to its ends of that moment, anything else is left
    where it is. Raises :class:`Mend` where the broker or a named topic is not there.
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
        with BagWriter(out, prefix=prefix, cluster_id=cluster, rule_fingerprint=rule_fingerprint) as writer:
            for home in homes:
                writer.manifest.partitions[home.topic] = max(writer.manifest.partitions.get(home.topic, 0), home.partition + 1)
            if from_now:
                if topic_name("registry", prefix) in there:
                    _snapshot(broker, prefix, writer)
                consumer.seek_to_end(*homes)
            tape = _Tape(consumer, homes, writer, playback, progress)
            signals = topic_name("signals", prefix)
            until = None
            try:
                try:
                    following = follow or seconds is not None
                    if following:
                        result.stopped_by = tape.follow(seconds, stop)
                    # Asked before the ends are: what was finished then is in what is read.
                    if group is not None and signals in wanted:
                        writer.manifest.committed = _committed(broker, group, signals)
                    until = tape.to_the_ends(None if following else stop)
                    if until is None and stop.is_set():
                        result.stopped_by = "interrupt"
                except KeyboardInterrupt:
                    result.stopped_by = "interrupt"
                writer.close(until=None if playback else until)
            except NoRoom as full:
                raise _cut_short(writer, tape.known(until), full) from full
        result.records = dict(writer.manifest.counts)
    finally:
        consumer.close()
    return result


def _cut_short(writer: BagWriter, known: int, full: NoRoom) -> Mend:
    """Keep what there is room for, as far as it is whole."""
    writer.manifest.committed = {}  # the signals of the last records are not in it
    cut = writer.close_cut(known)
    if cut is None:
        return Mend(f"{full.what}: nothing of the recording could be kept", str(writer.path), "make room and record again")
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(cut / 1000))
    return Mend(
        f"{full.what}: the recording holds what arrived until {when} and nothing after",
        str(writer.path),
        "make room and record the rest while the broker still keeps it",
    )


def _committed(broker: str, group: str, topic: str) -> dict[str, int]:
    """How far the group has come: nowhere in a partition in which it has committed nothing yet.

    Where it may not be asked (an access list, no coordinator), or has committed nothing at all (another group decided), the
    recording is kept all the same, and ``verify`` takes the strict view: whatever is not there was lost."""
    progress = GroupProgress(broker, group)
    try:
        found = progress.committed([topic])
        return {f"{topic}/{part}": found.get((topic, part), 0) for part in progress.partitions(topic)} if found else {}
    except Mend as problem:
        logger.warning("the progress of group %s is not in the recording: %s", group, problem)
        return {}
    finally:
        progress.close()


class _Tape:
    """Reads the assigned partitions into the writer."""

    def __init__(
        self, consumer: Any, homes: list[Any], writer: BagWriter, playback: bool, progress: Callable[[int], None] | None
    ) -> None:
        self._consumer, self._homes, self._writer, self._playback, self._progress = consumer, homes, writer, playback, progress
        self._total = 0
        #: Newest arrival of all that the writer was given.
        self._newest = 0
        #: Read, and not given to it any more.
        self._unwritten: list[RawBatch] = []

    def _poll(self) -> None:
        polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=10_000)
        batches = [_batch(home.topic, home.partition, messages, self._playback) for home, messages in sorted(polled.items())]
        for number, batch in enumerate(batches):
            self._newest = max(self._newest, *batch.arrivals)
            self._total += len(batch)
            try:
                self._writer.write(batch)
            except NoRoom:
                self._unwritten = batches[number + 1 :]
                raise
        if self._progress is not None and polled:
            self._progress(self._total)

    def follow(self, seconds: float | None, stop: threading.Event) -> str:
        """Read what comes until the seconds are over or ``stop``; which of them it was."""
        began = time.monotonic()
        while not stop.is_set():
            self._poll()
            if seconds is not None and time.monotonic() - began >= seconds:
                return "seconds"
        return "interrupt"

    def known(self, asked: int | None) -> int:
        """Arrival (ms) up to which all that came was given to the writer: where not all is read, what comes next says it.

        ``asked``: of :meth:`to_the_ends`, if it came so far.
        """
        import kafka

        firsts = [min(batch.arrivals) for batch in self._unwritten]
        try:
            ends = self._consumer.end_offsets(self._homes)
            behind = {home for home in self._homes if self._consumer.position(home) < ends[home]}
            deadline = time.monotonic() + STALLED_S
            while behind and time.monotonic() < deadline:
                for home, messages in self._consumer.poll(timeout_ms=_POLL_MS).items():
                    if home in behind:
                        behind.remove(home)
                        firsts += _batch(home.topic, home.partition, messages[:1], self._playback).arrivals
        except kafka.errors.KafkaError:
            behind = set(self._homes)
        if behind:
            return asked or 0
        return max(asked or 0, min(firsts) - 1 if firsts else self._newest)

    def to_the_ends(self, stop: threading.Event | None) -> int | None:
        """Read up to the ends the partitions have now; the time of asking, or None where the broker stopped answering, or at
        ``stop``."""
        asked = int(time.time() * 1000)
        ends = self._consumer.end_offsets(self._homes)
        reached, moved_at = -1, time.monotonic()
        while any(self._consumer.position(home) < ends[home] for home in self._homes):
            if stop is not None and stop.is_set():
                return None
            self._poll()
            if self._total != reached:
                reached, moved_at = self._total, time.monotonic()
            elif time.monotonic() - moved_at > STALLED_S:
                return None
        return asked


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

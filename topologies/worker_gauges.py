"""Gauges that describe all shards together, set when a scrape asks."""

from __future__ import annotations

from collections import Counter
from typing import Any

from topologies.metrics import Metrics
from topologies.worker_clock import wall_ms
from topologies.worker_detect import DetectShard
from topologies.worker_incident import IncidentShard
from topologies.worker_shards import Shards


def seconds_behind(expected: int, watermark: int | None, unread: int) -> float:
    """How far a partition's watermark lies behind where it is expected (both ms): now less the lateness its stream is allowed.

    One that is read to its end waits for nothing: a quiet stream is not late, and telling its silence is the rules' work.

    >>> seconds_behind(70_000, 10_000, unread=3), seconds_behind(70_000, 10_000, unread=0), seconds_behind(70_000, None, 3)
    (60.0, 0.0, 0.0)
    """
    return max(0.0, (expected - watermark) / 1000.0) if unread and watermark is not None else 0.0


class Gauges:
    def __init__(self, metrics: Metrics, shards: Shards, transport: Any) -> None:
        self._metrics, self._shards, self._transport = metrics, shards, transport

    def refresh(self) -> None:
        """Sums over partitions; the watermark lag is that of the slowest partition of a stream."""
        metrics, now = self._metrics, wall_ms()
        lag: Counter[str] = Counter()
        waiting: dict[tuple[str, int], int] = {}
        for tp, records in self._transport.lags().items():
            lag[tp.topic] += records
            waiting[tp.topic, tp.partition] = records
        for topic, records in lag.items():
            metrics.consumer_lag.labels(topic).set(records)
        entities: Counter[str] = Counter()
        behind: dict[str, float] = {}
        open_counts: Counter[tuple[str, int]] = Counter()
        depth: Counter[str] = Counter()
        for shard in list(self._shards.held.values()):
            if isinstance(shard, DetectShard):
                entities[shard.stream] += shard.entities
                unread = waiting.get((shard.key.topic, shard.key.partition), 0)
                seconds = seconds_behind(now - shard.lateness_ms, shard.watermark, unread)
                behind[shard.stream] = max(seconds, behind.get(shard.stream, 0.0))
            elif isinstance(shard, IncidentShard):
                open_counts += shard.counts()
                depth.update(shard.outbox.depth())
        for stream, n in entities.items():
            metrics.entities.labels(stream).set(n)
        for stream, seconds in behind.items():
            metrics.watermark_lag.labels(stream).set(seconds)
        for sink, n in depth.items():
            metrics.outbox_depth.labels(sink).set(n)
        metrics.show_open(open_counts)

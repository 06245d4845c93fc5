"""Gauges that describe all shards together, set when a scrape asks."""

from __future__ import annotations

from collections import Counter
from typing import Any

from topologies.metrics import Metrics
from topologies.worker_clock import wall_ms
from topologies.worker_detect import DetectShard
from topologies.worker_incident import IncidentShard
from topologies.worker_shards import Shards


class Gauges:
    def __init__(self, metrics: Metrics, shards: Shards, transport: Any) -> None:
        self._metrics, self._shards, self._transport = metrics, shards, transport

    def refresh(self) -> None:
        """Sums over partitions; the watermark lag is that of the slowest partition of a stream."""
        metrics, now = self._metrics, wall_ms()
        lag: Counter[str] = Counter()
        for tp, records in self._transport.lags().items():
            lag[tp.topic] += records
        for topic, records in lag.items():
            metrics.consumer_lag.labels(topic).set(records)
        entities: Counter[str] = Counter()
        behind: dict[str, float] = {}
        open_counts: Counter[tuple[str, int]] = Counter()
        depth: Counter[str] = Counter()
        for shard in list(self._shards.held.values()):
            if isinstance(shard, DetectShard):
                entities[shard.stream] += shard.entities
                if shard.watermark is not None:
                    seconds = max(0.0, (now - shard.watermark) / 1000.0)
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

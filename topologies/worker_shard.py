"""One shard: the state of one (stage, topic, partition), and the batches that wait for the checkpoint that covers them.

A shard's answer to a batch is one synchronous step on the event loop, so between two awaits its state, its mark and what
it has sent always agree, and a checkpoint can be captured at any of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Any

from streams.batch import RawBatch
from streams.transport import release
from topologies.checkpoints import Checkpoint, ShardKey
from topologies.worker_clock import wall_ms


@dataclass(slots=True)
class ShardPlace:
    """Where a shard stands: its key, the fencing generation it was claimed with, and the log it belongs to."""

    key: ShardKey
    generation: int
    cluster_id: str
    partition_count: int
    mark: int


@dataclass(slots=True)
class Capture:
    """A checkpoint to be written and the events it covers, in the order of their offsets."""

    shard: Shard
    checkpoint: Checkpoint
    events: list[Any]
    rows: int


class Shard(ABC):
    """Base of the three kinds of shards. ``mark`` is the next offset to be read."""

    def __init__(self, place: ShardPlace) -> None:
        self.place = place
        self.key = place.key
        self.mark = place.mark
        self.dirty = False
        #: Rows whose events wait for a checkpoint.
        self.unacknowledged = 0
        self._waiting: deque[tuple[Any, int]] = deque()

    @property
    def waiting(self) -> int:
        """Batches whose events wait for a checkpoint."""
        return len(self._waiting)

    def take(self, event: Any, batch: RawBatch) -> None:
        """Decide a batch, then keep of its event only what the acknowledgement needs. Rows before the mark are skipped:
        they were decided before a rebalance and are read again."""
        received = wall_ms()
        rows = len(batch)
        if batch.offsets[-1] >= self.mark:
            if batch.offsets[0] < self.mark:
                known = next(row for row, offset in enumerate(batch.offsets) if offset >= self.mark)
                batch = batch.cut(known, rows)
            self.decide(batch, received)
            self.mark = batch.offsets[-1] + 1
            self.dirty = True
        release(event)
        self._waiting.append((event, rows))
        self.unacknowledged += rows

    def capture(self) -> Capture:
        """What would be true at a checkpoint now."""
        events, rows = [event for event, _ in self._waiting], self.unacknowledged
        self.dirty = False
        checkpoint = Checkpoint(
            key=self.key,
            cluster_id=self.place.cluster_id,
            partition_count=self.place.partition_count,
            generation=self.place.generation,
            mark=self.mark,
            state=self.state(),
            rule_fingerprint=self.rule_fingerprint(),
            registry_revision=self.registry_revision(),
            outbox=self.outbox_state(),
            marks=self.marks(),
            written_at=wall_ms(),
        )
        return Capture(self, checkpoint, events, rows)

    def acknowledge(self, capture: Capture) -> None:
        """The checkpoint is written: acknowledge what it covers, in the order of offsets."""
        for event in capture.events:
            event.ack()
            self._waiting.popleft()
        self.unacknowledged -= capture.rows

    @abstractmethod
    def decide(self, batch: RawBatch, received: int) -> None:
        """One synchronous step: state moves past the batch, its outputs are sent."""

    @abstractmethod
    def state(self) -> dict[str, Any]: ...

    def outbox_state(self) -> dict[str, Any]:
        return {}

    def marks(self) -> dict[str, Any]:
        return {}

    def rule_fingerprint(self) -> str:
        return ""

    def registry_revision(self) -> int:
        return 0

    def idle(self, next_offset: int, fetch_started: int) -> None:  # noqa: B027  only a stage with a clock has an answer
        """A fetch begun at ``fetch_started`` came back empty at the high water; the log's records end at ``next_offset``."""

    async def prepare(self, batch: RawBatch) -> None:  # noqa: B027  only the incident stage's batches name what it may lack
        """Returns when everything the batch needs besides the state is at hand."""

    async def room(self) -> None:  # noqa: B027  most shards always have
        """Returns when the shard may take another batch."""

    async def drain(self, timeout_s: float) -> None:  # noqa: B027  only an outbox has anything under way
        """Give what is under way a moment to arrive; the rest travels in the checkpoint."""

    async def close(self) -> None:  # noqa: B027  most shards hold nothing
        """The partition is not ours any more, or the worker ends."""

"""What a checkpoint is, what a store promises, and when a checkpoint is refused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streams.errors import Mend

#: The mend of what cannot be gone on from.
REBUILD = "run `citywatch worker --rebuild-from TIME` to re-decide from the retained log"


#: An encoded checkpoint.
Value = bytes | memoryview


class ShardKey(NamedTuple):
    """Whose state: ``stage`` is detect, incident or controls; ``topic`` the full topic name."""

    stage: str
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.stage}/{self.topic}/{self.partition}"


@dataclass(slots=True)
class Checkpoint:
    """Everything needed to go on at ``mark`` as if nothing had happened.

    ``mark`` is the next offset to read of the shard's own partition; ``marks`` the high-water marks the stage keeps per
    source, in case an operator asks. ``state`` is a tree of dict, list, str, int, float, bool, bytes, None and numpy arrays.
    """

    key: ShardKey
    cluster_id: str
    partition_count: int
    generation: int
    mark: int
    state: dict[str, Any]
    rule_fingerprint: str = ""
    registry_revision: int = 0
    outbox: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)
    #: Epoch ms on the writer's clock, and which version it was (or the format, where that does not say); for people and the
    #: age metric only.
    written_at: int = 0
    written_by: str = ""


class Fenced(Exception):
    """Another worker of a later generation (or further on) has written this shard's checkpoint: this one is a zombie."""


class StoreAway(Exception):
    """The store does not answer; nothing is lost, the batches stay unacknowledged."""


class CheckpointStore(Protocol):
    """Blocking calls; the worker makes them from threads.

    ``format`` is what ``write`` writes; who encodes by himself, for ``write_bytes``, uses the same. A store keeps nothing of
    the memory that ``write_bytes`` is given: the next checkpoint is encoded in it.
    ``prepare`` says which shards are claimed next, these and no others: what a store needs for that it can do for all at once.
    ``claim`` is how a new owner begins: it raises the shard's generation above every earlier owner's, atomically, and
    returns it with the checkpoint to go on from (None where there is none). It is max(group generation, stored + 1), because
    Kafka forgets a group that was away for a week and then counts generations from one again.
    ``raise_generation`` does the same without reading what is stored, which may be unreadable.
    ``write`` keeps the checkpoint with the highest (generation, mark): an older one raises :class:`Fenced` and leaves the
    stored one untouched; an equal one replaces it (the same worker, a timer later). Every call may raise
    :class:`StoreAway`. ``read`` raises :class:`Mend` where the bytes are of another format.
    """

    format: int

    def prepare(self, keys: Collection[ShardKey]) -> None: ...

    def claim(self, key: ShardKey, generation: int) -> tuple[int, Checkpoint | None]: ...

    def raise_generation(self, key: ShardKey, generation: int = 0) -> int: ...

    def read(self, key: ShardKey) -> Checkpoint | None: ...

    def write(self, checkpoint: Checkpoint) -> None: ...

    def write_bytes(self, key: ShardKey, generation: int, mark: int, value: Value) -> None: ...

    def keys(self) -> list[ShardKey]: ...

    def forget(self, key: ShardKey) -> None: ...

    def close(self) -> None: ...


def refuse_if_foreign(checkpoint: Checkpoint, *, cluster_id: str, partition_count: int, low: int, high: int) -> None:
    """Never a silent reset: raises :class:`Mend` where the checkpoint does not belong to the log it is about to be used on.

    ``low`` and ``high`` are the first retained offset and the next one to be written. A mark of ``low`` to ``high`` (inclusive)
    is in the log.
    """
    where = f"checkpoint {checkpoint.key}"
    if checkpoint.cluster_id and cluster_id and checkpoint.cluster_id != cluster_id:
        raise Mend(
            f"was written for Kafka cluster {checkpoint.cluster_id!r}, this one is {cluster_id!r}",
            where=where,
            mend=f"set CITYWATCH_BROKER to the right cluster, or give CITYWATCH_GROUP a new name, or {REBUILD}",
        )
    if checkpoint.partition_count != partition_count:
        raise Mend(
            f"was written when {checkpoint.key.topic} had {checkpoint.partition_count} partitions, "
            f"now it has {partition_count}: entities have moved between partitions",
            where=where,
            mend=REBUILD,
        )
    if not low <= checkpoint.mark <= high:
        raise Mend(f"stands at offset {checkpoint.mark}, the log holds {low} to {high}", where=where, mend=REBUILD)


def refuse_if_added(topic: str, partition: int, count: int) -> None:
    """Partitions were added while a worker ran: raises :class:`Mend` where one of its topics has more than the ``count`` it
    began with. What it knows of entities that have moved there is in the partition they came from.
    """
    if partition >= count:
        raise Mend(
            f"has a partition {partition}, it had {count} partitions when this worker began: entities have moved between them",
            where=topic,
            mend="stop all workers of the group, then start one by `citywatch worker --rebuild-from TIME`, with a time "
            "before the change, to re-decide from the retained log",
        )

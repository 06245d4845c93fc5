"""Checkpoints: the truth about how far a partition was decided, and with what state (D4).

State belongs to (stage, topic, partition), never to a worker. Kafka's committed offset only follows. ``protocol.py`` says what
a checkpoint holds and what a store must promise; ``format.py`` turns it into bytes, ``pieces.py`` does so without a standstill,
``writing.py`` writes one after the other, ``upgrades.py`` leads from one format to the next and back; one file per store.
"""

from topologies.checkpoints.format import decode, encode, format_of
from topologies.checkpoints.memory_store import MemoryStore
from topologies.checkpoints.protocol import (
    Checkpoint,
    CheckpointStore,
    Fenced,
    ShardKey,
    StoreAway,
    refuse_if_added,
    refuse_if_foreign,
)
from topologies.checkpoints.redis_store import RedisStore
from topologies.checkpoints.topic_store import TopicStore
from topologies.checkpoints.upgrades import FORMAT
from topologies.checkpoints.writing import Writer

__all__ = [
    "FORMAT",
    "Checkpoint",
    "CheckpointStore",
    "Fenced",
    "MemoryStore",
    "RedisStore",
    "ShardKey",
    "StoreAway",
    "TopicStore",
    "Writer",
    "decode",
    "encode",
    "format_of",
    "refuse_if_added",
    "refuse_if_foreign",
]

"""How a worker writes checkpoint after checkpoint, from threads: one at a time, all in the same memory."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from topologies.checkpoints.format import Encoder
from topologies.checkpoints.protocol import Checkpoint, CheckpointStore


class Writer:
    """``encoded()`` is called between encoding a checkpoint and giving it to the store."""

    def __init__(self, store: CheckpointStore, encoded: Callable[[], None] = lambda: None) -> None:
        self._store, self._encoded = store, encoded
        self._encoder = Encoder()
        # A thread that nobody waits for any more may still be sending.
        self._lock = Lock()

    def write(self, checkpoint: Checkpoint) -> None:
        """Blocks. Raises what the store's ``write`` raises, and TypeError where a state cannot be encoded."""
        with self._lock:
            value = self._encoder.encode(checkpoint, self._store.format)
            self._encoded()
            self._store.write_bytes(checkpoint.key, checkpoint.generation, checkpoint.mark, value)

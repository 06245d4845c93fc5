"""Checkpoints in a dict: for tests and for runs whose state may die with the process. Same promises, same bytes."""

from __future__ import annotations

from collections.abc import Collection
from threading import Lock

from topologies.checkpoints.format import decode, encode
from topologies.checkpoints.protocol import Checkpoint, Fenced, ShardKey, StoreAway, Value
from topologies.checkpoints.upgrades import FORMAT


class MemoryStore:
    """``away = True`` makes every call raise :class:`StoreAway`, as if the server were gone."""

    def __init__(self, number: int = FORMAT) -> None:
        self.format = number
        self.away = False
        self._held: dict[ShardKey, tuple[int, int, bytes | None]] = {}
        self._lock = Lock()

    def _answer(self) -> None:
        if self.away:
            raise StoreAway("the memory store was told to be away")

    def read(self, key: ShardKey) -> Checkpoint | None:
        self._answer()
        held = self._held.get(key)
        return decode(held[2], f"checkpoint {key}") if held and held[2] is not None else None

    def prepare(self, keys: Collection[ShardKey]) -> None:
        return None

    def claim(self, key: ShardKey, generation: int) -> tuple[int, Checkpoint | None]:
        return self.raise_generation(key, generation), self.read(key)

    def raise_generation(self, key: ShardKey, generation: int = 0) -> int:
        self._answer()
        with self._lock:
            held_generation, mark, value = self._held.get(key, (0, 0, None))
            claimed = max(generation, held_generation + 1)
            self._held[key] = (claimed, mark, value)
        return claimed

    def write(self, checkpoint: Checkpoint) -> None:
        self.write_bytes(checkpoint.key, checkpoint.generation, checkpoint.mark, encode(checkpoint, self.format))

    def write_bytes(self, key: ShardKey, generation: int, mark: int, value: Value) -> None:
        self._answer()
        with self._lock:
            held = self._held.get(key)
            if held and (generation, mark) < held[:2]:
                raise Fenced(f"{key}: stored {held[:2]}, offered {(generation, mark)}")
            self._held[key] = (generation, mark, bytes(value))

    def keys(self) -> list[ShardKey]:
        self._answer()
        return sorted(key for key, held in self._held.items() if held[2] is not None)

    def forget(self, key: ShardKey) -> None:
        self._answer()
        self._held.pop(key, None)

    def close(self) -> None:
        return None

"""Series of one partition: each (entity, metric | video kind | None) has a slot, a small number that arrays are indexed by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.batch import Int32, Int64
from streams.event_time import NEVER
from streams.slot_memory import room

Key = tuple[str, str | None]


def grown(array: NDArray[Any], rows: int, blank: Any) -> NDArray[Any]:
    """``array`` with room for ``rows`` rows; new ones are ``blank``. An eighth more than it had at least, so that growth costs
    little per row and a city's hundreds of bytes a series are not paid twice."""
    held = len(array)
    if rows <= held:
        return array
    found = room((max(rows, held + held // 8, 16), *array.shape[1:]), array.dtype)
    found[:held], found[held:] = array, blank
    return found


class SeriesIndex:
    """(entity, second) → slot. Slots are given out in order of appearance; forgotten ones are given out again.

    >>> index = SeriesIndex()
    >>> slots, fresh = index.slots(["a", "b", "a"], ["ch4", "ch4", "ch4"], np.array([10, 20, 30]))
    >>> slots.tolist(), fresh, index.last_arrival[:2].tolist()
    ([0, 1, 0], {0: 0, 1: 1}, [30, 20])
    """

    def __init__(self) -> None:
        #: By second, then by entity.
        self._slots: dict[str | None, dict[str, int]] = {}
        #: By slot; no pair is kept of them, which would weigh as much as the entity's name.
        self._entities: list[str | None] = []
        self._seconds: list[str | None] = []
        self._free: list[int] = []
        #: Another one whenever a slot has become another series': what was kept of slots elsewhere holds no more.
        self.version = 0
        #: Newest arrival (epoch ms) per slot; only the first ``len(index)`` entries mean anything.
        self.last_arrival: Int64 = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """Number of slots ever needed at once: every slot is below it."""
        return len(self._entities)

    @property
    def live(self) -> int:
        """Number of series that have a slot."""
        return len(self._entities) - len(self._free)

    def key(self, slot: int) -> Key | None:
        """The series in a slot; None where it was forgotten."""
        entity = self._entities[slot]
        return None if entity is None else (entity, self._seconds[slot])

    def slot(self, entity: str, second: str | None = None) -> int | None:
        return self._slots.get(second, {}).get(entity)

    def slots(
        self, entities: Iterable[str], seconds: Iterable[str | None], arrivals: Int64, distinct: set[Any] | None = None
    ) -> tuple[Int32, dict[int, int]]:
        """Slots of rows in order, and those given out just now (freshly appended or used again), in order of appearance: the
        row each was given out for.

        ``distinct`` are the different ``seconds``, where the caller knows them.
        """
        entities, seconds = list(entities), list(seconds)
        if distinct is None:
            distinct = set(seconds)
        # A table per second: a batch of one metric asks one table, and no pair is made of what a row is looked up by.
        tables = {second: self._slots.setdefault(second, {}) for second in distinct}
        found: list[Any]
        if len(tables) == 1:
            table = next(iter(tables.values()))
            try:
                # Nearly always all are known, and then this is twice as fast as asking with ``get``.
                found = [table[entity] for entity in entities]
            except KeyError:
                found = list(map(table.get, entities))
        else:
            found = list(map(dict.get, map(tables.__getitem__, seconds), entities))
        fresh: dict[int, int] = {}
        if None in found:
            for i, slot in enumerate(found):
                if slot is None:
                    found[i] = held = tables[seconds[i]].get(entities[i], -1)
                    if held < 0:
                        found[i] = self._give((entities[i], seconds[i]))
                        fresh[found[i]] = i
        slots = np.array(found, dtype=np.int32)
        np.maximum.at(self.last_arrival, slots, arrivals)
        return slots, fresh

    def _give(self, key: Key) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self._entities)
            self._entities.append(None)
            self._seconds.append(None)
            self.last_arrival = grown(self.last_arrival, slot + 1, NEVER)
        self._entities[slot], self._seconds[slot] = key
        self.last_arrival[slot] = NEVER
        self._slots.setdefault(key[1], {})[key[0]] = slot
        return slot

    def forget(self, slots: Iterable[int]) -> None:
        """Let series go; their slots are used again. Whoever keeps state by slot must forget it too."""
        self.version += 1
        for slot in slots:
            key = self.key(slot)
            if key is not None:
                table = self._slots[key[1]]
                del table[key[0]]
                if not table:
                    del self._slots[key[1]]
                self._entities[slot] = self._seconds[slot] = None
                self._free.append(int(slot))

    def snapshot(self) -> dict[str, Any]:
        return {
            "entities": list(self._entities),
            "seconds": list(self._seconds),
            "free": list(self._free),
            "last_arrival": self.last_arrival[: len(self._entities)].copy(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.version += 1
        self._entities, self._seconds = list(saved["entities"]), list(saved["seconds"])
        self._slots = {}
        for slot, (entity, second) in enumerate(zip(self._entities, self._seconds, strict=True)):
            if entity is not None:
                self._slots.setdefault(second, {})[entity] = slot
        self._free = [int(slot) for slot in saved["free"]]
        self.last_arrival = np.array(saved["last_arrival"], dtype=np.int64)

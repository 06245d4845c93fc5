"""What the rules of a shard share, and the order in which their signals stand in the log of one source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from detectors.fences import FenceSet
from streams.batch import Int64
from streams.records import Signal
from streams.registry import Registry

TICK_MS = 1000
#: A row longer on its way than this says nothing of whether the stream is heard now.
FRESH_MS = 60_000
#: Where a signal of a record (not of a tick) stands among those of its offset.
RECORD = 2**62
#: (offset, tick or RECORD, part of an array record, rule, count): the order of signals of one source.
Order = tuple[int, int, int, int, int]
Emit = Callable[[Order, Signal], None]
#: Offset of the first record with running-max arrival at or after a grid time.
OffsetAt = Callable[[int], int]

#: As long as somebody holds the registry.
_FENCES: WeakKeyDictionary[Registry, FenceSet] = WeakKeyDictionary()


def grid_after(ms: int) -> int:
    """The first grid time at or after ``ms``.

    >>> grid_after(1000), grid_after(1001)
    (1000, 2000)
    """
    return -(-ms // TICK_MS) * TICK_MS


class Context:
    """What all rules of a shard share: topic, city, the limit of live signals, the registry's revision and fences."""

    __slots__ = ("default_city", "fences", "live_limit_ms", "pulse", "registry_revision", "topic")

    def __init__(self, topic: str, default_city: str, live_limit_ms: int, registry_revision: int, fences: Any) -> None:
        self.topic = topic
        self.default_city = default_city
        self.live_limit_ms = live_limit_ms
        self.registry_revision = registry_revision
        self.fences = fences
        #: When the shard last heard something that was not long on its way, before the batch in hand.
        self.pulse: int | None = None


def tick_order(offset: int, tick: int, place: int) -> Order:
    return (offset, tick, 0, place, 0)


def fences_of(registry: Registry) -> FenceSet:
    """Of sites, and those drawn in the attributes of the vehicles and persons they concern; one set for all partitions."""
    found = _FENCES.get(registry)
    if found is None:
        found = _FENCES[registry] = FenceSet.from_assets(registry.assets_of(("site", "vehicle", "person")))
    return found


def passing(clock: Int64, since: int, step: int) -> list[int]:
    """Rows at which the ``clock``, which stood at ``since`` and never falls, passes the grid of ``step`` (all in ms).

    >>> passing(np.array([4, 9, 10, 31, 35]), 4, 10), passing(np.array([4, 9]), 4, 10)
    ([2, 3], [])
    """
    first, last = since // step + 1, int(clock[-1]) // step
    if last - first < len(clock):
        # In a batch of a busy partition few grid times are passed, each at the first row that is not before it.
        return sorted(set(clock.searchsorted(np.arange(first, last + 1) * step).tolist())) if first <= last else []
    passed = np.concatenate([[since], clock[:-1]])
    found: list[int] = np.flatnonzero(clock // step > passed // step).tolist()
    return found

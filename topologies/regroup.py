"""Readings of grouped sensors are sent on under the key of their group (D7), so that a group's state is in one place."""

from __future__ import annotations

import numpy as np

from streams.batch import Batch, Bool, Int64
from streams.records import Reading


class Groups:
    """Group id per shard slot, with a mask so that a batch without grouped sensors costs one gather."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}
        self.mask: Bool = np.zeros(64, dtype=np.bool_)

    def set(self, slot: int, group: str | None) -> None:
        while slot >= len(self.mask):
            self.mask = np.concatenate([self.mask, np.zeros(len(self.mask), dtype=np.bool_)])
        self.mask[slot] = group is not None
        if group is not None:
            self.ids[slot] = group
        else:
            self.ids.pop(slot, None)


def regroup(batch: Batch, groups: Groups, times: Int64) -> tuple[list[tuple[str, Reading]], list[int]]:
    """(group id, reading) of the rows whose sensor is in a group, in the order of the log, and the clock (ms) at each."""
    chosen = groups.mask[batch.slot].nonzero()[0]
    readings = [(groups.ids[int(batch.slot[i])], batch.records[i]) for i in chosen.tolist()]
    return readings, times[chosen].tolist()

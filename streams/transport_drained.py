"""What was drained of aiokafka, per partition, with the epoch of the position it was drained from."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from faust.types import TP


class Asked:
    """The partitions one poll asks for: those that were active when it began, for as long as they are.

    ``active`` is the set Faust keeps, which changes while a poll waits. A partition that is paused meanwhile gives nothing
    more; one that is resumed would overtake what was taken ahead of it, and waits for the next poll.
    """

    __slots__ = ("_active", "_began")

    def __init__(self, active: Set[TP]) -> None:
        self._active, self._began = active, frozenset(active)

    def __contains__(self, tp: TP) -> bool:
        return tp in self._began and tp in self._active


class Drained:
    """What one poll brought: per partition a run of records, and once it is delivered a list: of one RawBatch, or of
    ConsumerRecords for a topic on the ordinary path."""

    __slots__ = ("full", "records", "stamps")

    def __init__(self) -> None:
        self.records: dict[TP, Any] = {}
        #: Epoch of each partition's position when its records were taken.
        self.stamps: dict[TP, int] = {}
        #: There is no point in gathering more.
        self.full = False

    def part(self, active: Any) -> Drained:
        """What is there of the active partitions (None: of all), taken out; the rest stays."""
        part = Drained()
        for tp in [tp for tp in self.records if active is None or tp in active]:
            part.records[tp], part.stamps[tp] = self.records.pop(tp), self.stamps.pop(tp)
        self.full = False
        return part

    def add(self, tp: TP, records: Any, stamp: int) -> None:
        """Behind what is there; what was taken before a change of position is void."""
        if self.stamps.get(tp) == stamp:
            self.records[tp] += records
        else:
            self.records[tp], self.stamps[tp] = records, stamp

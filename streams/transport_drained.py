"""What was drained of aiokafka, per partition, with the epoch of the position it was drained from."""

from __future__ import annotations

from typing import Any

from faust.types import TP


class Drained:
    """What one poll brought: per partition one RawBatch, or ConsumerRecords for a topic on the ordinary path."""

    __slots__ = ("full", "records", "stamps")

    def __init__(self) -> None:
        self.records: dict[TP, list[Any]] = {}
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

    def add(self, tp: TP, records: list[Any], stamp: int) -> None:
        """Behind what is there; what was taken before a change of position is void."""
        if self.stamps.get(tp) == stamp:
            self.records[tp] += records
        else:
            self.records[tp], self.stamps[tp] = records, stamp

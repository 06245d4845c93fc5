"""What one call of the detect stage says: signals and controls with their place in the log, sorted and numbered at the end."""

from __future__ import annotations

from operator import itemgetter

from streams.records import Control, Signal, Source
from topologies.rule_context import RECORD, Order


class Told:
    """The signals and controls of one call of the stage."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[tuple[Order, int, Signal | Control]] = []

    def __call__(self, order: Order, record: Signal | Control) -> None:
        self._found.append((order, len(self._found), record))

    def in_order(self, topic: str, partition: int, base: int) -> list[Signal | Control]:
        found = sorted(self._found, key=itemgetter(0, 1))
        n, place = 0, (-1, -1)
        for order, _, record in found:
            n = n + 1 if (order[0], order[1]) == place else base
            place = (order[0], order[1])
            tick = 0 if order[1] == RECORD else order[1]
            record.source = Source(topic, partition, order[0], n, tick)
        return [record for _, _, record in found]

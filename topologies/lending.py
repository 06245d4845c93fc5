"""Evidence of rules that open nothing (``opens = false``), kept by place until an incident it weighs in is there.

A trace of methane alone may be biogas, a complaint alone is daily business; beside two callers who smell gas, or a meter that
is too loud, they count. Whichever came first must not matter, so what is active is kept: an alarm until it clears, a momentary
report for its family's ``within_s``. An incident that opens, or gains evidence, asks who lies within reach; a signal that comes
later asks which incidents do. One piece may weigh in several incidents (a rain gauge speaks for kilometres), so each remembers
to whom it was lent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from streams.records import Signal
from topologies.cells import Names, tally
from topologies.happening import Piece, own_key, piece_key, place
from topologies.written import Unchanged

#: Incidents one piece is lent to at most: it spoke to those, and a city has no more of one kind within a few kilometres.
_LENT_TO_AT_MOST = 50


class Held(Struct, gc=False):
    """One active signal: until which arrival it is kept (0: until it clears), how far it speaks, and to whom it was lent."""

    signal: Signal
    reach_m: float
    until: int
    group: str | None = None
    lent_to: list[str] = []


_DECODER = msgspec.msgpack.Decoder(Held)


class Lending:
    """``at_most``: signals kept; beyond, the one kept longest leaves and ``overflow`` is called."""

    def __init__(self, at_most: int, overflow: Callable[[], None]) -> None:
        self._at_most = at_most
        self._overflow = overflow
        #: Oldest word first, alarms and momentary reports apart: reports leave by age, alarms when they clear.
        self._standing: dict[str, Held] = {}
        self._passing: dict[str, Held] = {}
        self._written: Unchanged[str] = Unchanged()
        #: Keys by reach and cell of that size; signals without a place by group.
        self._cells: dict[float, Names] = {}
        self._of_group: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._standing) + len(self._passing)

    def keep(self, signal: Signal, reach_m: float, within_ms: int, group: str | None) -> Held:
        """The signal is active from now on, or still: what it was lent to before stays so."""
        key = held_key(signal)
        before = self._standing.pop(key, None) or self._passing.pop(key, None)
        if before is not None:
            self._index(key, before, -1)
        self._age(signal.arrival_ts)
        # Sources differ in how late they are: whether a report is still near in time is told by event time, when it is lent.
        until = signal.arrival_ts + 2 * within_ms if signal.momentary else 0
        held = Held(signal, reach_m, until, group, before.lent_to if before is not None else [])
        (self._passing if signal.momentary else self._standing)[key] = held
        self._index(key, held, 1)
        while len(self) > self._at_most:
            self._drop(self._passing or self._standing)
            self._overflow()
        return held

    def end(self, signal: Signal) -> Held | None:
        """An alarm has cleared: it lends nothing any more."""
        key = own_key(signal.rule, signal.entity) + ("|x" if signal.exercise else "")
        held = self._standing.pop(key, None)
        if held is not None:
            self._index(key, held, -1)
        return held

    def near(self, piece: Piece) -> Iterator[Held]:
        """What may weigh where this piece lies, in the order of their keys; whoever asks looks closer."""
        keys: dict[str, int] = {}
        if piece.lat is not None and piece.lon is not None:
            for cells in self._cells.values():
                for here in cells.near(piece.lat, piece.lon):
                    keys.update(here)
        if piece.group is not None:
            keys.update(self._of_group.get(piece.group, ()))
        for key in sorted(keys):
            yield self._standing.get(key) or self._passing[key]

    def lend(self, held: Held, incident_id: str) -> bool:
        """False where it is lent to this one already, or to too many."""
        if incident_id in held.lent_to or len(held.lent_to) >= _LENT_TO_AT_MOST:
            return False
        held.lent_to = [*held.lent_to, incident_id]
        return True

    def retain(self, lends: Callable[[str], bool]) -> None:
        """Rules have changed: signals of those that open incidents now, or are gone, leave."""
        for table in (self._standing, self._passing):
            for key in [key for key, held in table.items() if not lends(held.signal.rule)]:
                self._index(key, table.pop(key), -1)

    def _age(self, now: int) -> None:
        while self._passing and next(iter(self._passing.values())).until < now:
            self._drop(self._passing)

    def _drop(self, table: dict[str, Held]) -> None:
        key = next(iter(table))
        self._index(key, table.pop(key), -1)

    def _index(self, key: str, held: Held, by: int) -> None:
        spot = place(held.signal)
        if spot is not None:
            cells = self._cells.get(held.reach_m)
            if cells is None:
                cells = self._cells[held.reach_m] = Names(held.reach_m)
            cells.count(*spot, key, by)
        if held.group is not None:
            tally(self._of_group, held.group, key, by)

    def snapshot(self) -> dict[str, Any]:
        held = [*self._standing.items(), *self._passing.items()]
        written = self._written.bytes(
            (key, (one.signal, one.reach_m, one.until, one.group, one.lent_to), one) for key, one in held
        )
        return {"standing": written[: len(self._standing)], "passing": written[len(self._standing) :]}

    def restore(self, saved: dict[str, Any]) -> None:
        for name, table in (("standing", self._standing), ("passing", self._passing)):
            for held in map(_DECODER.decode, saved[name]):
                table[held_key(held.signal)] = held
                self._index(held_key(held.signal), held, 1)


def held_key(signal: Signal) -> str:
    return piece_key(signal) + ("|x" if signal.exercise else "")

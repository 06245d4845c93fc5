"""What the gate remembers: of each series the newest row and the last few, of events the last ids, of vehicles the last place.

Every memory gives the answer it would give row by row, so batches may be cut anywhere. Readings are judged by a compiled loop
(:mod:`streams.gate_kernel`); fixes, and readings where nothing is compiled, in one numpy step where their series move forward,
and one row at a time where a row is repeated or older.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams import compiled
from streams import gate_kernel as kernel
from streams.batch import Bool, Float64, Int32, Int64
from streams.event_time import NEVER
from streams.gate_kernel import ACCEPTED, DUPLICATE, JUMP, LATE, Verdicts
from streams.geography import METRES_PER_DEGREE, haversine_m
from streams.series import grown
from streams.slot_memory import fetch

_KMH_PER_M_MS = 3600.0
#: What rounding can make of a distance that is just within reach.
_ROUNDING = 1 + 1e-6


def _firsts(slot: Int32) -> Bool:
    """Of rows sorted by slot, which begin a series."""
    first = np.ones(len(slot), dtype=np.bool_)
    np.not_equal(slot[1:], slot[:-1], out=first[1:])
    return first


def _previous(values: NDArray[Any], first: Bool, remembered: NDArray[Any]) -> NDArray[Any]:
    """What each row's series said before it: the row before, or what is ``remembered`` where the row is the first."""
    return np.where(first, remembered, np.concatenate([values[:1], values[:-1]]))


class SeriesMemory:
    """Newest ``ts`` per slot, and the last ``depth`` rows as (ts, value): an equal one among them is a duplicate.

    With ``by_value`` False the ``ts`` alone makes a duplicate.
    """

    def __init__(self, depth: int, *, by_value: bool = True) -> None:
        self.depth, self.by_value = depth, by_value
        self._take(kernel.blank(depth)[:0])

    def _take(self, records: kernel.Remembered) -> None:
        """One record a slot; everything but the compiled loop sees its columns."""
        self.records = records
        self.newest: Int64 = records["newest"]
        self.pushed: Int64 = records["pushed"]
        self.ring_ts: Int64 = records["ring_ts"]
        self.ring_value: Float64 = records["ring_value"]

    def grow(self, size: int) -> None:
        if size > len(self.records):
            self._take(grown(self.records, size, kernel.blank(self.depth)))

    def forget(self, slots: Any) -> None:
        self.records[slots] = kernel.blank(self.depth)

    def judge(self, slot: Int32, ts: Int64, value: Float64) -> Verdicts:
        """ACCEPTED, DUPLICATE or LATE per row, in row order; all but duplicates are remembered."""
        verdicts = np.zeros(len(slot), dtype=np.int8)
        if compiled.AVAILABLE and self.by_value:
            fetch(self.records, slot)
            kernel.judge(self.records, self.depth, slot, ts, value, verdicts)
            return verdicts
        order = np.argsort(slot, kind="stable")
        forward, first = self._forward(slot[order], ts[order])
        if not forward.all():
            walked = np.zeros(len(self.newest), dtype=np.bool_)
            walked[slot[order[~forward]]] = True
            singly = walked[slot[order]]
            for row in np.sort(order[singly]).tolist():
                verdicts[row] = self._one(int(slot[row]), int(ts[row]), float(value[row]))
            order = order[~singly]
            first = first[~singly]
        if len(order):
            self._push(slot[order], ts[order], value[order], np.flatnonzero(first))
        return verdicts

    def _forward(self, slot: Int32, ts: Int64) -> tuple[Bool, Bool]:
        """Per row (sorted by slot): newer than the one before it in its series; first of its series."""
        first = _firsts(slot)
        return ts > _previous(ts, first, self.newest[slot]), first

    def _push(self, slot: Int32, ts: Int64, value: Float64, starts: NDArray[np.intp]) -> None:
        """Rows of series that only move forward, sorted by slot, each series beginning at one of ``starts``."""
        counts = np.diff(np.append(starts, len(slot)))
        rank = np.arange(len(slot)) - np.repeat(starts, counts)
        kept = rank >= np.repeat(counts, counts) - self.depth
        held = slot[kept]
        place = (self.pushed[held] + rank[kept]) % self.depth
        self.ring_ts[held, place] = ts[kept]
        self.ring_value[held, place] = value[kept]
        owners = slot[starts]
        self.pushed[owners] += counts
        self.newest[owners] = ts[starts + counts - 1]

    def _one(self, slot: int, ts: int, value: float) -> int:
        newest = int(self.newest[slot])
        if ts <= newest:
            same = self.ring_ts[slot] == ts
            if self.by_value:
                same &= self.ring_value[slot] == value
            if same.any() or (ts == newest and not self.by_value):
                return DUPLICATE
        self._remember(slot, ts, value)
        return LATE if ts < newest else ACCEPTED

    def _remember(self, slot: int, ts: int, value: float) -> None:
        place = int(self.pushed[slot]) % self.depth
        self.ring_ts[slot, place] = ts
        self.ring_value[slot, place] = value
        self.pushed[slot] += 1
        self.newest[slot] = max(int(self.newest[slot]), ts)

    def snapshot(self, size: int) -> dict[str, Any]:
        names = ("newest", "ring_ts", "ring_value", "pushed")
        return {name: getattr(self, name)[:size].copy() for name in names}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """A ring of another depth than the settings' stays as deep as it was: what is remembered must not be lost."""
        self.depth = np.asarray(saved["ring_ts"]).shape[1]
        records = np.repeat(kernel.blank(self.depth), len(saved["newest"]))
        for name in ("newest", "pushed", "ring_ts", "ring_value"):
            records[name] = saved[name]
        self._take(records)


class TrackMemory(SeriesMemory):
    """Fixes of vehicles: a place that cannot have been reached since the last one is a JUMP and moves nothing.

    Once ``confirmations`` refused fixes in a row agree with each other the next that agrees with them is believed: the
    vehicle really is elsewhere (ferried, towed, a terminal moved to another vehicle).
    """

    def __init__(self, depth: int, max_speed_kmh: float, slack_m: float, confirmations: int) -> None:
        super().__init__(depth, by_value=False)
        self.max_speed_kmh, self.slack_m, self.confirmations = max_speed_kmh, slack_m, confirmations
        #: Last believed place (lat, lon), and the last refused one (ts, lat, lon, how many in a row agree).
        self.place: Float64 = np.zeros((0, 2))
        self.refused_ts: Int64 = np.zeros(0, dtype=np.int64)
        self.refused_place: Float64 = np.zeros((0, 2))
        self.refused: Int64 = np.zeros(0, dtype=np.int64)
        #: Of :meth:`_once`; what it holds means nothing.
        self._seen: Int64 = np.zeros(0, dtype=np.int64)

    def grow(self, size: int) -> None:
        super().grow(size)
        self.place = grown(self.place, size, np.nan)
        self.refused_ts = grown(self.refused_ts, size, NEVER)
        self.refused_place = grown(self.refused_place, size, np.nan)
        self.refused = grown(self.refused, size, 0)

    def forget(self, slots: Any) -> None:
        super().forget(slots)
        self.place[slots] = np.nan
        self._clear(slots)

    def _clear(self, slots: Any) -> None:
        self.refused_ts[slots] = NEVER
        self.refused_place[slots] = np.nan
        self.refused[slots] = 0

    def judge_fixes(self, slot: Int32, ts: Int64, lat: Float64, lon: Float64) -> Verdicts:
        """As :meth:`judge`, and JUMP; refused fixes are not remembered."""
        verdicts = np.zeros(len(slot), dtype=np.int8)
        if not len(slot):
            return verdicts
        order = np.arange(len(slot)) if self._once(slot) else np.argsort(slot, kind="stable")
        s, t, y, x = slot[order], ts[order], lat[order], lon[order]
        first = _firsts(s)
        newest = _previous(t, first, self.newest[s])
        near = self._reached(t, y, x, newest, _previous(y, first, self.place[s, 0]), _previous(x, first, self.place[s, 1]))
        good = near & (t > newest) & (t != self.refused_ts[s])
        if not good.all():
            walked = np.zeros(len(self.newest), dtype=np.bool_)
            walked[s[~good]] = True
            singly = walked[s]
            for row in np.sort(order[singly]).tolist():
                verdicts[row] = self._fix(int(slot[row]), int(ts[row]), float(lat[row]), float(lon[row]))
            kept = ~singly
            s, t, y, x, first = s[kept], t[kept], y[kept], x[kept], first[kept]
        if len(s):
            starts = np.flatnonzero(first)
            self._push(s, t, y, starts)
            ends = np.append(starts[1:], len(s)) - 1
            self.place[s[ends], 0], self.place[s[ends], 1] = y[ends], x[ends]
            self._clear(s[ends])
        return verdicts

    def _once(self, slot: Int32) -> bool:
        """Whether no slot occurs twice: quicker to see than to sort."""
        rows = np.arange(len(slot))
        if len(self._seen) < len(self.newest):
            self._seen = np.zeros(len(self.newest), dtype=np.int64)
        self._seen[slot] = rows
        return int(np.count_nonzero(self._seen[slot] == rows)) == len(rows)

    def _reached(self, ts: Int64, lat: Float64, lon: Float64, newest: Int64, before_lat: Float64, before_lon: Float64) -> Bool:
        """Whether each place can have been reached from the one before it; from nowhere every place can."""
        reach = self._reach(ts, newest)
        # No way is longer than along the meridian and then along the equator: that many degrees settle nearly every row.
        degrees = np.abs(lat - before_lat) + np.abs(lon - before_lon)
        reached: Bool = degrees * (METRES_PER_DEGREE * _ROUNDING) <= reach
        unsettled = np.flatnonzero(~reached)
        if len(unsettled):
            metres = haversine_m(before_lat[unsettled], before_lon[unsettled], lat[unsettled], lon[unsettled])
            reached[unsettled] = np.isnan(metres) | (metres <= reach[unsettled])
        return reached

    def _reach(self, ts: Any, before: Any) -> Any:
        """Metres a vehicle can have come; the slack is the noise of two positions."""
        return self.slack_m + self.max_speed_kmh / _KMH_PER_M_MS * np.abs(np.subtract(ts, before, dtype=np.float64))

    def _fix(self, slot: int, ts: int, lat: float, lon: float) -> int:
        newest = int(self.newest[slot])
        if ts == newest or (self.ring_ts[slot] == ts).any() or ts == self.refused_ts[slot]:
            return DUPLICATE
        if ts < newest:
            self._remember(slot, ts, lat)
            return LATE
        y, x = self.place[slot].tolist()
        if np.isnan(y) or haversine_m(y, x, lat, lon) <= self._reach(ts, newest):
            self._believe(slot, ts, lat, lon)
            return ACCEPTED
        y, x = self.refused_place[slot].tolist()
        agrees = not np.isnan(y) and haversine_m(y, x, lat, lon) <= self._reach(ts, int(self.refused_ts[slot]))
        if agrees and self.refused[slot] >= self.confirmations:
            self._believe(slot, ts, lat, lon)
            return ACCEPTED
        self.refused[slot] = self.refused[slot] + 1 if agrees else 1
        self.refused_ts[slot] = ts
        self.refused_place[slot] = (lat, lon)
        return JUMP

    def _believe(self, slot: int, ts: int, lat: float, lon: float) -> None:
        self._remember(slot, ts, lat)
        self.place[slot] = (lat, lon)
        self._clear(slot)

    def snapshot(self, size: int) -> dict[str, Any]:
        names = ("place", "refused_ts", "refused_place", "refused")
        return super().snapshot(size) | {name: getattr(self, name)[:size].copy() for name in names}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self.place = np.array(saved["place"], dtype=np.float64).reshape(-1, 2)
        self.refused_ts = np.array(saved["refused_ts"], dtype=np.int64)
        self.refused_place = np.array(saved["refused_place"], dtype=np.float64).reshape(-1, 2)
        self.refused = np.array(saved["refused"], dtype=np.int64)


class IdMemory:
    """The last ``limit`` ids, first in first out: what an event or a call is recognised by when it comes again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._order: deque[str] = deque()
        self._known: set[str] = set()

    def seen(self, identity: str) -> bool:
        """Whether the id is remembered; if not, it is from now on."""
        if identity in self._known:
            return True
        self._known.add(identity)
        self._order.append(identity)
        if len(self._order) > self.limit:
            self._known.discard(self._order.popleft())
        return False

    def __len__(self) -> int:
        return len(self._order)

    def snapshot(self) -> list[str]:
        return list(self._order)

    def restore(self, saved: Iterable[str]) -> None:
        self._order = deque(saved)
        self._known = set(self._order)

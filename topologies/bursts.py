"""Bursts of calls: more people of one neighbourhood say the same thing than the place is used to.

The judgement is that of :mod:`detectors.burst` (Poisson chance of so many witnesses against the area's own faded rate; its
settings, its ``tail``), but the state is kept by cell and every cell has the time of its own calls: what happens across the
city, in other partitions, must not change what an incident looks like here (docs/interfaces.md, clock of the incident stage).

A burst is evidence like any other, momentary, of the calls' own family, category and level, under the rule name
``call-burst/<rule of the calls>``: it joins the calls' incident, is no witness more (callers are counted already), and raises a
level only where a family's escalation names it. It lives in the incident stage because only here a city is in one order (D7).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from detectors.burst import BurstSettings, tail
from streams.records import Point, Signal
from topologies.cells import Grid
from topologies.decided import Decided
from topologies.happening import place
from topologies.incident_clock import Due
from topologies.written import Touched

#: In front of the rule of the calls.
PREFIX = "call-burst/"
#: Cells remembered; beyond, those whose past has faded most are forgotten (and counted).
_CELLS_KEPT = 100_000
#: Calls kept per cell and window: beyond, a burst is a burst.
_CALLS_KEPT = 200


_at = attrgetter("at")

#: Rule of the calls, row and column of the cell.
AreaName = tuple[str, int, int]


class Call(Struct, gc=False, array_like=True):
    """One call of the running window; ``flagged``: it was part of a burst and never becomes usual."""

    at: int
    witness: str
    lat: float
    lon: float
    flagged: bool = False


class Area(Struct, gc=False, array_like=True):
    """One cell: calls of its window, and its past as a weight that fades."""

    name: AreaName
    since: int
    calls: list[Call]
    weight: float = 0.0
    weight_at: int = 0
    #: Until then a standing burst here is not told again.
    told_until: int = 0
    #: Begin and last call of the burst decided here.
    burst_since: int = 0
    burst_last: int = 0


_DECODER = msgspec.msgpack.Decoder(Area)


class Bursts:
    """The burst step: calls pass, and may bring a burst with them; ``decided`` is where reasons go."""

    def __init__(self, settings: BurstSettings) -> None:
        self.decided = Decided()
        #: Never aimed: what has left a window is met by the next call.
        self.timers = Due()
        self._settings = settings
        self._window_ms = round(settings.window_s * 1000)
        self._memory_ms = settings.memory_s * 1000
        self._areas: dict[AreaName, Area] = {}
        #: The same by rule of the calls and by cell.
        self._grids: dict[str, Grid[Area]] = {}
        self.written = Touched(self._areas)

    def take(self, signal: Signal) -> Iterable[Signal]:
        if signal.stream != "hotline" or signal.phase != "raised" or signal.exercise or signal.historical:
            return (signal,)
        spot = place(signal)
        burst = self._judge(signal, spot[0], spot[1]) if spot is not None else None
        return (signal,) if burst is None else (signal, burst)

    def _judge(self, signal: Signal, lat: float, lon: float) -> Signal | None:
        now = signal.arrival_ts
        grid = self._grid(signal.rule)
        around = grid.near(lat, lon)
        cell = grid.of(lat, lon)
        here = grid.get(cell)
        if here is None:
            here = Area((signal.rule, cell[0], cell[1]), now, [])
            self._keep(here)
            self._forget()
            around = grid.near(lat, lon) if around else [here]
        self.written.touch(here.name)
        said = here.calls
        said.append(Call(now, signal.witness or signal.entity, lat, lon))
        if len(said) > 1 and said[-2].at > now:
            said.sort(key=_at)
        near = 0
        for area in around:
            near += len(area.calls)
        least = self._settings.min_count
        if near < least:
            return None
        calls: list[Call] = []
        for area in around:
            if area is not here:
                self.written.touch(area.name)
            self._age(area, now)
            calls += area.calls
        count = len({call.witness for call in calls})
        if count < least:
            return None
        expected = self._expected(around, now)
        chance = tail(count, expected)
        if chance >= self._settings.chance:
            return None
        if now > here.burst_last + self._window_ms:
            here.burst_since = now
        here.burst_last = now
        if now - here.burst_since <= self._settings.adopt_after_s * 1000:  # what lasts longer is the new normal
            for call in calls:
                call.flagged = True
        if now < max(area.told_until for area in around):
            return None
        here.told_until = now + self._window_ms // 4
        return self._told(signal, "|".join(map(str, here.name)), calls, count, expected, chance)

    def _age(self, area: Area, now: int) -> None:
        """What has left the window becomes usual, unless it was part of a burst."""
        start = now - self._window_ms
        if area.calls and (area.calls[0].at < start or len(area.calls) > _CALLS_KEPT):
            kept = [call for call in area.calls if call.at >= start][-_CALLS_KEPT:]
            usual = sum(1 for call in area.calls if call.at < start and not call.flagged)
            area.weight = self._faded(area, now) + usual
            area.weight_at = now
            area.calls = kept

    def _faded(self, area: Area, now: int) -> float:
        weight = area.weight
        return weight * math.exp(-max(0, now - area.weight_at) / self._memory_ms) if weight else 0.0

    def _expected(self, around: list[Area], now: int) -> float:
        """Reports usual in a window here: what every place is granted, and the area's own past over the time it stands for."""
        seen_ms = max(0, now - min(area.since for area in around))
        stands_for = self._memory_ms * -math.expm1(-seen_ms / self._memory_ms)
        rate = self._settings.granted_per_day / 86_400_000.0
        rate += sum(self._faded(area, now) for area in around) / max(stands_for, self._window_ms)
        return rate * self._window_ms

    def _told(self, call: Signal, area: str, calls: list[Call], count: int, expected: float, chance: float) -> Signal:
        rule = PREFIX + call.rule
        lat = math.fsum(one.lat for one in calls) / len(calls)
        lon = math.fsum(one.lon for one in calls) / len(calls)
        minutes = self._settings.window_s / 60
        return msgspec.structs.replace(
            call,
            signal_id=f"{rule}:{area}:{call.arrival_ts}",
            rule=rule,
            entity=area,
            location=Point((lon, lat)),
            radius_m=self._settings.cell_m,
            metric=None,
            value=float(count),
            expected=round(expected, 3),
            unit="callers",
            score=round(min(1.0, -math.log10(chance) / 10) if chance > 0 else 1.0, 4),
            explanation=f"{count} callers in {minutes:g} min where {expected:.2f} are usual",
            witness=call.witness or call.entity,
            momentary=True,
        )

    def _grid(self, rule: str) -> Grid[Area]:
        grid = self._grids.get(rule)
        if grid is None:
            grid = self._grids[rule] = Grid(self._settings.cell_m)
        return grid

    def _keep(self, area: Area) -> None:
        rule, row, column = area.name
        self._areas[area.name] = area
        self._grid(rule).put((row, column), area)

    def _forget(self) -> None:
        if len(self._areas) <= _CELLS_KEPT:
            return
        now = max(area.weight_at for area in self._areas.values())
        ranked = sorted(self._areas, key=lambda name: (len(self._areas[name].calls), self._faded(self._areas[name], now), name))
        for name in ranked[: _CELLS_KEPT // 10]:
            del self._areas[name]
            self._grids[name[0]].remove(name[1:])
            self.written.touch(name)
            self.decided.noted["burst_overflow"] += 1

    def fire(self, now: int) -> Iterable[Signal]:
        return ()

    def snapshot(self) -> dict[str, Any]:
        # msgpack of each Area.
        return {"areas": self.written.bytes()}

    def restore(self, saved: dict[str, Any]) -> None:
        self._areas.clear()
        self._grids.clear()
        for area in map(_DECODER.decode, saved["areas"]):
            self._keep(area)
            self.written.touch(area.name)

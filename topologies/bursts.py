"""Bursts of calls: many people of one neighbourhood say the same thing, more than the place's own rhythm explains.

For every rule of the book whose detector is ``burst``: distinct witnesses of the same category within ``radius_m`` and
``window_s`` of a call, against what the cells around it usually have. The measure is the Pearson residual
``(count - expected) / sqrt(max(expected, 1))``, the rule's ladder judges it, and a burst is one more signal, momentary, that
correlates like any other. It lives in the incident stage because only here a city is in one order (D7).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from detectors.rule import Rule
from streams.records import Point, Signal
from topologies.correlate import Cells, metres_between
from topologies.decided import Decided
from topologies.happening import place
from topologies.incident_settings import IncidentSettings
from topologies.rule_facts import RuleTable

#: Cells whose usual count has faded below this are forgotten.
_FADED = 0.01
#: Calls kept per cell and window: beyond, a burst is a burst.
_CALLS_KEPT = 500
_CELLS_KEPT = 50_000


class BurstParams(Struct, frozen=True):
    """Parameters under ``[detector]`` of a burst rule.

    ``categories``: of the calls that count (none: the rule's own). ``min_count``: fewer witnesses are never a burst.
    ``half_life``: windows after which half of what was usual is forgotten.
    """

    categories: list[str] = []
    radius_m: float = 500.0
    window_s: float = 3600.0
    min_count: int = 5
    half_life: float = 168.0


class Call(Struct):
    """One counted call: who, when (arrival) and where."""

    at: int
    witness: str
    lat: float
    lon: float


class Usual(Struct):
    """What a cell usually has in a window: the mean so far, and the count of the window that runs."""

    window: int
    count: int = 0
    mean: float = 0.0
    #: The running window held a burst: it is not learned from (law 6).
    flagged: bool = False


class Burst:
    """One rule: calls of the last window by category and cell, and what is usual there."""

    def __init__(self, rule: Rule) -> None:
        try:
            self.params = msgspec.convert({key: value for key, value in rule.detector.items() if key != "use"}, BurstParams)
        except msgspec.ValidationError:  # the rule book has complained; the defaults keep the city watched
            self.params = BurstParams()
        self.rule = rule
        self._categories = frozenset(self.params.categories or [rule.category])
        self._cells = Cells(self.params.radius_m)
        self._window_ms = max(1, round(self.params.window_s * 1000))
        self._keep = 0.5 ** (1.0 / max(self.params.half_life, 1e-9))
        self.calls: dict[str, list[Call]] = {}
        self.usual: dict[str, Usual] = {}
        self.quiet: dict[str, int] = {}

    def take(self, signal: Signal) -> Signal | None:
        """The burst this call makes or keeps up, at most once in ``quiet_s`` (or a quarter of the window) per cell."""
        spot = place(signal)
        if spot is None or signal.category not in self._categories or signal.rule == self.rule.name:
            return None
        now = signal.arrival_ts
        around = [f"{signal.category}|{row}|{column}" for row, column in self._cells.around(*spot)]
        here = around[4]
        witness = signal.witness or signal.entity
        near = {
            call.witness
            for name in around
            for call in self._fresh(name, now)
            if metres_between(*spot, call.lat, call.lon) <= self.params.radius_m
        } | {witness}
        # The circle covers pi/9 of the nine cells; where the own cell alone is busier (one loud square), that is what is usual.
        expected = max(self._usually(here, now), sum(self._usually(name, now) for name in around) * math.pi / 9)
        level, bound = self._level(len(near), expected)
        self._learn(here, Call(now, witness, *spot), level is not None)
        if level is None or now < self.quiet.get(here, 0):
            return None
        if len(self.quiet) > _CELLS_KEPT:
            self.quiet = {name: until for name, until in self.quiet.items() if until > now}
        self.quiet[here] = now + round(self.rule.quiet_s * 1000 or self._window_ms / 4)
        minutes = round(self.params.window_s / 60)
        return Signal(
            signal_id=f"{self.rule.name}:{here}:{signal.ts}",
            city=signal.city,
            category=self.rule.category,
            hazard=self.rule.hazard,
            rule=self.rule.name,
            rule_version=self.rule.version,
            entity=here,
            stream="hotline",
            ts=signal.ts,
            arrival_ts=now,
            level=level,
            phase="raised",
            source=signal.source,
            location=Point((spot[1], spot[0])),
            radius_m=self.params.radius_m,
            grid_code=signal.grid_code,
            value=float(len(near)),
            expected=round(expected, 3),
            unit="callers",
            threshold=bound,
            explanation=f"{len(near)} callers within {self.params.radius_m:g} m in {minutes} min; {expected:.1f} are usual",
            witness=f"burst {here}",
            momentary=True,
            historical=signal.historical,
            exercise=signal.exercise,
        )

    def _level(self, count: int, expected: float) -> tuple[int | None, float]:
        if count < self.params.min_count:
            return None, 0.0
        measure = (count - expected) / math.sqrt(max(expected, 1.0))
        reached = [
            (rung.level, rung.raise_)
            for rung in self.rule.levels
            if isinstance(rung.raise_, float | int) and measure >= rung.raise_
        ]
        level, bound = min(reached, default=(0, 0.0))
        return level or None, float(bound)

    def _fresh(self, name: str, now: int) -> list[Call]:
        """Calls of the last window in one cell; older ones leave."""
        held = self.calls.get(name)
        if held is None:
            return []
        if held and held[0].at <= now - self._window_ms:
            held = [call for call in held if call.at > now - self._window_ms]
            if held:
                self.calls[name] = held
            else:
                del self.calls[name]
        return held

    def _usually(self, name: str, now: int) -> float:
        usual = self.usual.get(name)
        if usual is None:
            return 0.0
        passed = now // self._window_ms - usual.window
        if passed <= 0:
            return usual.mean
        mean = usual.mean if usual.flagged else usual.mean * self._keep + usual.count * (1 - self._keep)
        return float(mean * self._keep ** (passed - 1))

    def _learn(self, name: str, call: Call, flagged: bool) -> None:
        held = self.calls.setdefault(name, [])
        held.append(call)
        held.sort(key=lambda one: one.at)
        del held[:-_CALLS_KEPT]
        window = call.at // self._window_ms
        usual = self.usual.get(name)
        if usual is None:
            self.usual[name] = Usual(window, 1, flagged=flagged)
            if len(self.usual) > _CELLS_KEPT:
                self.usual = {key: one for key, one in self.usual.items() if self._usually(key, call.at) > _FADED}
        elif window > usual.window:
            self.usual[name] = Usual(window, 1, self._usually(name, call.at), flagged)
        else:
            usual.count += 1
            usual.flagged = usual.flagged or flagged

    def snapshot(self) -> dict[str, Any]:
        return {
            "calls": [(name, msgspec.to_builtins(calls)) for name, calls in self.calls.items()],
            "usual": [(name, msgspec.to_builtins(usual)) for name, usual in self.usual.items()],
            "quiet": list(self.quiet.items()),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.calls = {name: msgspec.convert(calls, list[Call]) for name, calls in saved["calls"]}
        self.usual = {name: msgspec.convert(usual, Usual) for name, usual in saved["usual"]}
        self.quiet = dict(saved["quiet"])


class Bursts:
    """The burst step: calls pass, and may bring a burst with them."""

    def __init__(self, table: RuleTable, settings: IncidentSettings) -> None:
        self.decided = Decided()
        self._bursts: dict[str, Burst] = {}
        self.switch(table)

    def switch(self, table: RuleTable) -> None:
        """Rules that stay as they are keep what they know."""
        self._bursts = {
            rule.name: held if (held := self._bursts.get(rule.name)) is not None and held.rule == rule else Burst(rule)
            for rule in table.bursts
        }

    def take(self, signal: Signal) -> Iterable[Signal]:
        if not self._bursts or signal.stream != "hotline" or signal.phase != "raised":
            return (signal,)
        found = (burst.take(signal) for burst in self._bursts.values())
        return (signal, *(one for one in found if one is not None))

    def due(self) -> int | None:
        return None

    def fire(self, now: int) -> Iterable[Signal]:
        return ()

    def snapshot(self) -> dict[str, Any]:
        return {name: burst.snapshot() for name, burst in self._bursts.items()}

    def restore(self, saved: dict[str, Any]) -> None:
        for name, burst in self._bursts.items():
            if name in saved:
                burst.restore(saved[name])

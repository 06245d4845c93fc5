"""Mutes: signals that somebody expected. A standing alarm is kept and becomes news if it still holds when the mute ends.

A mute speaks of when things happened (``from`` ≤ ts < ``to``), so a reading of a maintenance window that arrives after it is
still muted. A ``drill`` mutes nothing: it marks what it matches as an exercise. An alarm's end always passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streams.records import Control, Mute, Signal
from topologies.cells import metres_between
from topologies.decided import Decided
from topologies.happening import level_of, own_key, place
from topologies.incident_clock import Due, instant
from topologies.incident_settings import IncidentSettings
from topologies.written import Unchanged

#: Mutes are kept this long after their end, for what arrives late (the log keeps sensor records seven days).
_KEPT_MS = 7 * 86_400_000


_MUTES = msgspec.msgpack.Decoder(tuple[int, int, Mute])
_SIGNALS = msgspec.msgpack.Decoder(Signal)


class Mutes:
    """The mute step; ``decided`` is where reasons go."""

    def __init__(self, settings: IncidentSettings) -> None:
        self._settings = settings
        self._mutes: dict[str, tuple[int, int, Mute]] = {}
        #: Mutes that name an entity are asked only for signals of it.
        self._of_entity: dict[str, dict[str, None]] = {}
        self._general: dict[str, None] = {}
        self._retained: dict[str, Signal] = {}
        self._written_mutes: Unchanged[str] = Unchanged()
        self._written_retained: Unchanged[str] = Unchanged()
        #: When what is retained may be released.
        self.timers = Due()
        self.decided = Decided()

    # --- controls -----------------------------------------------------------------------------------------------------

    def control(self, control: Control) -> Iterable[Signal]:
        """A mute begins, changes or is withdrawn; yields what no mute holds back any more."""
        mute = control.mute
        if mute is None:
            self.decided.noted["mute_unreadable"] += 1
            return ()
        begins, ends = instant(mute.from_), instant(mute.to)
        self._drop(mute.mute_id)
        if not control.mute_ended:
            if begins is None or ends is None or ends <= begins:
                self.decided.noted["mute_unreadable"] += 1
            else:
                self._prune(control.arrival_ts)
                self._keep(mute, begins, ends)
        return self._reconsider(control.arrival_ts)

    def _keep(self, mute: Mute, begins: int, ends: int) -> None:
        if len(self._mutes) >= self._settings.max_mutes:
            self.decided.noted["mute_overflow"] += 1
            return
        self._mutes[mute.mute_id] = (begins, ends, mute)
        entity = mute.matchers.entity
        (self._general if entity is None else self._of_entity.setdefault(entity, {}))[mute.mute_id] = None

    def _drop(self, mute_id: str) -> None:
        held = self._mutes.pop(mute_id, None)
        if held is None:
            return
        entity = held[2].matchers.entity
        if entity is None:
            self._general.pop(mute_id, None)
            return
        names = self._of_entity.get(entity, {})
        names.pop(mute_id, None)
        if not names:
            self._of_entity.pop(entity, None)

    def _prune(self, now: int) -> None:
        if len(self._mutes) >= self._settings.max_mutes:
            for mute_id in [name for name, (_, ends, _) in self._mutes.items() if ends < now - _KEPT_MS]:
                self._drop(mute_id)

    def _reconsider(self, now: int) -> Iterable[Signal]:
        for key in sorted(self._retained):
            signal = self._retained[key]
            mute = self._muting(signal, max(signal.ts, now))
            if mute is None:
                yield self._freed(key, now)
            else:
                self.timers.aim(key, mute[1])

    # --- signals ------------------------------------------------------------------------------------------------------

    def take(self, signal: Signal) -> Iterable[Signal]:
        if not self._mutes and not self._retained:
            return (signal,)
        key = own_key(signal.rule, signal.entity)
        freed: list[Signal] = []
        at = self.timers.time(key)
        if at is not None and at <= signal.arrival_ts:
            freed += self._end(key, at)
        if signal.phase == "cleared":
            if self._retained.pop(key, None) is not None:
                self.timers.aim(key, None)
                self.decided.muted["cleared_while_muted"] += 1
            return (*freed, self._marked(signal))
        signal = self._marked(signal)
        mute = self._muting(signal, signal.ts)
        if mute is None:
            if self._retained.pop(key, None) is not None:
                self.timers.aim(key, None)
            return (*freed, signal)
        self.decided.muted[mute[2].kind] += 1
        if not signal.momentary:
            if len(self._retained) >= self._settings.max_retained and key not in self._retained:
                self.decided.noted["retained_overflow"] += 1
                return (*freed, signal)  # rather told in spite of the mute than lost
            self._retained[key] = signal
            self.timers.aim(key, mute[1])
        return freed

    def _marked(self, signal: Signal) -> Signal:
        if signal.exercise or not any(held[2].kind == "drill" for held in self._covering(signal, signal.ts)):
            return signal
        self.decided.noted["exercise"] += 1
        return msgspec.structs.replace(signal, exercise=True)

    def _muting(self, signal: Signal, at: int) -> tuple[int, int, Mute] | None:
        """Of the mutes that cover the signal, the one that ends last; ties by name."""
        covering = [held for held in self._covering(signal, at) if held[2].kind != "drill"]
        return max(covering, key=lambda held: (held[1], held[2].mute_id), default=None)

    def _covering(self, signal: Signal, at: int) -> Iterable[tuple[int, int, Mute]]:
        for names in (self._general, self._of_entity.get(signal.entity, {})):
            for name in names:
                held = self._mutes[name]
                if held[0] <= at < held[1] and matches(held[2], signal):
                    yield held

    # --- time ---------------------------------------------------------------------------------------------------------

    def fire(self, now: int) -> Iterable[Signal]:
        at = self.timers.next()
        if at is None or at > now:
            return ()
        key = self.timers.pop(now)
        return self._end(key, at) if key is not None else ()

    def _end(self, key: str, at: int) -> list[Signal]:
        signal = self._retained.get(key)
        if signal is None:
            self.timers.aim(key, None)
            return []
        mute = self._muting(signal, at)
        if mute is not None:
            self.timers.aim(key, mute[1])
            return []
        return [self._freed(key, at)]

    def _freed(self, key: str, at: int) -> Signal:
        """The alarm still holds: it is news now, as of the mute's end."""
        signal = self._retained.pop(key)
        self.timers.aim(key, None)
        self.decided.noted["released"] += 1
        return msgspec.structs.replace(signal, arrival_ts=max(at, signal.arrival_ts), phase="raised")

    # --- state --------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            # msgpack of (begins, ends, Mute) and of each Signal.
            "mutes": self._written_mutes.bytes((name, held, held) for name, held in self._mutes.items()),
            "keys": list(self._retained),
            "retained": self._written_retained.bytes((key, (signal,), signal) for key, signal in self._retained.items()),
            "release": self.timers.snapshot(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        for begins, ends, mute in map(_MUTES.decode, saved["mutes"]):
            self._keep(mute, begins, ends)
        self._retained = dict(zip(saved["keys"], map(_SIGNALS.decode, saved["retained"]), strict=True))
        self.timers.restore((key, at) for key, at in saved["release"])


def matches(mute: Mute, signal: Signal) -> bool:
    """Every named field agrees; ``max_severity_level`` spares what is more severe; a place needs a signal that has one."""
    wanted = mute.matchers
    for name in ("city", "category", "hazard", "rule", "entity", "stream"):
        value = getattr(wanted, name)
        if value is not None and value != getattr(signal, name):
            return False
    if wanted.max_severity_level is not None and level_of(signal) < wanted.max_severity_level:
        return False
    if wanted.lat is not None and wanted.lon is not None and wanted.radius_m is not None:
        spot = place(signal)
        return spot is not None and metres_between(*spot, wanted.lat, wanted.lon) <= wanted.radius_m
    return True

"""Folding of silences: when most of a gateway, a partition or a topic is silent, it is one outage and not a thousand (D9).

A silence waits ``hold_s`` for its neighbours. When the wait of its gateway is over, it is part of an outage of its topic, its
partition or its gateway, in this order, or goes on as the device's own incident. While an outage stands its members' silences
are folded into it. When enough members are back the outage clears, and whoever is still silent waits anew, on its own account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from streams.records import Control, Point, Signal
from topologies.decided import Decided
from topologies.happening import place
from topologies.incident_clock import Due
from topologies.incident_settings import OutageSettings
from topologies.reference import Assets

#: Silent shares kept per partition: a decision needs the one that held at its due time, not the last one seen.
_SHARES_KEPT = 64


class Silent(Struct):
    """One silent device: its alarm, and whether it waits (``held``), was folded into an outage or goes on its own."""

    signal: Signal
    state: Literal["held", "folded", "alone"]
    outage: str = ""


class Outages:
    """The outage step; ``decided`` is where reasons go. Signals of other kinds do not come here."""

    def __init__(self, registry: Assets, settings: OutageSettings) -> None:
        self.registry = registry
        self._settings = settings
        self._hold_ms = round(settings.hold_s * 1000)
        #: Silent devices by what they hang on (gateway, else partition), then by rule and entity.
        self._silent: dict[str, dict[str, Silent]] = {}
        self._windows = Due()
        #: Outages that stand, by name, with the signal that raised each.
        self._outages: dict[str, Signal] = {}
        self._shares: dict[str, list[tuple[int, float]]] = {}
        #: How many silences there are by partition, and how many are folded by outage (both follow from ``_silent``).
        self._of_partition: Counter[str] = Counter()
        self._folded: Counter[str] = Counter()
        self.decided = Decided()

    # --- what partitions report ---------------------------------------------------------------------------------------

    def tick(self, control: Control) -> Iterable[Signal]:
        """A partition says how much of it is silent; an outage of it ends when enough is heard again."""
        if control.silent_fraction is None:
            return
        partition = f"{control.source.topic}/{control.source.partition}"
        shares = self._shares.setdefault(partition, [])
        shares.append((control.arrival_ts, control.silent_fraction))
        del shares[:-_SHARES_KEPT]
        if control.silent_fraction < self._settings.clear_share:
            for name in (partition, control.source.topic):
                if name in self._outages:
                    yield from self._over(name, control.arrival_ts)

    def _share(self, partition: str, at: int) -> float:
        return next((share for arrival, share in reversed(self._shares.get(partition, [])) if arrival <= at), 0.0)

    # --- signals ------------------------------------------------------------------------------------------------------

    def take(self, signal: Signal) -> Iterable[Signal]:
        """A silence begins, changes or ends."""
        where = _hangs_on(signal)
        at = self._windows.time(where)
        if at is not None and at <= signal.arrival_ts:
            self._windows.aim(where, None)
            yield from self._decide(where, at)
        key = f"{signal.rule}|{signal.entity}"
        held = self._silent.get(where, {}).get(key)
        if signal.phase == "cleared":
            yield from self._heard(where, key, held, signal)
        elif held is None:
            self._begins(where, key, signal)
        elif held.state == "alone":
            held.signal = signal
            yield signal
        else:
            held.signal = msgspec.structs.replace(signal, phase="raised")
            self.decided.muted["folded" if held.state == "folded" else "held"] += 1

    def _begins(self, where: str, key: str, signal: Signal) -> None:
        signal = msgspec.structs.replace(signal, phase="raised")
        outage = next((name for name in _outages_of(signal) if name in self._outages), None)
        self._of_partition[_partition(signal)] += 1
        if outage is not None:
            self._silent.setdefault(where, {})[key] = Silent(signal, "folded", outage)
            self._folded[outage] += 1
            self.decided.muted["folded"] += 1
            return
        self._silent.setdefault(where, {})[key] = Silent(signal, "held")
        self.decided.muted["held"] += 1
        if self._windows.time(where) is None:
            self._windows.aim(where, signal.arrival_ts + self._hold_ms)

    def _heard(self, where: str, key: str, held: Silent | None, signal: Signal) -> Iterable[Signal]:
        if held is None:
            yield signal  # from before this step knew of it
            return
        del self._silent[where][key]
        self._of_partition[_partition(held.signal)] -= 1
        if held.outage:
            self._folded[held.outage] -= 1
        if held.state == "alone":
            yield signal
        elif held.state == "held":
            self.decided.muted["heard_in_time"] += 1
        if held.outage in self._outages and self._recovered(where, held.outage):
            yield from self._over(held.outage, signal.arrival_ts)
        if not self._silent[where]:
            del self._silent[where]
            self._windows.aim(where, None)

    def _recovered(self, where: str, outage: str) -> bool:
        folded = self._folded[outage]
        if where != f"gateway:{outage}":
            return folded == 0  # partitions and topics say themselves when they are back
        return folded < self._settings.clear_share * len(self.registry.behind(outage))

    # --- time ---------------------------------------------------------------------------------------------------------

    def due(self) -> int | None:
        return self._windows.next()

    def fire(self, now: int) -> Iterable[Signal]:
        at = self._windows.next()
        where = self._windows.pop(now)
        return self._decide(where, at) if where is not None and at is not None else ()

    def _decide(self, where: str, at: int) -> Iterable[Signal]:
        """The wait of a gateway (or partition) is over."""
        group = self._silent.get(where, {})
        for key in sorted(group):
            one = group[key]
            if one.state != "held":
                continue
            outage = self._outage_of(where, one.signal, at)
            if outage is None:
                one.state = "alone"
                yield msgspec.structs.replace(one.signal, arrival_ts=max(at, one.signal.arrival_ts))
            else:
                yield from self._fold(where, outage, at)
        if not group:
            self._silent.pop(where, None)

    def _outage_of(self, where: str, signal: Signal, at: int) -> str | None:
        topic, partition = signal.source.topic, _partition(signal)
        needed, share = self._settings.min_members, self._settings.share
        if self._share(partition, at) >= share and self._of_partition[partition] >= needed:
            siblings = [name for name in self._shares if name.rsplit("/", 1)[0] == topic]
            everywhere = len(siblings) >= 2 and all(self._share(name, at) >= share for name in siblings)
            return topic if everywhere else partition
        if signal.gateway is not None:
            members = len(self.registry.behind(signal.gateway))
            silent = len({one.signal.entity for one in self._silent.get(where, {}).values()})
            if members >= needed and silent >= share * members:
                return signal.gateway
        return None

    def _fold(self, where: str, outage: str, at: int) -> Iterable[Signal]:
        """All silences that belong to the outage become one; those that had gone on alone end in its favour."""
        folded: list[Signal] = []
        for place_of, group in sorted(self._silent.items()):
            for key in sorted(group):
                one = group[key]
                if one.state == "folded" or outage not in _outages_of(one.signal):
                    continue
                if one.state == "alone":
                    why = f"part of the outage of {outage}"
                    yield msgspec.structs.replace(one.signal, phase="cleared", arrival_ts=at, explanation=why)
                one.state, one.outage = "folded", outage
                self._folded[outage] += 1
                folded.append(one.signal)
                self.decided.muted["folded"] += 1
            if place_of != where and all(one.state != "held" for one in group.values()):
                self._windows.aim(place_of, None)
        if outage not in self._outages and folded:
            self.decided.noted["outage"] += 1
            self._outages[outage] = raised = self._raised(outage, folded, at)
            yield raised

    def _raised(self, outage: str, folded: list[Signal], at: int) -> Signal:
        first = min(folded, key=lambda one: (one.ts, one.rule, one.entity))
        kind, level = "topic", self._settings.topic_level
        if outage == first.gateway:
            kind, level = "gateway", self._settings.gateway_level or first.level
        elif "/" in outage:
            kind, level = "partition", self._settings.partition_level
        known = self.registry.at(outage, first.ts) if kind == "gateway" else None
        lat, lon = getattr(known, "lat", None), getattr(known, "lon", None)
        spot = Point((lon, lat)) if lat is not None and lon is not None else None
        if spot is None and kind == "gateway":
            spot = first.location if place(first) is not None else None
        members = len({one.entity for one in folded})
        return msgspec.structs.replace(
            first,
            signal_id=f"{first.rule}:{outage}:{first.ts}",
            entity=outage,
            level=level,
            phase="raised",
            arrival_ts=max(at, first.arrival_ts),
            location=spot,
            metric=None,
            value=float(members),
            threshold=None,
            unit="devices",
            gateway=outage if kind == "gateway" else None,
            witness=None,
            explanation=f"outage of {kind} {outage}: {members} of its devices are silent",
        )

    def _over(self, outage: str, at: int) -> Iterable[Signal]:
        raised = self._outages.pop(outage)
        yield msgspec.structs.replace(
            raised, phase="cleared", arrival_ts=at, ts=max(at, raised.ts), explanation=f"{outage} is back"
        )
        del self._folded[outage]
        for where, group in sorted(self._silent.items()):
            waiting = [one for one in group.values() if one.outage == outage]
            for one in waiting:
                one.state, one.outage = "held", ""
            if waiting and self._windows.time(where) is None:
                self._windows.aim(where, at + self._hold_ms)

    # --- state --------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "silent": [
                (where, [(key, msgspec.to_builtins(one)) for key, one in group.items()])
                for where, group in self._silent.items()
            ],
            "windows": self._windows.snapshot(),
            "outages": [(name, msgspec.to_builtins(signal)) for name, signal in self._outages.items()],
            "shares": [(name, list(shares)) for name, shares in self._shares.items()],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self._silent = {where: {key: msgspec.convert(one, Silent) for key, one in group} for where, group in saved["silent"]}
        self._windows = Due((where, at) for where, at in saved["windows"])
        self._outages = {name: msgspec.convert(signal, Signal) for name, signal in saved["outages"]}
        self._shares = {name: [(at, share) for at, share in shares] for name, shares in saved["shares"]}
        everyone = [one for group in self._silent.values() for one in group.values()]
        self._of_partition = Counter(_partition(one.signal) for one in everyone)
        self._folded = Counter(one.outage for one in everyone if one.outage)


def _partition(signal: Signal) -> str:
    return f"{signal.source.topic}/{signal.source.partition}"


def _hangs_on(signal: Signal) -> str:
    return f"partition:{_partition(signal)}" if signal.gateway is None else f"gateway:{signal.gateway}"


def _outages_of(signal: Signal) -> tuple[str, ...]:
    """Outages a silence may belong to, the widest first."""
    own = (signal.source.topic, _partition(signal))
    return own if signal.gateway is None else (*own, signal.gateway)

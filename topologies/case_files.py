"""The incidents of a city that are open or lately closed, their timers, and their state in a snapshot.

All timers of an incident that are due at or before a signal's arrival fire before the signal is applied to it, so what an
incident looks like follows from its own signals and not from when others were processed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from topologies import life_cycle
from topologies.correlate import Neighbourhood
from topologies.decided import Decided
from topologies.happening import Happening, leading
from topologies.incident_clock import Due
from topologies.incident_settings import IncidentSettings
from topologies.lending import Lending
from topologies.reference import Assets
from topologies.revisions import Revisions
from topologies.rule_facts import RuleTable
from topologies.written import Touched

_DECODER = msgspec.msgpack.Decoder(Happening)


class CaseFiles:
    """``decided`` is where revisions and reasons go; the stage replaces it for every call."""

    def __init__(self, city: str, table: RuleTable, registry: Assets, settings: IncidentSettings) -> None:
        self._city = city
        self._settings = settings
        self._reopen_ms = round(settings.reopen_s * 1000)
        self.incidents: dict[str, Happening] = {}
        #: Every way to an incident that may change it touches it here.
        self.written = Touched(self.incidents)
        self.open_count = 0
        #: Ids that have been forgotten, oldest first: their feedback is known to be late, and no id is given twice.
        self._remembered: dict[str, int] = {}
        self.timers = Due()
        self._table, self._registry = table, registry
        self._revisions = Revisions(table, registry, settings)
        self._near = Neighbourhood(table.families, table.default_family)
        self._lending = Lending(settings.max_lent, self._lending_overflow)

    @property
    def decided(self) -> Decided:
        return self._revisions.decided

    @decided.setter
    def decided(self, decided: Decided) -> None:
        self._revisions.decided = decided

    def switch(self, table: RuleTable, registry: Assets) -> None:
        """Other rules or another registry from now on; open incidents stay, and are judged anew at their next change."""
        self._table = table
        self._registry = registry
        decided = self.decided
        self._revisions = Revisions(table, registry, self._settings)
        self.decided = decided
        own = self._near.own
        self._near = Neighbourhood(table.families, table.default_family)
        self._near.own = own
        for incident in self.incidents.values():
            if incident.is_open:
                self._near.open(incident)
        self._lending.retain(self._lends)

    def _lends(self, rule: str) -> bool:
        facts = self._table.named(rule)
        return facts is not None and not facts.opens

    def _lending_overflow(self) -> None:
        self.decided.noted["lending_overflow"] += 1

    def fire(self, now: int) -> tuple[()]:
        """The first timer due at or before ``now``; nothing is passed on."""
        name = self.timers.pop(now)
        if name is not None and name in self.incidents:
            self._fire_next(self.incidents[name])
        return ()

    def _caught_up(self, name: str | None, arrival: int) -> Happening | None:
        """The incident with all its timers up to ``arrival`` fired; None where it is not known (any more)."""
        incident = self.incidents.get(name) if name is not None else None
        if name is None or incident is None:
            return None
        self.written.touch(name)
        # What is aimed is what is due: whoever changes an incident aims it anew.
        while (due := self.timers.time(name)) is not None and due <= arrival:
            self._fire_next(incident)
            if name not in self.incidents:
                return None
        return incident

    def _fire_next(self, incident: Happening) -> None:
        due = life_cycle.next_due(incident, self._settings)
        if due is None:
            return
        at, kind = due
        self.written.touch(incident.incident_id)
        if kind == "forget":
            self._forget(incident)
            return
        if kind == "resolve":
            quiet = all(piece.momentary for piece in leading(incident.pieces.values()))
            self._resolve(incident, at, "quiet" if quiet else "hold_elapsed")
        elif life_cycle.pass_deadline(incident, kind, self._settings):
            self._revisions.emit(incident, "overdue", f"{kind}_overdue", at)
        self._aim(incident)

    def _resolve(self, incident: Happening, at: int, why: str) -> None:
        self.written.touch(incident.incident_id)
        self._near.close(incident)
        life_cycle.close(incident, "resolved", at)
        self.open_count -= 1
        self._revisions.emit(incident, "resolved", why, at)

    def _forget(self, incident: Happening) -> None:
        del self.incidents[incident.incident_id]
        self.timers.aim(incident.incident_id, None)
        for key in incident.own_keys:
            if self._near.own.get(key) == incident.incident_id:
                del self._near.own[key]
        self._remembered[incident.incident_id] = incident.closed_at
        if len(self._remembered) > self._settings.max_remembered:
            del self._remembered[next(iter(self._remembered))]

    def _make_room(self, at: int) -> None:
        """Too many are open: the mildest and oldest hundredth is resolved, and says why."""
        opened = sorted(
            (one for one in self.incidents.values() if one.is_open),
            key=lambda one: (-one.level, one.opened_ts, one.incident_id),
        )
        for incident in opened[: max(1, self._settings.max_open // 100)]:
            self._resolve(incident, at, "capacity")
            self._aim(incident)
            self.decided.noted["incident_capacity"] += 1

    def _aim(self, incident: Happening) -> None:
        due = life_cycle.next_due(incident, self._settings)
        self.timers.aim(incident.incident_id, None if due is None else due[0])

    def _merged_into(self, name: str) -> str:
        for _ in range(100):
            incident = self.incidents.get(name)
            if incident is None or incident.merged_into is None:
                break
            name = incident.merged_into
        return name

    def snapshot(self) -> dict[str, Any]:
        return {
            # msgpack of each Happening.
            "incidents": self.written.bytes(),
            "remembered": [list(self._remembered), list(self._remembered.values())],
            "own": dict(self._near.own),
            "lending": self._lending.snapshot(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.incidents.clear()
        for one in map(_DECODER.decode, saved["incidents"]):
            self.incidents[one.incident_id] = one
            self.written.touch(one.incident_id)
        self._remembered = dict(zip(*saved["remembered"], strict=True))
        self._near = Neighbourhood(self._table.families, self._table.default_family)
        self._near.own = dict(saved["own"])
        self._lending.restore(saved["lending"])
        self.timers.restore(())
        self.open_count = 0
        for incident in self.incidents.values():
            if incident.is_open:
                self.open_count += 1
                self._near.open(incident)
            self._aim(incident)

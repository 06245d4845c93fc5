"""The open incidents of a city: a signal finds its incident or opens one, time and people change it, revisions leave.

This is the last step of the stage (correlate, life cycle, escalate, prioritise, emit), in one place because each needs what the
one before has just changed. All timers of an incident that are due at or before a signal's arrival fire before the signal is
applied to it, so what an incident looks like follows from its own signals and not from when others were processed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streams.records import Feedback, Signal
from topologies import life_cycle
from topologies.correlate import Neighbourhood
from topologies.decided import Decided
from topologies.happening import Happening, own_key
from topologies.incident_clock import Due, instant
from topologies.incident_name import incident_name
from topologies.incident_settings import IncidentSettings
from topologies.reference import Assets
from topologies.revisions import Revisions
from topologies.rule_facts import RuleFacts, RuleTable


class Casebook:
    """``decided`` is where revisions and reasons go; the stage replaces it for every call."""

    def __init__(self, city: str, table: RuleTable, registry: Assets, settings: IncidentSettings) -> None:
        self._city = city
        self._settings = settings
        self._reopen_ms = round(settings.reopen_s * 1000)
        self.incidents: dict[str, Happening] = {}
        self.open_count = 0
        #: Ids that have been forgotten, oldest first: their feedback is known to be late, and no id is given twice.
        self._remembered: dict[str, int] = {}
        self._timers = Due()
        self._table, self._registry = table, registry
        self._revisions = Revisions(table, registry, settings)
        self._near = Neighbourhood(table.families, table.default_family)

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

    # --- signals ------------------------------------------------------------------------------------------------------

    def take(self, signal: Signal) -> None:
        facts = self._table.of(signal)
        if facts.shadow:
            self.decided.muted["shadow"] += 1
            return
        if not facts.known:
            self.decided.noted["rule_unknown"] += 1
        if signal.phase == "cleared":
            self._clear(signal)
            return
        incident = self._own(signal)
        if incident is None:
            self._correlate(signal, facts)
        elif incident.is_open:
            self._add(incident, signal, facts, self._group(signal))
        elif signal.historical and not incident.historical:
            self.decided.muted["historical_after_closing"] += 1
        elif life_cycle.same_again(incident, signal):
            self.decided.muted["closed_by_hand"] += 1
        else:
            self._return(incident, signal, facts)

    def _own(self, signal: Signal) -> Happening | None:
        """The incident this rule and entity return to, caught up to the signal; None where there is none any more."""
        key = own_key(signal.rule, signal.entity)
        real = self._caught_up(self._near.own.get(key), signal.arrival_ts)
        if signal.exercise:
            # A drill that begins while a real alarm stands does not turn it into an exercise.
            if real is not None and real.is_open and self._same_alarm(real, signal):
                return real
            real = self._caught_up(self._near.own.get(key + "|x"), signal.arrival_ts)
        if real is None or (signal.momentary and self._near.too_far(signal, real)):
            return None
        if real.is_open:
            return real
        back = signal.arrival_ts <= real.closed_at + self._reopen_ms or self._same_alarm(real, signal)
        return real if back else None

    @staticmethod
    def _same_alarm(incident: Happening, signal: Signal) -> bool:
        piece = incident.pieces.get(own_key(signal.rule, signal.entity))
        return piece is not None and piece.active and piece.signal_id == signal.signal_id

    def _clear(self, signal: Signal) -> None:
        key = own_key(signal.rule, signal.entity)
        found = False
        for name in (key, key + "|x"):
            incident = self._caught_up(self._near.own.get(name), signal.arrival_ts)
            piece = incident.pieces.get(key) if incident is not None else None
            if incident is None or piece is None:
                continue
            why = life_cycle.clear(incident, piece, signal)
            if why is None:
                continue
            found = True
            if incident.is_open:
                self._revisions.revise(incident, "updated", why, signal.arrival_ts)
            self._aim(incident)
        if not found:
            self.decided.muted["nothing_to_clear"] += 1

    def _correlate(self, signal: Signal, facts: RuleFacts) -> None:
        group = self._group(signal)
        fitting: list[Happening] = []
        for name in sorted(self._near.near(signal, facts.family, group)):
            incident = self._caught_up(name, signal.arrival_ts)
            if incident is None or not incident.is_open or incident.exercise != signal.exercise:
                continue
            if self._near.fits(signal, facts.family, group, incident):
                fitting.append(incident)
        if not fitting:
            self._open(signal, facts, group)
            return
        # Its own family's incident first, then the oldest: the same choice whatever the order of arrival was.
        fitting.sort(key=lambda one: (one.family != facts.family, one.opened_ts, one.incident_id))
        joined, others = fitting[0], fitting[1:]
        self.decided.noted["joined"] += 1
        why: str | None = None
        for other in others:
            if other.family == joined.family and self._near.may_merge(other, joined):
                self._merge(other, joined, signal.arrival_ts)
                why = "merged_with"
            elif other.incident_id not in joined.linked and len(joined.linked) < 20:
                joined.linked.append(other.incident_id)
        self._add(joined, signal, facts, group, why)

    def _open(self, signal: Signal, facts: RuleFacts, group: str | None) -> None:
        if self.open_count >= self._settings.max_open:
            self._make_room(signal.arrival_ts)
        incident = Happening(
            incident_id=incident_name(
                self._city, signal, self._settings.calendar.utc_offset_min, self.incidents, self._remembered
            ),
            city=self._city,
            category=signal.category,
            family=facts.family,
            exercise=signal.exercise,
            historical=signal.historical,
            opened_ts=signal.arrival_ts,
            first_event_ts=signal.ts,
            pieces={},
        )
        self.incidents[incident.incident_id] = incident
        self.open_count += 1
        self.decided.noted["opened"] += 1
        self._put(incident, signal, facts, group)
        self._revisions.revise(incident, "opened", "first_signal", signal.arrival_ts)
        self._aim(incident)

    def _add(self, incident: Happening, signal: Signal, facts: RuleFacts, group: str | None, why: str | None = None) -> None:
        before = incident.pieces.get(own_key(signal.rule, signal.entity))
        moved = before is not None and before.value != signal.value
        news = self._put(incident, signal, facts, group)
        if news == "live_evidence":
            life_cycle.set_deadlines(incident, facts, signal.arrival_ts, self._settings)
        if why is not None or news is not None:
            self._revisions.revise(incident, "updated", why or news or "", signal.arrival_ts)
        elif moved and (signal.outage is not None or self._revisions.would_change(incident)):
            self._revisions.revise(incident, "updated", "value_changed", signal.arrival_ts)
        self._aim(incident)

    def _return(self, incident: Happening, signal: Signal, facts: RuleFacts) -> None:
        self.open_count += 1
        life_cycle.reopen(incident, signal.arrival_ts, facts, self._settings)
        self._near.open(incident)
        self._put(incident, signal, facts, self._group(signal))
        self._revisions.revise(incident, "reopened", "returned", signal.arrival_ts)
        self._aim(incident)

    def _put(self, incident: Happening, signal: Signal, facts: RuleFacts, group: str | None) -> str | None:
        piece = life_cycle.piece_of(signal, facts, group)
        held = incident.pieces.get(piece.key)
        why = life_cycle.take(incident, piece, self._settings.witnesses_kept)
        if held is None:
            self._near.add(incident, piece)
            if signal.stream != "hotline":
                self._keep_own(incident, piece.own_key + ("|x" if incident.exercise else ""))
            if len(incident.pieces) > self._settings.evidence_kept:
                self._let_go(incident)
        elif (held.lat, held.lon, held.group, held.gateway) != (piece.lat, piece.lon, piece.group, piece.gateway):
            self._near.remove(incident, held)
            self._near.add(incident, piece)
        return why

    def _keep_own(self, incident: Happening, key: str) -> None:
        incident.own_keys[key] = 1
        self._near.own[key] = incident.incident_id

    def _let_go(self, incident: Happening) -> None:
        """The least telling piece leaves: ended before standing, report before alarm, mild before severe, old before new."""
        piece = min(
            incident.pieces.values(),
            key=lambda one: (one.active, not one.momentary, -one.level, one.last_ts, one.key),
        )
        del incident.pieces[piece.key]
        self._near.remove(incident, piece)
        life_cycle.count_standing(incident)
        self.decided.noted["evidence_dropped"] += 1

    def _group(self, signal: Signal) -> str | None:
        if signal.stream == "group":
            return signal.entity
        if signal.stream == "hotline":
            return None
        known = self._registry.at(signal.entity, signal.ts)
        return getattr(known, "group", None) if known is not None else None

    def _merge(self, younger: Happening, older: Happening, at: int) -> None:
        self._near.close(younger)
        self._near.close(older)
        life_cycle.close(younger, "merged", at)
        younger.merged_into = older.incident_id
        self.open_count -= 1
        self._revisions.emit(younger, "merged", "bridged", at)
        for piece in younger.pieces.values():
            # Closing ended the momentary ones; in the older incident they count on.
            piece.active = piece.active or piece.momentary
        life_cycle.absorb(older, younger, self._settings.witnesses_kept)
        for key in younger.own_keys:
            self._near.own[key] = older.incident_id
        younger.pieces, younger.own_keys, younger.witnesses = {}, {}, {}
        self._near.open(older)
        while len(older.pieces) > self._settings.evidence_kept:
            self._let_go(older)
        self._aim(younger)

    def absorb(self, ended: Signal, into: Signal, at: int) -> None:
        """A single alarm turns out to be part of ``into``: its incident, where it holds nothing else, is merged into that one."""
        key = own_key(ended.rule, ended.entity)
        alone = self._caught_up(self._near.own.get(key), at)
        whole = self._caught_up(self._near.own.get(own_key(into.rule, into.entity)), at)
        open_both = alone is not None and whole is not None and alone.is_open and whole.is_open
        if alone is None or whole is None or not open_both or alone is whole or not _only(alone, key):
            self._clear(ended)
            return
        life_cycle.clear(alone, alone.pieces[key], ended)
        self._merge(alone, whole, at)
        # The device's next alarm is its own again.
        del self._near.own[key], whole.own_keys[key]
        self._revisions.revise(whole, "updated", "merged_with", at)
        self._aim(whole)

    # --- silence of an entity that has an alarm -----------------------------------------------------------------------

    def fell_silent(self, signal: Signal) -> None:
        """No data is never normal: the alarm stands as last known, and its incident says that nobody sees it any more."""
        for name in sorted(self._near.of_entity.get(signal.entity, ())):
            incident = self._caught_up(name, signal.arrival_ts)
            if incident is None or not incident.is_open:
                continue
            pieces = [one for one in incident.pieces.values() if one.entity == signal.entity and one.rule != signal.rule]
            news = [one for one in pieces if one.active and not one.momentary and not one.silent_since]
            for piece in news:
                piece.silent_since = max(1, signal.ts)
            if news:
                self._revisions.revise(incident, "updated", "sensor_silent", signal.arrival_ts)
                self._aim(incident)

    def speaks_again(self, signal: Signal) -> None:
        for name in self._near.of_entity.get(signal.entity, ()):
            for piece in self.incidents[name].pieces.values():
                if piece.entity == signal.entity:
                    piece.silent_since = 0

    # --- people -------------------------------------------------------------------------------------------------------

    def feedback(self, feedback: Feedback, at: int) -> None:
        incident = self._caught_up(feedback.incident_id, at)
        for _ in range(100):
            if incident is None or incident.merged_into is None:
                break
            incident = self._caught_up(incident.merged_into, at)
        if incident is None:
            late = feedback.incident_id in self._remembered
            self.decided.noted["feedback_forgotten" if late else "feedback_unknown"] += 1
            return
        if incident.is_open:
            self._follow(incident, feedback, at)
        elif feedback.action == "reopen":
            self.open_count += 1
            life_cycle.reopen(incident, at, self._table.named(incident.rule), self._settings)
            self._near.open(incident)
            self._revisions.revise(incident, "reopened", "feedback_reopen", at)
        elif feedback.action == "false_alarm" and incident.status == "resolved":
            incident.status, incident.closed_by_hand = "false_alarm", True
            self._revisions.emit(incident, "resolved", "feedback_false_alarm", at)
        else:
            self.decided.noted["feedback_closed"] += 1
        self._aim(incident)

    def _follow(self, incident: Happening, feedback: Feedback, at: int) -> None:
        event = life_cycle.follow(incident, feedback, at, instant(feedback.deadline), self._settings.notes_kept)
        if event is None:
            self.decided.noted["feedback_no_change"] += 1
            return
        if not incident.is_open:
            self._near.close(incident)
            self.open_count -= 1
        self._revisions.emit(incident, event, f"feedback_{feedback.action}", at)

    # --- time ---------------------------------------------------------------------------------------------------------

    def due(self) -> int | None:
        return self._timers.next()

    def fire(self, now: int) -> None:
        """The first timer due at or before ``now``."""
        name = self._timers.pop(now)
        if name is not None and name in self.incidents:
            self._fire_next(self.incidents[name])

    def _caught_up(self, name: str | None, arrival: int) -> Happening | None:
        """The incident with all its timers up to ``arrival`` fired; None where it is not known (any more)."""
        incident = self.incidents.get(name) if name is not None else None
        while incident is not None:
            due = life_cycle.next_due(incident, self._settings)
            if due is None or due[0] > arrival:
                return incident
            self._fire_next(incident)
            incident = self.incidents.get(incident.incident_id)
        return None

    def _fire_next(self, incident: Happening) -> None:
        due = life_cycle.next_due(incident, self._settings)
        if due is None:
            return
        at, kind = due
        if kind == "forget":
            self._forget(incident)
            return
        if kind == "resolve":
            quiet = all(piece.momentary for piece in incident.pieces.values())
            self._resolve(incident, at, "quiet" if quiet else "hold_elapsed")
        elif life_cycle.pass_deadline(incident, kind, self._settings):
            self._revisions.emit(incident, "overdue", f"{kind}_overdue", at)
        self._aim(incident)

    def _resolve(self, incident: Happening, at: int, why: str) -> None:
        self._near.close(incident)
        life_cycle.close(incident, "resolved", at)
        self.open_count -= 1
        self._revisions.emit(incident, "resolved", why, at)

    def _forget(self, incident: Happening) -> None:
        del self.incidents[incident.incident_id]
        self._timers.aim(incident.incident_id, None)
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
        self._timers.aim(incident.incident_id, None if due is None else due[0])

    # --- state --------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "incidents": [msgspec.to_builtins(incident) for incident in self.incidents.values()],
            "remembered": list(self._remembered.items()),
            "own": dict(self._near.own),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.incidents = {one.incident_id: one for one in msgspec.convert(saved["incidents"], list[Happening])}
        self._remembered = dict(saved["remembered"])
        self._near = Neighbourhood(self._table.families, self._table.default_family)
        self._near.own = dict(saved["own"])
        self._timers = Due()
        self.open_count = 0
        for incident in self.incidents.values():
            if incident.is_open:
                self.open_count += 1
                self._near.open(incident)
            self._aim(incident)


def _only(incident: Happening, key: str) -> bool:
    """Whether nothing stands in the incident but the alarm of this key."""
    return key in incident.pieces and all(name == key or not piece.active for name, piece in incident.pieces.items())

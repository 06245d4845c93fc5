"""What a change makes of an incident: its place, its level, its name and deadlines, and the revision that says so."""

from __future__ import annotations

from operator import attrgetter

from detectors.families import Escalation, Family
from streams.records import IncidentEvent
from topologies import life_cycle
from topologies.decided import Decided
from topologies.escalate import judge
from topologies.evidence_view import EvidenceViews
from topologies.happening import Happening, Piece, leading
from topologies.incident_body import body
from topologies.incident_settings import IncidentSettings
from topologies.reference import Assets
from topologies.rule_facts import RuleTable
from topologies.targets import TargetsNear
from topologies.weighed import Weighed, best_place, weigh

_level, _name = attrgetter("level"), attrgetter("name")


class Revisions:
    """``decided`` is where revisions go; the stage replaces it for every call."""

    def __init__(self, table: RuleTable, registry: Assets, settings: IncidentSettings) -> None:
        self._table = table
        self._targets = TargetsNear(registry, settings)
        self._settings = settings
        self._views = EvidenceViews(settings.evidence_shown)
        self.decided = Decided()

    def would_change(self, incident: Happening) -> bool:
        """Whether the level would be another one if it were judged now (a value has changed, nothing else has)."""
        family = self._table.family(incident.family)
        guests = self._guests(incident, family)
        if not family.escalate and not any(guest.escalate for guest in guests):
            return False
        return judge(incident, family, weigh(incident), guests)[0] != incident.level

    def _guests(self, incident: Happening, family: Family) -> list[Family]:
        """Families of its guests' evidence, whose escalations go on to count."""
        if not family.guest:
            return []
        named = {piece.family for piece in incident.pieces.values()}
        return [self._table.family(guest.family) for guest in family.guest if guest.family in named]

    def revise(self, incident: Happening, event: IncidentEvent, why: str, at: int) -> None:
        """Judge the incident as it stands now, and emit unless it is only one more of many sources."""
        before = incident.level
        held_before = incident.escalations
        weighed = weigh(incident)
        self._place(incident, weighed)
        family = self._table.family(incident.family)
        level, held, grounds = judge(incident, family, weighed, self._guests(incident, family))
        incident.level, incident.raised_by_data = level, grounds
        if weighed.own:
            incident.escalations = tuple(map(_name, held)) if held else ()
            self._lead(incident, weighed.own[0], held)
        elif not incident.rule and incident.pieces:
            self._lead(incident, (leading(weighed.ranked) or weighed.ranked)[0], held)
        if event in ("opened", "reopened"):
            life_cycle.set_deadlines(incident, self._table.named(incident.rule), at, self._settings)
        elif level < before:
            event = "escalated"
            new = [name for name in incident.escalations if name not in held_before]
            why = f"escalation_{new[0]}" if new else why
            life_cycle.set_deadlines(incident, self._table.named(incident.rule), at, self._settings)
        elif level > before:
            event = "eased"
        if event == "updated" and why in ("new_source", "new_evidence") and not self._worth_telling(incident):
            return
        self._tell(incident, weighed, event, why, at)

    def _worth_telling(self, incident: Happening) -> bool:
        sources = len(incident.witnesses)
        return sources <= self._settings.every_source_until or sources >= incident.told * self._settings.then_growth

    def _place(self, incident: Happening, weighed: Weighed) -> None:
        piece = best_place(weighed.own) or best_place(leading(weighed.ranked))
        if piece is None:
            return
        if piece.lat == incident.lat and piece.lon == incident.lon and piece.grid_code == incident.grid_code:
            return
        incident.lat, incident.lon, incident.grid_code = piece.lat, piece.lon, piece.grid_code
        incident.targets = self._targets.near(piece.lat, piece.lon, self._table.family(incident.family).target_radius_m)

    def _lead(self, incident: Happening, piece: Piece, held: list[Escalation]) -> None:
        """What the incident is called and who is to go: the leading rule's, unless a compound condition is as severe."""
        facts = self._table.named(piece.rule)
        incident.rule, incident.rule_version, incident.hazard = piece.rule, piece.version, piece.hazard
        incident.reason = piece.explanation
        if facts is not None:
            incident.title, incident.lead, incident.assist = facts.title, facts.lead, facts.assist
            if piece.gateway is not None and piece.entity == piece.gateway:
                incident.title = f"{self._settings.outage.gateway_title}: {piece.value or 0:.0f} devices"
        elif not incident.title:
            incident.title, incident.lead = piece.hazard or piece.rule, self._settings.default_department
        if held and (top := min(held, key=_level)).level <= piece.level:
            incident.reason = top.reason
            incident.hazard = top.hazard or incident.hazard

    def emit(self, incident: Happening, event: IncidentEvent, why: str, at: int) -> None:
        """A revision by which nothing is judged anew."""
        self._tell(incident, weigh(incident), event, why, at)

    def _tell(self, incident: Happening, weighed: Weighed, event: IncidentEvent, why: str, at: int) -> None:
        incident.revision += 1
        incident.last_event, incident.last_why, incident.updated_ts = event, why, at
        incident.told = len(incident.witnesses)
        self.decided.incidents.append(body(incident, weighed, self._views, event, why, at, self._settings.weights))
        if incident.closed_at:
            self._views.over(incident)

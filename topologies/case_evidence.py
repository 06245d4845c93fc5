"""Evidence in incidents: what a signal adds to one, what two that are one bring together, and what is only lent.

Evidence of rules that open nothing is given to the incidents of others within reach (see :mod:`topologies.lending`): to those
that are open when it comes, and from what is kept to those that open later.
"""

from __future__ import annotations

from streams.records import Signal
from topologies import life_cycle
from topologies.bursts import PREFIX
from topologies.case_files import CaseFiles
from topologies.cells import metres_between
from topologies.happening import Happening, Piece, own_key, place
from topologies.lending import Held, held_key
from topologies.rule_facts import RuleFacts


class CaseEvidence(CaseFiles):
    """Case files into which evidence is put; who decides what goes where is :class:`topologies.casebook.Casebook`."""

    def _piece(self, signal: Signal, facts: RuleFacts) -> Piece:
        """The signal as evidence; it is made once, and what looks for its incident looks at this."""
        return life_cycle.piece_of(signal, facts, self._group(signal))

    def _add(self, incident: Happening, signal: Signal, piece: Piece, facts: RuleFacts, why: str | None = None) -> None:
        before = incident.pieces.get(piece.own_key)
        moved = before is not None and before.value != piece.value
        news = self._put(incident, piece)
        if news == "live_evidence":
            life_cycle.set_deadlines(incident, facts, signal.arrival_ts, self._settings)
        stands = incident.pieces.get(before.key) if before is not None else None
        if news == "returned" and stands is not None and self._chatters(incident, stands):
            if incident.latched:
                self.decided.muted["chatter"] += 1
                news = None
            else:
                self._latch(incident)
                news = "chatter"
        if why is not None or news is not None:
            self._revisions.revise(incident, "updated", why or news or "", signal.arrival_ts)
        elif moved and (signal.outage is not None or self._revisions.would_change(incident)):
            self._revisions.revise(incident, "updated", "value_changed", signal.arrival_ts)
        self._aim(incident)

    def _put(self, incident: Happening, piece: Piece) -> str | None:
        """The incident holds the piece, and what was said before is followed up; as :func:`topologies.life_cycle.take`."""
        held = incident.pieces.get(piece.key)
        why = life_cycle.take(incident, piece, self._settings.witnesses_kept)
        if held is None:
            self._near.add(incident, piece)
            if piece.stream != "hotline" and not piece.lends:
                self._keep_own(incident, piece.own_key + ("|x" if incident.exercise else ""))
            if len(incident.pieces) > self._settings.evidence_kept:
                self._let_go(incident)
            if not piece.lends:
                self._borrow(incident, piece)
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

    def _chatters(self, incident: Happening, piece: Piece) -> bool:
        return life_cycle.chatters(piece, self._near.family(incident.family).latch_after)

    def _latch(self, incident: Happening) -> None:
        """From now on it stays open while it may return, behind the others of its level, and its returns are only counted."""
        incident.latched = True
        self.decided.noted["latched"] += 1

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

    def _agreed(self, signal: Signal, facts: RuleFacts) -> bool:
        """Whether, with the reports that are kept, enough witnesses say so here and now to open an incident."""
        if facts.opens_with is None or signal.phase == "cleared" or signal.historical or signal.rule.startswith(PREFIX):
            return False
        family = self._near.family(facts.family)
        reach_m = max(family.radius_m, (family.call_radius_m or 0.0) if signal.stream == "hotline" else 0.0)
        mine = self._piece(signal, facts)
        said = {mine.witness}
        for held in self._lending.near(mine):
            other = held.signal
            if other.rule.startswith(PREFIX) or other.exercise != signal.exercise:
                continue
            if self._table.of(other).family != facts.family or abs(other.ts - signal.ts) > family.within_s * 1000:
                continue
            there = place(other)
            if mine.lat is None or mine.lon is None or there is None:
                continue
            if metres_between(mine.lat, mine.lon, *there) <= reach_m:
                said.add(other.witness or other.entity)
        return len(said) >= facts.opens_with

    def _lend(self, signal: Signal, facts: RuleFacts) -> None:
        """Evidence for the incidents of others: for those that are open now, and kept for those to come."""
        if signal.phase == "cleared":
            self._unlend(signal)
            return
        if signal.historical:
            self.decided.muted["historical_lends_nothing"] += 1
            return
        near, piece = self._near, self._piece(signal, facts)
        reach_m = max(facts.radius_m, near.widest_m(facts.family))
        held = self._lending.keep(signal, reach_m, round(near.family(facts.family).within_s * 1000), piece.group)
        self.decided.noted["kept_to_lend"] += 1
        if facts.radius_m > near.widest_m(facts.family):  # wider than a cell of open incidents: look at each of the kind
            kinds = set(near.concerned(facts.family))
            names = {one.incident_id for one in self.incidents.values() if one.is_open and one.family in kinds}
        else:
            names = near.near(piece)
        for name in sorted({*names, *held.lent_to}):
            incident = self._caught_up(self._merged_into(name), signal.arrival_ts)
            if incident is None or not incident.is_open:
                continue
            if piece.key in incident.pieces or (self._weighs(held, piece, facts, incident) and self._lent(held, incident)):
                self._add(incident, signal, life_cycle.piece_of(signal, facts, held.group), facts)

    def _weighs(self, held: Held, piece: Piece, facts: RuleFacts, incident: Happening) -> bool:
        return held.signal.exercise == incident.exercise and self._near.lent_to(piece, facts.radius_m, incident)

    def _lent(self, held: Held, incident: Happening) -> bool:
        known = self.incidents
        held.lent_to = [name for name in held.lent_to if name in known]
        return self._lending.lend(held, incident.incident_id)

    def _borrow(self, incident: Happening, piece: Piece) -> None:
        """What is kept weighs in the incident too, where its new piece of evidence lies within reach."""
        if not self._lending:
            return
        for held in list(self._lending.near(piece)):
            signal = held.signal
            facts = self._table.of(signal)
            if held_key(signal) in incident.pieces or incident.incident_id in held.lent_to:
                continue
            lent = life_cycle.piece_of(signal, facts, held.group)
            if self._weighs(held, lent, facts, incident) and self._lent(held, incident):
                self._put(incident, lent)

    def _unlend(self, signal: Signal) -> None:
        held = self._lending.end(signal)
        if held is None:
            self.decided.muted["nothing_to_clear"] += 1
            return
        for name in held.lent_to:
            incident = self._caught_up(self._merged_into(name), signal.arrival_ts)
            piece = incident.pieces.get(own_key(signal.rule, signal.entity)) if incident is not None else None
            if incident is None or piece is None:
                continue
            why = life_cycle.clear(incident, piece, signal)
            if why is not None and incident.is_open:
                self._revisions.revise(incident, "updated", why, signal.arrival_ts)
            self._aim(incident)

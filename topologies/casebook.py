"""The open incidents of a city: a signal finds its incident or opens one, time and people change it, revisions leave.

This is the last step of the stage (correlate, life cycle, escalate, prioritise, emit): here it is decided to which incident a
signal belongs. What evidence does to an incident stands in :mod:`topologies.case_evidence`, what time does in
:mod:`topologies.case_files`.
"""

from __future__ import annotations

from dataclasses import replace

from streams.records import Feedback, Signal
from topologies import life_cycle
from topologies.case_evidence import CaseEvidence
from topologies.happening import Happening, Piece, own_key
from topologies.incident_clock import instant
from topologies.incident_name import incident_name
from topologies.rule_facts import RuleFacts


class Casebook(CaseEvidence):
    """The step itself: :meth:`take` for signals, :meth:`feedback` for people, :meth:`due` and :meth:`fire` for time."""

    def take(self, signal: Signal) -> tuple[()]:
        """The last step: it passes nothing on."""
        self._file(signal)
        return ()

    def _file(self, signal: Signal) -> None:
        facts = self._table.of(signal)
        if facts.shadow:
            self.decided.muted["shadow"] += 1
            return
        if not facts.known:
            self.decided.noted["rule_unknown"] += 1
        if not facts.opens:
            if not self._agreed(signal, facts):
                self._lend(signal, facts)
                return
            facts = replace(facts, opens=True)
        if signal.phase == "cleared":
            self._clear(signal)
            return
        piece = self._piece(signal, facts)
        incident = self._own(signal, piece)
        if incident is None:
            self._correlate(signal, piece, facts)
        elif incident.is_open:
            self._add(incident, signal, piece, facts)
        elif signal.historical and not incident.historical:
            self.decided.muted["historical_after_closing"] += 1
        elif life_cycle.same_again(incident, signal):
            self.decided.muted["closed_by_hand"] += 1
        else:
            self._return(incident, signal, piece, facts)

    def _own(self, signal: Signal, piece: Piece) -> Happening | None:
        """The incident this rule and entity return to, caught up to the signal; None where there is none any more."""
        key, own = piece.own_key, self._near.own
        real = self._caught_up(own[key], signal.arrival_ts) if key in own else None
        if signal.exercise:
            # A drill that begins while a real alarm stands does not turn it into an exercise.
            if real is not None and real.is_open and self._same_alarm(real, piece):
                return real
            real = self._caught_up(own.get(key + "|x"), signal.arrival_ts)
        if real is None or (piece.momentary and self._near.too_far(piece, real)):
            return None
        if real.is_open:
            return real
        back = signal.arrival_ts <= real.closed_at + (real.reopen_ms or self._reopen_ms) or self._same_alarm(real, piece)
        return real if back else None

    @staticmethod
    def _same_alarm(incident: Happening, piece: Piece) -> bool:
        held = incident.pieces.get(piece.own_key)
        return held is not None and held.active and held.signal_id == piece.signal_id

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
            if incident.is_open and self._chatters(incident, piece):
                self.decided.muted["chatter"] += 1
            elif incident.is_open:
                self._revisions.revise(incident, "updated", why, signal.arrival_ts)
            self._aim(incident)
        if not found:
            self.decided.muted["nothing_to_clear"] += 1

    def _correlate(self, signal: Signal, piece: Piece, facts: RuleFacts) -> None:
        fitting: list[Happening] = []
        near = self._near
        for name in sorted(near.near(piece)):
            incident = self._caught_up(name, signal.arrival_ts)
            if incident is None or incident.closed_at or incident.exercise != signal.exercise:
                continue
            if not near.may_join(piece, incident) and not near.takes_over(piece, incident):
                continue
            if near.fits(piece, incident):
                fitting.append(incident)
        if not fitting:
            self._open(signal, piece, facts)
            return
        if len(fitting) > 1:
            self._rank(fitting, piece)
        joined, others = fitting[0], fitting[1:]
        self.decided.noted["joined"] += 1
        why: str | None = None
        if not near.may_join(piece, joined):
            self._take_over(joined, piece)
            why = "cause_found"
        for other in others:
            same = other.family == joined.family and near.may_merge(other, joined)
            if same or self._an_effect(other, joined, piece):
                self._merge(other, joined, signal.arrival_ts)
                why = "merged_with"
            elif near.belongs_to(joined, other) and near.no_wider(joined, other):
                self._merge(joined, other, signal.arrival_ts)
                joined, why = other, "merged_with"
            elif other.incident_id not in joined.linked and len(joined.linked) < 20:
                joined.linked += (other.incident_id,)
        self._add(joined, signal, piece, facts, why)

    def _rank(self, fitting: list[Happening], piece: Piece) -> None:
        """Its own family's incident first, then the oldest: the same choice whatever the order of arrival was."""
        joins = self._near.may_join
        fitting.sort(key=lambda one: (one.family != piece.family, not joins(piece, one), one.opened_ts, one.incident_id))

    def _an_effect(self, other: Happening, joined: Happening, piece: Piece) -> bool:
        """Whether the other is an effect of the one the piece joins, by what that holds or by what the piece says."""
        known = self._near.belongs_to(other, joined)
        said = joined.family == piece.family and self._near.takes_over(piece, other)
        return (known or said) and self._near.no_wider(other, joined)

    def _take_over(self, incident: Happening, piece: Piece) -> None:
        """The incident was an effect of what the piece tells: it goes on under its id as that."""
        self._near.close(incident)
        incident.family, incident.category = piece.family, piece.category
        self._near.open(incident)
        self.decided.noted["taken_over"] += 1

    def _open(self, signal: Signal, piece: Piece, facts: RuleFacts) -> None:
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
            reopen_ms=round((self._near.family(facts.family).reopen_s or 0.0) * 1000),
        )
        self.incidents[incident.incident_id] = incident
        self.written.touch(incident.incident_id)
        self.open_count += 1
        self.decided.noted["opened"] += 1
        self._put(incident, piece)
        self._revisions.revise(incident, "opened", "first_signal", signal.arrival_ts)
        self._aim(incident)

    def _return(self, incident: Happening, signal: Signal, piece: Piece, facts: RuleFacts) -> None:
        self.open_count += 1
        life_cycle.reopen(incident, signal.arrival_ts, facts, self._settings)
        self._near.open(incident)
        self._put(incident, piece)
        returned = incident.pieces.get(piece.own_key)
        if returned is not None and self._chatters(incident, returned):
            self._latch(incident)
        self._revisions.revise(incident, "reopened", "chatter" if incident.latched else "returned", signal.arrival_ts)
        self._aim(incident)

    def absorb(self, ended: Signal, into: Signal, at: int) -> None:
        """A single alarm turns out to be part of ``into``: its incident, where it holds nothing else, is merged into it."""
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
            self.written.touch(name)
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


def _only(incident: Happening, key: str) -> bool:
    """Whether nothing stands in the incident but the alarm of this key."""
    others = (piece for name, piece in incident.pieces.items() if name != key)
    return key in incident.pieces and all(piece.lends or not piece.active for piece in others)

"""What becomes of one incident: evidence comes, clears and returns, deadlines pass, people act, time ends it.

Pure steps over one :class:`Happening`; each returns a named reason for what changed, or None where nothing is news. The
incident's own timers are read off its state (:func:`next_due`), so there is nothing to cancel and nothing to forget.

Statuses: open, acknowledged and dispatched are what people did; ``recovering`` is shown while every alarm has cleared and the
last one's ``resolve_after_s`` runs; resolved, false_alarm and merged are ends. ``overdue`` is announced once for each of the
deadlines ``confirm`` and ``handle``, for levels up to ``overdue_level`` (the mildest are a queue), never for historical
incidents or exercises.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from streams.records import Feedback, IncidentEvent, Signal
from topologies.dispatch_plan import MINUTE_MS, handle_by
from topologies.happening import Happening, Piece, level_of, own_key, piece_key, place
from topologies.incident_settings import IncidentSettings
from topologies.rule_facts import RuleFacts

#: No evidence is less precise than a city is wide; such a radius is garbage and the rule's own is taken.
_WIDEST_M = 100_000.0

DAY_MS = 86_400_000
#: Raises remembered of one alarm; a family's ``latch_after`` beyond it would never be reached.
_RAISES_KEPT = 20

DueKind = Literal["resolve", "confirm", "handle", "forget"]


def piece_of(signal: Signal, facts: RuleFacts, group: str | None) -> Piece:
    """The signal as evidence; what is held of the same alarm already is brought in by :func:`take`."""
    source, ts, at, momentary = signal.source, signal.ts, signal.arrival_ts, signal.momentary
    lat, lon = place(signal) or (None, None)
    radius = signal.radius_m
    own = own_key(signal.rule, signal.entity)
    return Piece(  # by position, in the order of its fields: forty names take longer than all else that is done here
        signal.signal_id if momentary else own,
        own,
        signal.signal_id,
        signal.rule,
        signal.rule_version,
        signal.hazard,
        facts.family,
        signal.category,
        signal.stream,
        signal.entity,
        signal.witness or signal.entity,
        level_of(signal),
        ts,
        ts,
        f"{source.topic}/{source.partition}/{source.offset}",
        source.topic,
        source.partition,
        radius if 0 < radius < _WIDEST_M else facts.radius_m,
        momentary,
        signal.historical,
        facts.resolve_after_ms,
        at + facts.resolve_after_ms if momentary else 0,
        True,
        not facts.opens,
        (at,),
        lat,
        lon,
        signal.grid_code,
        group,
        signal.gateway,
        signal.metric,
        signal.value,
        signal.unit,
        signal.threshold,
        signal.expected,
        signal.explanation,
    )


def take(incident: Happening, piece: Piece, witnesses_kept: int) -> str | None:
    """Evidence is raised or updated. Returns ``new_source``, ``new_evidence``, ``returned``, ``level_changed`` or None.

    The caller keeps the neighbourhood: ``incident.pieces[piece.key]`` is replaced.
    """
    pieces, key = incident.pieces, piece.key
    held = pieces.get(key)
    why: str | None = None
    if held is None:
        why = "new_evidence"
    else:
        if not held.active:
            why = "returned"
            piece.raises = (*_of_late(held.raises, piece.raises[0]), *piece.raises)
        else:
            piece.raises = held.raises
            why = "level_changed" if held.level != piece.level else None
        piece.first_ts = min(held.first_ts, piece.first_ts)
        piece.last_ts = max(held.last_ts, piece.last_ts)
        piece.historical = held.historical and piece.historical
    pieces[key] = piece
    incident.signals += 1
    if piece.first_ts < incident.first_event_ts:
        incident.first_event_ts = piece.first_ts
    if _witnessed(incident, piece, witnesses_kept) and why != "returned":
        why = "new_source"
    elif held is None and piece.momentary and not _tells_more(incident, piece):
        why = None  # the same caller again: counted, not told
    if piece.until > incident.until and piece.momentary and not piece.lends:
        incident.until = piece.until
    if incident.historical and not piece.historical and not piece.lends:
        incident.historical = False
        why = "live_evidence"
    if (held is None and not piece.momentary) or (held is not None and not held.active):
        count_standing(incident)  # one more report is no alarm: what stands is what stood
    return why


def _of_late(raises: tuple[int, ...], now: int) -> list[int]:
    return [at for at in raises if at > now - DAY_MS][-_RAISES_KEPT:]


def _tells_more(incident: Happening, piece: Piece) -> bool:
    """A known witness says something worse, or something else than before."""
    if piece.level < incident.level:
        return True
    known = (one for one in incident.pieces.values() if one is not piece and one.witness == piece.witness)
    return all(one.rule != piece.rule for one in known)


def _witnessed(incident: Happening, piece: Piece, at_most: int) -> bool:
    """Whether somebody new says so; beyond ``at_most`` nobody is new any more."""
    stream, witnesses = piece.stream, incident.witnesses
    name = f"{stream}:{piece.witness}"
    if name in witnesses or len(witnesses) >= at_most:
        return False
    witnesses[name] = 1
    incident.by_stream[stream] = incident.by_stream.get(stream, 0) + 1
    return True


def clear(incident: Happening, piece: Piece, signal: Signal) -> str | None:
    """An alarm has ended: ``cleared``, or ``all_cleared`` when it was the last one; None if it had ended before."""
    if not piece.active:
        return None
    piece.active = False
    piece.silent_since = 0
    piece.last_ts = max(piece.last_ts, signal.ts)
    piece.until = signal.arrival_ts + max(piece.resolve_after_ms, incident.reopen_ms if incident.latched else 0)
    if not piece.lends:
        incident.until = max(incident.until, piece.until)
    count_standing(incident)
    return "cleared" if incident.standing or piece.lends else "all_cleared"


def count_standing(incident: Happening) -> None:
    """Alarms that stand, and the status that follows from it."""
    alarms = standing = 0
    for piece in incident.pieces.values():
        if not (piece.momentary or piece.lends):
            alarms += 1
            standing += piece.active
    incident.standing = standing
    if not incident.closed_at:
        incident.status = "recovering" if alarms and not standing else incident.handling


def chatters(piece: Piece, latch_after: int | None) -> bool:
    """Raised so often within a day that one more raise tells nobody anything (domain E1-7)."""
    return (
        latch_after is not None and len(piece.raises) >= latch_after and piece.raises[-1] - piece.raises[-latch_after] <= DAY_MS
    )


# --- time -------------------------------------------------------------------------------------------------------------


def next_due(incident: Happening, settings: IncidentSettings) -> tuple[int, DueKind] | None:
    """The incident's next timer; at one time a deadline is told before the end."""
    if incident.closed_at:
        keep = incident.reopen_ms or round(settings.reopen_s * 1000)
        if incident.closed_by_hand and incident.standing:
            keep = max(keep, round(settings.hand_closed_s * 1000))
        return incident.closed_at + keep, "forget"
    due: tuple[int, DueKind] | None = None if incident.standing else (incident.until, "resolve")
    if incident.handled:
        return due
    confirm_by, handle_by = incident.confirm_by, incident.handle_by
    if confirm_by and incident.handling == "open" and "confirm" not in incident.passed:
        due = (confirm_by, "confirm") if due is None or confirm_by <= due[0] else due
    if handle_by and "handle" not in incident.passed:
        due = (handle_by, "handle") if due is None or handle_by <= due[0] else due
    return due


def pass_deadline(incident: Happening, kind: DueKind, settings: IncidentSettings) -> bool:
    """A deadline goes by; True where it is to be told."""
    incident.passed += (kind,)
    if incident.level > settings.overdue_level or kind in incident.overdue:
        return False
    incident.overdue += (kind,)
    return True


def set_deadlines(incident: Happening, facts: RuleFacts | None, at: int, settings: IncidentSettings) -> None:
    """Deadlines from ``at``: the rule's or the level's, whichever is shorter; on escalation never later than they stood."""
    if incident.historical or incident.exercise:
        incident.confirm_by = incident.dispatch_by = incident.handle_by = 0
        return
    target = settings.response[incident.level - 1]
    confirm = _shortest(facts.confirm_min if facts else None, target.confirm_min)
    dispatch = _shortest(facts.dispatch_min if facts else None, target.dispatch_min)
    if confirm is not None:
        incident.confirm_by = _sooner(incident, "confirm", incident.confirm_by, at + confirm)
    if dispatch is not None:
        incident.dispatch_by = _sooner(incident, "dispatch", incident.dispatch_by, at + dispatch)
    if facts is not None:
        incident.handle_words = facts.handle
        handle = handle_by(facts.handle, at, settings.calendar)
        if handle:
            incident.handle_by = _sooner(incident, "handle", incident.handle_by, handle)


@lru_cache(maxsize=256)
def _shortest(of_rule: float | None, of_level: float | None) -> int | None:
    """Milliseconds of the shorter one; rules and levels make a few dozen pairs."""
    given = [round(value * MINUTE_MS) for value in (of_rule, of_level) if value is not None and value > 0]
    return min(given) if given else None


def _sooner(incident: Happening, kind: str, stands: int, new: int) -> int:
    """One that has gone by untold (the incident was too mild) starts anew, one that was told stays."""
    if kind in incident.passed and kind not in incident.overdue:
        incident.passed = tuple(name for name in incident.passed if name != kind)
        return new
    return min(stands, new) if stands else new


# --- ends and returns -------------------------------------------------------------------------------------------------


def close(incident: Happening, status: Literal["resolved", "false_alarm", "merged"], at: int, by_hand: bool = False) -> None:
    incident.status = status
    incident.closed_at = max(1, at)
    incident.closed_by_hand = by_hand
    for piece in incident.pieces.values():
        if piece.momentary:
            piece.active = False


def reopen(incident: Happening, at: int, facts: RuleFacts | None, settings: IncidentSettings) -> None:
    """Back to open, with deadlines from now; who had it in hand before must confirm anew."""
    incident.closed_at = 0
    incident.closed_by_hand = False
    incident.handling = incident.status = "open"
    incident.handled = False
    incident.latched = False
    incident.passed = incident.overdue = ()
    incident.confirm_by = incident.dispatch_by = incident.handle_by = 0
    last = max((piece.resolve_after_ms for piece in incident.pieces.values()), default=0)
    incident.until = max(incident.until, at + last)
    count_standing(incident)
    set_deadlines(incident, facts, at, settings)


def absorb(older: Happening, younger: Happening, witnesses_kept: int) -> None:
    """Evidence of the younger moves into the older; what was done for either was done."""
    for key, piece in younger.pieces.items():
        held = older.pieces.get(key)
        if held is None or (piece.active, piece.last_ts) > (held.active, held.last_ts):
            older.pieces[key] = piece
    for name in younger.witnesses:
        if name not in older.witnesses and len(older.witnesses) < witnesses_kept:
            older.witnesses[name] = 1
            stream = name.split(":", 1)[0]
            older.by_stream[stream] = older.by_stream.get(stream, 0) + 1
    older.signals += younger.signals
    older.first_event_ts = min(older.first_event_ts, younger.first_event_ts)
    older.until = max(older.until, younger.until)
    older.historical = older.historical and younger.historical
    older.own_keys.update(younger.own_keys)
    older.linked += tuple(name for name in (younger.incident_id, *younger.linked) if name not in older.linked)
    rank = {"open": 0, "acknowledged": 1, "dispatched": 2}
    if rank.get(younger.handling, 0) > rank.get(older.handling, 0):
        older.handling = younger.handling
        older.department = older.department or younger.department
    older.handled = older.handled or younger.handled
    older.notes += younger.notes
    count_standing(older)


# --- people -----------------------------------------------------------------------------------------------------------


def follow(incident: Happening, feedback: Feedback, at: int, deadline: int | None, notes_kept: int) -> IncidentEvent | None:
    """Feedback on an open incident; the event of the revision, None where it changes nothing (told twice).

    ``reopen`` of an open incident, and acknowledging what is already dispatched, change nothing.
    """
    note = f"{feedback.by}: {feedback.note}" if feedback.note else None
    event: IncidentEvent | None = None
    if feedback.action == "acknowledge" and incident.handling == "open":
        incident.handling, event = "acknowledged", "acknowledged"
    elif feedback.action == "dispatch":
        before = (incident.handling, incident.department, incident.handle_by)
        incident.handling = "dispatched"
        incident.department = feedback.department or incident.department
        incident.handle_by = deadline or incident.handle_by
        if before != (incident.handling, incident.department, incident.handle_by):
            event = "dispatched"
    elif feedback.action == "handle" and not incident.handled:
        incident.handled, event = True, "updated"
    elif feedback.action == "resolve":
        close(incident, "resolved", at, by_hand=True)
        event = "resolved"
    elif feedback.action == "false_alarm":
        close(incident, "false_alarm", at, by_hand=True)
        event = "resolved"
    if note is not None:
        incident.notes = (*incident.notes, note)[-notes_kept:]
        event = event or "updated"
    count_standing(incident)
    return event


def same_again(incident: Happening, signal: Signal) -> bool:
    """A person closed it while the alarm stood: the same alarm, no worse than then, is no news."""
    if not incident.closed_by_hand:
        return False
    held = incident.pieces.get(piece_key(signal))
    return held is not None and held.signal_id == signal.signal_id and level_of(signal) >= held.level

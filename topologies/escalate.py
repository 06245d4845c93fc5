"""How severe an incident is: its evidence, what its witnesses mean together, and what stands near.

The compound conditions are the family's (``detectors/families.py``); steps up beyond them happen only where the family's data
say so, because a false incident of level 1 or 2 costs the trust of those who go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from detectors.families import Escalation, Family, Need
from topologies.bursts import PREFIX
from topologies.cells import metres_between
from topologies.happening import Happening, Piece, leading

#: Sort key of a piece: the earliest first.
_raised = attrgetter("first_ts", "key")


def counted(incident: Happening) -> list[Piece]:
    """Active evidence; what came too late to be live (historical) does not make a live incident worse."""
    return [piece for piece in incident.pieces.values() if piece.active and (incident.historical or not piece.historical)]


def holding(incident: Happening, family: Family, guests: Sequence[Family] = ()) -> list[Escalation]:
    """The family's escalations that hold for the incident's evidence, in the order of the table; then those of its
    ``guests``, each for its own evidence."""
    if not family.escalate and not guests:
        return []
    pieces = [piece for piece in incident.pieces.values() if incident.historical or not piece.historical]
    held = [escalation for escalation in family.escalate if _holds(escalation, family, pieces)]
    for guest in guests:
        own = [piece for piece in pieces if piece.family == guest.name]
        held += [escalation for escalation in guest.escalate if _holds(escalation, guest, own)]
    return held


def _holds(escalation: Escalation, family: Family, pieces: Sequence[Piece]) -> bool:
    if len(pieces) < len(escalation.needs):
        return False  # every need has pieces of its own
    answers = []
    for need in escalation.needs:
        matching = _matching(need, pieces)
        if len(matching) < need.witnesses or len({piece.witness for piece in matching}) < need.witnesses:
            return False
        answers.append(sorted(matching, key=_raised))
    return any(_meets(escalation.needs, answers, family, pivot) for matching in answers for pivot in matching)


def _meets(needs: Sequence[Need], answers: Sequence[Sequence[Piece]], family: Family, pivot: Piece) -> bool:
    """All needs are met around one piece, each by witnesses no other need has used up.

    Narrow needs choose first: one with few possible witnesses must not lose them to one with many.
    """
    used: set[str] = set()
    callers: set[str] = set()  # one call may be taken for two things, but its caller is one witness
    for need, matching in sorted(zip(needs, answers, strict=True), key=lambda pair: (len(pair[1]), -pair[0].witnesses)):
        radius_m = need.radius_m or family.radius_m
        within_ms = (need.within_s or family.within_s) * 1000
        found: set[str] = set()
        for piece in matching:
            if piece.key in used or piece.witness in found or piece.witness in callers:
                continue
            if _together(piece, pivot, radius_m, within_ms, stands=need.within_s is None):
                used.add(piece.key)
                found.add(piece.witness)
                if piece.stream == "hotline":
                    callers.add(piece.witness)
                if len(found) == need.witnesses:
                    break
        if len(found) < need.witnesses:
            return False
    return True


def _matching(need: Need, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """The pieces that count for the need: of several conditions each looks only at what those before have left."""
    if need.streams:
        pieces = [piece for piece in pieces if piece.stream in need.streams]
    if need.hazards:
        pieces = [piece for piece in pieces if piece.hazard in need.hazards]
    if need.rules:
        pieces = [piece for piece in pieces if piece.rule in need.rules]
    else:
        # Of a burst the callers count already.
        pieces = [piece for piece in pieces if not piece.rule.startswith(PREFIX)]
    if need.min_value is not None:
        pieces = [piece for piece in pieces if piece.value is not None and piece.value >= need.min_value]
    return [piece for piece in pieces if piece.active] if need.active_only else pieces


def _together(piece: Piece, pivot: Piece, radius_m: float, within_ms: float, stands: bool) -> bool:
    """Near in place (where both have one) and their times of holding at most ``within_ms`` apart.

    ``stands``: an alarm that has not cleared holds on, however long ago its last word was.
    """
    early, late = sorted((piece, pivot), key=lambda one: one.first_ts)
    holds = stands and early.active and not early.momentary
    if not holds and late.first_ts - early.last_ts > within_ms:
        return False
    if piece.lat is None or piece.lon is None or pivot.lat is None or pivot.lon is None:
        return True
    return metres_between(piece.lat, piece.lon, pivot.lat, pivot.lon) <= radius_m


def judge(
    incident: Happening, family: Family, active: Sequence[Piece], guests: Sequence[Family] = ()
) -> tuple[int, list[Escalation], tuple[str, ...]]:
    """(level, escalations that hold, grounds of the steps up) of the incident as it stands; ``active`` is :func:`counted`.

    With nothing active but what lends its weight the level stays: a recovering incident is as severe as it was until it ends.
    """
    own = leading(active)
    if not own:
        return incident.level, [], incident.raised_by_data
    held = holding(incident, family, guests)
    level = min([piece.level for piece in own])
    if held:
        level = min(level, *[escalation.level for escalation in held])
    grounds: tuple[str, ...] = ()
    if family.target_radius_m is not None and incident.targets:
        grounds += (f"raised one step: {incident.targets[0]}",)
    if family.agree_raises and len(kinds(active)) >= 2:
        grounds += ("raised one step: " + " and ".join(kinds(active)) + " agree",)
    return max(1, level - len(grounds)), held, grounds


def kinds(pieces: Sequence[Piece]) -> list[str]:
    """Independent kinds of streams (a group is its sensors, read together)."""
    return sorted({"sensor" if piece.stream == "group" else piece.stream for piece in pieces})

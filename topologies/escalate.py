"""How severe an incident is: its evidence, what its witnesses mean together, and what stands near.

The compound conditions are the family's (``detectors/families.py``); steps up beyond them happen only where the family's data
say so, because a false incident of level 1 or 2 costs the trust of those who go out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from detectors.families import Escalation, Family, Need
from topologies.bursts import PREFIX
from topologies.cells import metres_between
from topologies.happening import Happening, Piece
from topologies.weighed import Weighed

_rule = attrgetter("rule")
#: Sort key of a piece: the earliest first.
_raised = attrgetter("first_ts", "key")


def holding(pieces: Sequence[Piece], family: Family, guests: Sequence[Family] = ()) -> list[Escalation]:
    """The family's escalations that hold for the (live) evidence, in the order of the table; then those of its ``guests``,
    each for its own evidence."""
    held = _held(family, pieces)
    for guest in guests:
        held += _held(guest, [piece for piece in pieces if piece.family == guest.name])
    return held


def _held(family: Family, pieces: Sequence[Piece]) -> list[Escalation]:
    if not family.escalate:
        return []
    rules = set(map(_rule, pieces))
    return [one for one in family.escalate if _spoken(one, rules) and _holds(one, family, pieces)]


def _spoken(escalation: Escalation, rules: set[str]) -> bool:
    """Whether every need that names rules has one of them here: mostly there are only callers, or only sensors."""
    for need in escalation.needs:  # noqa: SIM110 (a generator takes longer than the two or three needs)
        if need.rules and rules.isdisjoint(need.rules):
            return False
    return True


def _holds(escalation: Escalation, family: Family, pieces: Sequence[Piece]) -> bool:
    if len(pieces) < len(escalation.needs):
        return False  # every need has pieces of its own
    for need in escalation.needs:
        # What one alone can meet is asked first: callers are many, and what they must agree with is mostly missing.
        if need.witnesses == 1 and next(_matching(need, pieces), None) is None:
            return False
    found = []
    for need in escalation.needs:
        matching, wanted = list(_matching(need, pieces)), need.witnesses
        if len(matching) < wanted or (wanted > 1 and len({piece.witness for piece in matching}) < wanted):
            return False
        found.append(matching)
    return _agree(escalation.needs, [sorted(matching, key=_raised) for matching in found], family)


def _agree(needs: Sequence[Need], answers: Sequence[Sequence[Piece]], family: Family) -> bool:
    return any(_meets(needs, answers, family, pivot) for matching in answers for pivot in matching)


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


def _matching(need: Need, pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The pieces that count for the need."""
    streams, hazards, rules, least, active_only = need.streams, need.hazards, need.rules, need.min_value, need.active_only
    for piece in pieces:
        if (
            (not hazards or piece.hazard in hazards)
            and (not streams or piece.stream in streams)
            and (least is None or (piece.value is not None and piece.value >= least))
            and (piece.active or not active_only)
            # Of a burst the callers count already.
            and (piece.rule in rules if rules else not piece.rule.startswith(PREFIX))
        ):
            yield piece


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
    incident: Happening, family: Family, weighed: Weighed, guests: Sequence[Family] = ()
) -> tuple[int, list[Escalation], tuple[str, ...]]:
    """(level, escalations that hold, grounds of the steps up) of the incident as it stands, which has been ``weighed``.

    With nothing active but what lends its weight the level stays: a recovering incident is as severe as it was until it ends.
    """
    if not weighed.own:
        return incident.level, [], incident.raised_by_data
    held = holding(weighed.live, family, guests)
    level = weighed.own[0].level
    if held:
        level = min(level, *[escalation.level for escalation in held])
    grounds: tuple[str, ...] = ()
    if family.target_radius_m is not None and incident.targets:
        grounds += (f"raised one step: {incident.targets[0]}",)
    if family.agree_raises and len(weighed.kinds) >= 2:
        grounds += ("raised one step: " + " and ".join(weighed.kinds) + " agree",)
    return max(1, level - len(grounds)), held, grounds

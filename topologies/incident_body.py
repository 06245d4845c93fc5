"""The record of an incident at a revision: a function of what the stage holds of it, and of nothing else (D5)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from streams.records import LEVELS, Counts, Dispatch, Evidence, Incident, IncidentEvent, Point, RuleReason
from topologies.cells import metres_between
from topologies.happening import Happening, Piece, evidence, severity
from topologies.incident_settings import IncidentSettings
from topologies.priority import priority

_stands = attrgetter("active")
_NAMES = {
    "hotline": ("caller", "callers"),
    "sensor": ("sensor", "sensors"),
    "group": ("group of sensors", "groups of sensors"),
    "video": ("camera", "cameras"),
    "vehicle": ("vehicle", "vehicles"),
}


def best_place(pieces: Sequence[Piece]) -> Piece | None:
    """Most severe first, a device before a caller's address, then the most precise; None where nothing has a place."""
    placed = [piece for piece in pieces if piece.lat is not None and piece.lon is not None]
    if not placed:
        return None
    return min(placed, key=lambda piece: (piece.level, piece.stream == "hotline", piece.radius_m, piece.first_ts, piece.key))


def body(
    incident: Happening, active: Sequence[Piece], event: IncidentEvent, why: str, at: int, settings: IncidentSettings
) -> Incident:
    """The incident as a record; ``at`` is the arrival of what caused the revision, or the due time of the timer.

    ``active`` is what counts of the evidence (:func:`topologies.escalate.counted`).
    """
    ranked = sorted(incident.pieces.values(), key=severity)
    if len(ranked) > settings.evidence_shown:
        # Most severe and newest are what dispatch needs; the counts keep the total.
        ranked.sort(key=lambda piece: (piece.level, -piece.last_ts, piece.key))
    ranked.sort(key=_stands, reverse=True)  # what has ended comes last, and each part stays in its order
    lat, lon = incident.lat, incident.lon
    radius_m = 0.0
    shown: list[Evidence] = []
    for piece in ranked:
        distance_m: float | None = None
        if lat is not None and lon is not None and piece.lat is not None and piece.lon is not None:
            distance_m = metres_between(lat, lon, piece.lat, piece.lon)
            if not piece.lends and distance_m + piece.radius_m > radius_m:
                radius_m = distance_m + piece.radius_m
        if len(shown) < settings.evidence_shown:
            shown.append(evidence(piece, distance_m))
    return Incident(
        incident_id=incident.incident_id,
        revision=incident.revision,
        event=event,
        hazard=incident.hazard,
        category=incident.category,
        level=incident.level,
        colour=LEVELS[incident.level],
        status=incident.status,
        title=incident.title,
        city=incident.city,
        grid_code=incident.grid_code,
        location=None if lat is None or lon is None else Point((lon, lat)),
        radius_m=round(radius_m, 1),
        first_event_ts=incident.first_event_ts,
        opened_ts=incident.opened_ts,
        updated_ts=at,
        evidence=shown,
        rule=RuleReason(name=incident.rule, version=incident.rule_version, reason=reason(incident)),
        priority=priority(incident, active, settings.weights),
        dispatch=Dispatch(
            lead=incident.department or incident.lead,
            assist=list(incident.assist),
            confirm_by=incident.confirm_by,
            dispatch_by=incident.dispatch_by,
            handle_by=incident.handle_by,
        ),
        counts=Counts(signals=incident.signals, sources=len(incident.witnesses)),
        historical=incident.historical,
        exercise=incident.exercise,
        why=why,
        merged_into=incident.merged_into,
        linked=list(incident.linked),
        notes=list(incident.notes),
    )


def reason(incident: Happening) -> str:
    """In plain words: what the leading rule or the compound condition says, and who says so."""
    said = [incident.reason] if incident.reason else []
    tally = sorted(incident.by_stream.items())
    who = [f"{count} {_NAMES.get(stream, (stream, stream))[count != 1]}" for stream, count in tally]
    if who:
        said.append(", ".join(who))
    return "; ".join(said)

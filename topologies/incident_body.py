"""The record of an incident at a revision: a function of what the stage holds of it, and of nothing else (D5)."""

from __future__ import annotations

from collections.abc import Sequence

from streams.records import LEVELS, Counts, Dispatch, Incident, IncidentEvent, Point, RuleReason
from topologies.cells import metres_between
from topologies.happening import Happening, Piece, evidence
from topologies.incident_settings import IncidentSettings
from topologies.priority import priority

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


def body(incident: Happening, event: IncidentEvent, why: str, at: int, settings: IncidentSettings) -> Incident:
    """The incident as a record; ``at`` is the arrival of what caused the revision, or the due time of the timer."""
    shown = sorted(incident.pieces.values(), key=lambda piece: (not piece.active, piece.level, piece.first_ts, piece.key))
    if len(shown) > settings.evidence_shown:
        # Most severe and newest are what dispatch needs; the counts keep the total.
        shown.sort(key=lambda piece: (not piece.active, piece.level, -piece.last_ts, piece.key))
        del shown[settings.evidence_shown :]
    radius = 0.0
    distances: dict[str, float] = {}
    if incident.lat is not None and incident.lon is not None:
        for piece in incident.pieces.values():
            if piece.lat is not None and piece.lon is not None:
                distance = metres_between(incident.lat, incident.lon, piece.lat, piece.lon)
                distances[piece.key] = distance
                if not piece.lends:
                    radius = max(radius, distance + piece.radius_m)
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
        location=None if incident.lat is None or incident.lon is None else Point((incident.lon, incident.lat)),
        radius_m=round(radius, 1),
        first_event_ts=incident.first_event_ts,
        opened_ts=incident.opened_ts,
        updated_ts=at,
        evidence=[evidence(piece, distances.get(piece.key)) for piece in shown],
        rule=RuleReason(name=incident.rule, version=incident.rule_version, reason=reason(incident)),
        priority=priority(incident, settings.weights),
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

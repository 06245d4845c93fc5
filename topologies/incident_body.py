"""The record of an incident at a revision: a function of what the stage holds of it, and of nothing else (D5)."""

from __future__ import annotations

from functools import lru_cache

from streams.records import LEVELS, Counts, Dispatch, Incident, IncidentEvent, Point, RuleReason
from topologies.evidence_view import EvidenceViews
from topologies.happening import Happening
from topologies.incident_settings import Weights
from topologies.priority import priority
from topologies.weighed import Weighed

_NAMES = {
    "hotline": ("caller", "callers"),
    "sensor": ("sensor", "sensors"),
    "group": ("group of sensors", "groups of sensors"),
    "video": ("camera", "cameras"),
    "vehicle": ("vehicle", "vehicles"),
}


def body(
    incident: Happening,
    weighed: Weighed,
    views: EvidenceViews,
    event: IncidentEvent,
    why: str,
    at: int,
    weights: Weights,
) -> Incident:
    """The incident as a record; ``at`` is the arrival of what caused the revision, or the due time of the timer.

    ``weighed`` is what counts of the evidence (:func:`topologies.weighed.weigh`), ``views`` what was drawn of it before.
    """
    lat, lon = incident.lat, incident.lon
    shown, radius_m = views.of(incident, weighed)
    return Incident(  # by position, as all in it: see streams/incident_record.py
        incident.incident_id,
        incident.revision,
        event,
        incident.hazard,
        incident.category,
        incident.level,
        LEVELS[incident.level],
        incident.status,
        incident.title,
        incident.city,
        incident.grid_code,
        None if lat is None or lon is None else Point((lon, lat)),
        radius_m,
        incident.first_event_ts,
        incident.opened_ts,
        at,
        shown,
        RuleReason(incident.rule, incident.rule_version, reason(incident)),
        priority(incident, weighed, weights),
        Dispatch(
            incident.department or incident.lead,
            incident.assist,
            incident.confirm_by,
            incident.dispatch_by,
            incident.handle_by,
        ),
        Counts(incident.signals, len(incident.witnesses)),
        incident.historical,
        incident.exercise,
        why,
        incident.merged_into,
        incident.linked,
        incident.notes,
    )


def reason(incident: Happening) -> str:
    """In plain words: what the leading rule or the compound condition says, and who says so."""
    said = [incident.reason] if incident.reason else []
    if incident.by_stream:
        said.append(_who(tuple(incident.by_stream.items())))
    return "; ".join(said)


@lru_cache(maxsize=1024)
def _who(tally: tuple[tuple[str, int], ...]) -> str:
    """Witnesses by stream in words; most incidents of a city have one of a few dozen such tallies."""
    return ", ".join(f"{count} {_NAMES.get(stream, (stream, stream))[count != 1]}" for stream, count in sorted(tally))

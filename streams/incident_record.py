"""The incident: full state at one revision, as dispatch receives it. Part of :mod:`streams.records`.

A revision makes some of each: no record holds what holds it, so the collector need not look at them (``gc=False``), and fields
may be given by position: thirty names take longer than all else that is done for a record.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from streams.record_base import Output, Point

IncidentEvent = Literal[
    "opened", "updated", "escalated", "eased", "acknowledged", "dispatched", "overdue", "resolved", "reopened", "merged"
]
IncidentStatus = Literal["open", "acknowledged", "dispatched", "recovering", "resolved", "false_alarm", "merged"]


class Evidence(Struct, omit_defaults=True, gc=False):
    stream: str
    entity: str
    ts: int
    source: str
    rule: str
    level: int
    metric: str | None = None
    value: float | None = None
    unit: str | None = None
    threshold: float | None = None
    expected: float | None = None
    distance_m: float | None = None
    explanation: str = ""
    active: bool = True


class RuleReason(Struct, gc=False):
    name: str
    version: str
    reason: str


class Priority(Struct, gc=False):
    score: int
    because: list[str]


class Dispatch(Struct, omit_defaults=True, gc=False):
    lead: str
    assist: tuple[str, ...] = ()
    confirm_by: int = 0
    dispatch_by: int = 0
    handle_by: int = 0


class Counts(Struct, gc=False):
    signals: int
    sources: int


class Incident(Output, gc=False):
    """Full state of one incident at one revision; the last one wins."""

    incident_id: str
    revision: int
    event: IncidentEvent
    hazard: str
    category: str
    level: int
    colour: str
    status: IncidentStatus
    title: str
    city: str
    grid_code: str | None
    location: Point | None
    radius_m: float
    first_event_ts: int
    opened_ts: int
    updated_ts: int
    evidence: list[Evidence]
    rule: RuleReason
    priority: Priority
    dispatch: Dispatch
    counts: Counts
    historical: bool
    exercise: bool
    #: Why this revision exists, one named reason (``hold_elapsed``, ``second_source``, ``feedback`` …).
    why: str = ""
    merged_into: str | None = None
    linked: tuple[str, ...] = ()
    #: What people wrote with their feedback, oldest first, as ``name: text`` (the last ones only).
    notes: tuple[str, ...] = ()
    #: Only in the topic of the level the incident has left.
    moved_to: int | None = None

"""What the incident stage hands on for some records: revisions in order, and everything that did not become one, by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from streams.records import Incident


@dataclass(slots=True)
class Decided:
    """``muted`` counts signals that did not reach an incident, by reason; ``noted`` what is worth knowing of the rest.

    muted: silence, maintenance, permit, mode (retained or let go, by the kind of the mute), shadow, held and folded (outages),
    heard_in_time, cleared_while_muted, historical_after_closing, historical_lends_nothing, chatter,
    closed_by_hand, other_city, nothing_to_clear.
    noted: rule_unknown, feedback_unknown, feedback_forgotten, feedback_closed, feedback_no_change, released, exercise,
    mute_unreadable, mute_overflow, retained_overflow, outage, rules_awaited, registry_awaited, evidence_dropped,
    burst_overflow, incident_capacity, joined, opened, latched, taken_over, kept_to_lend, lending_overflow.
    """

    incidents: list[Incident] = field(default_factory=list)
    muted: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    #: Records dropped because their source's mark had passed them (D5).
    repeated: int = 0
    #: Open incidents afterwards.
    open: int = 0

"""What a city may set about its incident stage; every number has its reason beside it."""

from __future__ import annotations

from msgspec import Struct

from detectors.burst import BurstSettings
from topologies.dispatch_plan import Calendar


class ResponseTarget(Struct, frozen=True, forbid_unknown_fields=True):
    """Minutes to the first human answer; None: queued, no target."""

    confirm_min: float
    dispatch_min: float | None


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """Points of the priority score. What is added stays below the step between two levels, so a level is never overtaken."""

    level: tuple[int, int, int, int] = (80, 60, 40, 20)
    target_near: int = 6
    streams_agree: int = 5
    per_source: int = 1
    sources_at_most: int = 4
    overdue: int = 4
    #: Taken off an incident whose alarm chatters: it goes behind all others of its level.
    chatter: int = 15


class OutageSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Folding of silences (D9): silences are held for their neighbours; ``share`` of the members makes one outage."""

    #: Wait for the neighbours where the shard cannot tell whose silence it is.
    hold_s: float = 60.0
    #: Wait for what other partitions say once a shard can tell.
    settle_s: float = 10.0
    #: Longest wait of a silence whose gateway has too few members that could have been missed yet.
    doubt_s: float = 900.0
    share: float = 0.8
    #: Below this share of the silences it had at most, an outage is over.
    clear_share: float = 0.5
    #: Two silent sensors of two are no outage of a gateway.
    min_members: int = 3
    #: Single incidents of devices without a registered interval, and outages of gateways, that began this long before a wider
    #: outage are part of it.
    absorb_s: float = 900.0
    #: Level of an outage (None: that of the members' rule).
    gateway_level: int | None = 3
    #: The members' rule calls itself after devices.
    gateway_title: str = "Gateway silent"
    topic_level: int = 2
    #: Rule in whose name the outage of a topic is told.
    stream_rule: str = "platform-stream-silent"


class IncidentSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of :class:`topologies.incident.IncidentStage`; all have defaults."""

    #: A source that says nothing while the fastest comes this much further (no step counts for more than a twelfth of it) is
    #: left out of the minimum: a dead partition must not keep incidents open.
    stall_s: float = 60.0
    #: The same thing returning this soon after resolution is the same incident.
    reopen_s: float = 1800.0
    #: What a person closed is remembered this long while its alarm still stands, so that it does not come back by itself.
    hand_closed_s: float = 86_400.0
    evidence_shown: int = 50
    evidence_kept: int = 200
    witnesses_kept: int = 5000
    #: Every new source is news up to here; beyond, growth by ``then_growth`` is (an operator copes with 10 alarms in 10 min).
    every_source_until: int = 20
    then_growth: float = 1.25
    notes_kept: int = 20
    max_open: int = 50_000
    max_retained: int = 50_000
    max_remembered: int = 200_000
    #: Signals of rules that open nothing, kept for incidents to come.
    max_lent: int = 20_000
    max_mutes: int = 10_000
    #: Deadlines that pass unanswered are announced for these levels only: the mildest ones are a queue, not an alarm.
    overdue_level: int = 3
    #: Values of ``attributes.target`` of a site that make it important, and how near counts for the priority.
    targets: tuple[str, ...] = ("school", "hospital", "dense_housing")
    target_near_m: float = 300.0
    #: Response targets of levels 1 to 4 (domain B3); a rule's own deadlines hold where they are shorter.
    response: tuple[ResponseTarget, ResponseTarget, ResponseTarget, ResponseTarget] = (
        ResponseTarget(3, 5),
        ResponseTarget(5, 10),
        ResponseTarget(15, 30),
        ResponseTarget(60, None),
    )
    #: Where a signal's rule is not in the book.
    default_department: str = "operation_centre"
    default_radius_m: float = 100.0
    default_within_s: float = 1800.0
    default_resolve_after_s: float = 300.0
    weights: Weights = Weights()
    outage: OutageSettings = OutageSettings()
    burst: BurstSettings = BurstSettings()
    calendar: Calendar = Calendar()

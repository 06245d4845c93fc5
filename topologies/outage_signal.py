"""What an outage says of itself: one signal in place of its members' silences."""

from __future__ import annotations

import msgspec

from streams.records import Point, Signal
from topologies.explanations import moment
from topologies.happening import place
from topologies.incident_settings import OutageSettings
from topologies.reference import Assets
from topologies.reporting import last_heard


def outage_signal(silent: list[Signal], gateway: str, at: int, registry: Assets, settings: OutageSettings) -> Signal:
    """The outage of a gateway: where the registry has it, else in the middle of its silent devices."""
    first = min(silent, key=lambda one: (one.ts, one.rule, one.entity))
    members = {one.entity for one in silent}
    behind = len(registry.behind(gateway))
    known = registry.at(gateway, first.ts)
    lat, lon = getattr(known, "lat", None), getattr(known, "lon", None)
    spot = Point((lon, lat)) if lat is not None and lon is not None else _middle(silent)
    count = f"{len(members)} of {behind}" if behind else f"{len(members)}"
    since = max(map(last_heard, silent))
    return msgspec.structs.replace(
        first,
        signal_id=f"{first.rule}:{gateway}:{first.ts}",
        entity=gateway,
        level=settings.gateway_level or first.level,
        phase="raised",
        outage="gateway",
        arrival_ts=max(at, first.arrival_ts),
        location=spot,
        metric=None,
        value=float(len(members)),
        expected=None,
        threshold=None,
        unit="devices",
        gateway=gateway,
        witness=None,
        explanation=f"gateway {gateway} silent: {count} devices so far, none heard since {moment(since)}",
    )


def topic_signal(quiet: Signal | None, silent: list[Signal], topic: str, at: int, settings: OutageSettings) -> Signal:
    """The outage of a topic, told by a partition that hears nothing or by devices whose neighbours are silent too."""
    first = quiet if quiet is not None else min(silent, key=lambda one: (one.ts, one.rule, one.entity))
    members = {one.entity for one in silent}
    partitions = {one.source.partition for one in ([quiet] if quiet is not None else []) + silent}
    since = max([last_heard(one) for one in silent] or [last_heard(first)])
    what = f"{len(members)} registered devices missed so far" if members else first.explanation
    platform = first.stream != "vehicle" or quiet is not None  # a fleet that parks is silent as one, but not the platform's
    return msgspec.structs.replace(
        first,
        signal_id=f"{settings.stream_rule}:{topic}:{first.ts}",
        rule=settings.stream_rule if platform else first.rule,
        category="platform" if platform else first.category,
        hazard="PLT-01" if platform else first.hazard,
        entity=topic,
        level=settings.topic_level,
        phase="raised",
        outage="stream",
        arrival_ts=max(at, first.arrival_ts),
        location=None,
        grid_code=None,
        metric=None,
        value=float(len(members)) if members else first.value,
        expected=None if members else first.expected,
        threshold=None if members else first.threshold,
        unit="devices" if members else "s",
        gateway=None,
        witness=None,
        explanation=f"stream {topic} silent ({len(partitions)} of its partitions say so): {what}; "
        f"nothing since {moment(since)}",
    )


def grown(told: Signal, members: int, behind: int, at: int) -> Signal:
    """The outage as it stands with more members; ``behind``: how many a gateway has, 0 where it is none."""
    count = f"{members} of {behind}" if behind else f"{members}"
    first = told.explanation.partition("; now ")[0]
    return msgspec.structs.replace(
        told,
        phase="updated",
        ts=max(at, told.ts),
        arrival_ts=max(at, told.arrival_ts),
        value=float(members),
        unit="devices",
        explanation=f"{first}; now {count}",
    )


def _middle(silent: list[Signal]) -> Point | None:
    places = [spot for one in silent if (spot := place(one)) is not None]
    if not places:
        return None
    lat, lon = (sum(spot[axis] for spot in places) / len(places) for axis in (0, 1))
    return Point((round(lon, 6), round(lat, 6)))

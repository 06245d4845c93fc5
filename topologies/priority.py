"""How urgent an incident is among those of its level, 0 to 100, with the reasons in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.records import Priority
from topologies.happening import Happening
from topologies.incident_settings import Weights
from topologies.weighed import Weighed


def priority(incident: Happening, weighed: Weighed, weights: Weights) -> Priority:
    """Level first; what is added (targets near, agreeing streams, sources, missed deadlines) never reaches the next level."""
    score = weights.level[incident.level - 1]
    because = [f"level {incident.level}", *incident.raised_by_data]
    if incident.targets:
        score += weights.target_near
        because += _unsaid(incident.targets, incident.raised_by_data)
    if len(weighed.kinds) >= 2:
        score += weights.streams_agree
        because.append(" and ".join(weighed.kinds) + " agree")
    sources = len(incident.witnesses)
    if sources >= 2:
        score += min(weights.sources_at_most, weights.per_source * (sources - 1))
        because.append(f"{sources} sources agree")
    if incident.overdue:
        score += weights.overdue
        because += [f"{kind} overdue" for kind in incident.overdue]
    if incident.latched:
        score -= weights.chatter
        because.append("chatters: raised again and again within a day")
    if weighed.silent:
        because.append(f"{weighed.silent} of its sensors silent since")
    if incident.historical:
        because.append("historical: reported too late to act on")
    if incident.exercise:
        because.append("exercise")
    return Priority(max(0, min(100, score)), because)


def _unsaid(targets: Iterable[str], grounds: Sequence[str]) -> list[str]:
    return [target for target in targets if not any(target in ground for ground in grounds)]

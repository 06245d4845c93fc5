"""``replay diff``: what another rule set would have told of the same recording.

Incidents of the two runs are the same happening if they have one id, or else one category and entity and overlap in time (a
changed threshold moves the deciding record, and with it the id). What is left appeared or vanished.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from detectors.rulebook import RuleBook
from replay.recording import Recording
from replay.run import Progress, Run
from replay.stages import StageSettings
from replay.truth import Hazard, Verdict, judge
from streams.records import Incident

#: Two incidents whose lives are this close are one happening told twice.
NEAR_MS = 600_000


@dataclass(slots=True, frozen=True)
class Moved:
    """One happening in both runs; ``by_s`` < 0: the candidate tells it earlier."""

    base: Incident
    candidate: Incident

    @property
    def by_s(self) -> float:
        return (self.candidate.opened_ts - self.base.opened_ts) / 1000


@dataclass(slots=True)
class Diff:
    unchanged: int = 0
    earlier: list[Moved] = field(default_factory=list)
    later: list[Moved] = field(default_factory=list)
    relevelled: list[Moved] = field(default_factory=list)
    appeared: list[Incident] = field(default_factory=list)
    vanished: list[Incident] = field(default_factory=list)
    base_verdict: Verdict | None = None
    candidate_verdict: Verdict | None = None

    @property
    def differs(self) -> bool:
        return bool(self.earlier or self.later or self.relevelled or self.appeared or self.vanished)

    def as_json(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"unchanged": self.unchanged}
        for name in ("earlier", "later", "relevelled"):
            tree[name] = [
                {**_brief(one.candidate), "base_id": one.base.incident_id, "base_level": one.base.level, "by_s": one.by_s}
                for one in getattr(self, name)
            ]
        tree["appeared"] = [_brief(one) for one in self.appeared]
        tree["vanished"] = [_brief(one) for one in self.vanished]
        for name, verdict in (("base", self.base_verdict), ("candidate", self.candidate_verdict)):
            if verdict is not None:
                tree[name] = verdict.as_json()
        return tree


def _brief(incident: Incident) -> dict[str, Any]:
    return {
        "incident_id": incident.incident_id,
        "category": incident.category,
        "hazard": incident.hazard,
        "level": incident.level,
        "opened_ts": incident.opened_ts,
        "title": incident.title,
        "rule": incident.rule.name,
    }


@dataclass(slots=True)
class _Life:
    """An incident over its revisions: worst level, entities, from opening to its last change."""

    last: Incident
    level: int
    entities: set[str]
    until: int


def _lives(revisions: Iterable[Incident]) -> dict[str, _Life]:
    lives: dict[str, _Life] = {}
    for incident in revisions:
        entities = {evidence.entity for evidence in incident.evidence}
        life = lives.get(incident.incident_id)
        if life is None:
            lives[incident.incident_id] = _Life(incident, incident.level, entities, incident.updated_ts)
        else:
            life.last, life.until = incident, max(life.until, incident.updated_ts)
            life.level = min(life.level, incident.level)
            life.entities |= entities
    return lives


def compare(base: Iterable[Incident], candidate: Iterable[Incident]) -> Diff:
    """Pair the incidents of two runs (all revisions, in order)."""
    ours, theirs = _lives(base), _lives(candidate)
    pairs = [(name, name) for name in ours if name in theirs]
    pairs += _near({n: o for n, o in ours.items() if n not in theirs}, {n: o for n, o in theirs.items() if n not in ours})
    diff = Diff()
    for name, other in pairs:
        moved = Moved(ours[name].last, theirs[other].last)
        levels = (ours.pop(name).level, theirs.pop(other).level)
        if moved.by_s:
            (diff.earlier if moved.by_s < 0 else diff.later).append(moved)
        elif levels[0] != levels[1]:
            diff.relevelled.append(moved)
        else:
            diff.unchanged += 1
    order = lambda one: (one.opened_ts, one.incident_id)  # noqa: E731 - one key for two sorts
    diff.vanished = sorted((life.last for life in ours.values()), key=order)
    diff.appeared = sorted((life.last for life in theirs.values()), key=order)
    return diff


def _near(ours: dict[str, _Life], theirs: dict[str, _Life]) -> list[tuple[str, str]]:
    """Pairs of one category with a common entity whose lives touch, the closest openings first."""
    by_entity: dict[tuple[str, str], list[str]] = {}
    for other, life in theirs.items():
        for entity in life.entities:
            by_entity.setdefault((life.last.category, entity), []).append(other)
    possible: set[tuple[int, str, str]] = set()
    for name, life in ours.items():
        for entity in life.entities:
            for other in by_entity.get((life.last.category, entity), ()):
                near = theirs[other]
                if life.last.opened_ts <= near.until + NEAR_MS and near.last.opened_ts <= life.until + NEAR_MS:
                    possible.add((abs(life.last.opened_ts - near.last.opened_ts), name, other))
    pairs: list[tuple[str, str]] = []
    taken: set[str] = set()
    for _, name, other in sorted(possible):
        if f"b{name}" not in taken and f"c{other}" not in taken:
            taken |= {f"b{name}", f"c{other}"}
            pairs.append((name, other))
    return pairs


def diff(
    recording: Recording,
    base: RuleBook,
    candidate: RuleBook,
    settings: StageSettings | None = None,
    *,
    labels: list[Hazard] | None = None,
    drain_s: float = 0.0,
    progress: Progress | None = None,
) -> Diff:
    """Run ``recording`` under both rule sets and compare; with ``labels`` both are judged as well."""
    told = [
        [
            incident
            for _, incidents in Run(recording, book, settings, drain_s=drain_s, progress=progress).revisions()
            for incident in incidents
        ]
        for book in (base, candidate)
    ]
    found = compare(*told)
    if labels is not None:
        found.base_verdict, found.candidate_verdict = judge(labels, told[0]), judge(labels, told[1])
    return found

"""Where a detect stage that goes on from a checkpoint switches to the rules and the registry in use (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from detectors.rulebook import RuleBook
from streams.registry import Registry
from topologies.checkpoints import Checkpoint
from topologies.worker_tail import Place, Switch, Tail


@dataclass(frozen=True, slots=True)
class Planned:
    """A switch that stands behind records yet to be decided."""

    place: Place
    rules: RuleBook | None = None
    registry: Registry | None = None


class AtHand(Protocol):
    """Versions by their names; None for one that cannot be had."""

    def rules(self, fingerprint: str) -> RuleBook | None: ...
    def registry(self, revision: int) -> Registry | None: ...


def told_since(checkpoint: Checkpoint) -> int:
    """Epoch ms of the writer's clock: what was said behind the checkpoint's mark entered the log from then on."""
    return int(checkpoint.marks.get("told_since", checkpoint.written_at))


def announced(found: Checkpoint, tail: Tail) -> list[Switch]:
    """What the worker before announced and the checkpoint does not know."""
    known = int(found.state["switches"])
    return [switch for number, switch in sorted(tail.switches.items()) if number > known]


def plan(found: Checkpoint, tail: Tail, at_hand: AtHand, rules: RuleBook, registry: Registry) -> list[Planned]:
    """The switches from the checkpoint's versions to ``rules`` and ``registry``: each where it was announced, what nobody has
    announced behind everything that was told."""
    fingerprint, revision = found.rule_fingerprint, found.registry_revision
    steps: list[Planned] = []
    for switch in announced(found, tail):
        book = at_hand.rules(switch.fingerprint) if switch.fingerprint is not None else None
        assets = at_hand.registry(switch.revision) if switch.revision is not None else None
        if book is None and assets is None:
            continue
        steps.append(Planned(switch.place, book, assets))
        fingerprint = book.fingerprint if book is not None else fingerprint
        revision = assets.revision if assets is not None else revision
    end = tail.end()
    place = end if end is not None and end.offset >= found.mark else Place(found.mark)
    if revision != registry.revision:
        steps.append(Planned(place, registry=registry))
    if fingerprint != rules.fingerprint:
        steps.append(Planned(place, rules=rules))
    return steps

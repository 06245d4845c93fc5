"""Rules and registry by the names under which the log announces them, also those that are not in use any more.

What a killed worker decided since its checkpoint is decided again by the rules and the registry it was decided with: another
version would say something else at a place where outputs stand already (law 3). So every rule book is kept in the checkpoint
store before anything is decided with it, under its fingerprint; a registry is made again from ``city.registry``, which keeps
what was replaced for a day (``min.compaction.lag.ms``) and counts its revisions by offsets.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Collection
from threading import RLock

from detectors.rulebook import RuleBook
from streams.errors import Mend
from streams.kafka import LogReader
from streams.registry import Registry
from topologies.checkpoints import Checkpoint, CheckpointStore, ShardKey, StoreAway
from topologies.worker_clock import wall_ms
from topologies.worker_registry import applied

log = logging.getLogger(__name__)

#: Stage of the store's keys for rule books; the fingerprint stands in the topic's place.
STAGE = "rules"
#: Rule books kept in the store, the newest; and what is kept at hand of both kinds.
KEPT, AT_HAND = 20, 4
_RETRY_S = 0.5
#: How long a revision newer than ours may take to come by itself: the follower collects changes for a second.
_FOLLOW_S, _FOLLOW_STEPS = 0.05, 40


def registry_at(broker: str, topic: str, revision: int, timeout_s: float = 60.0) -> Registry:
    """The registry whose next unapplied offset is ``revision``. Blocking; raises :class:`Mend` where nobody answers."""
    with LogReader(broker, [topic]) as reader:
        records = [record for record in reader.read_to_end(timeout_s) if record.offset < revision]
    return applied(Registry.from_assets([]), records, revision)


class Versions:
    """Thread safe. ``rules`` and ``registry`` answer from what is at hand; :meth:`fetch` brings it there."""

    def __init__(self, store: CheckpointStore, past_registry: Callable[[int], Registry]) -> None:
        self._store, self._past_registry = store, past_registry
        self._rules: dict[str, RuleBook] = {}
        self._registries: dict[int, Registry] = {}
        self._in_use: tuple[RuleBook, Registry] | None = None
        self._lock = RLock()

    def rules(self, fingerprint: str) -> RuleBook | None:
        return self._rules.get(fingerprint)

    def registry(self, revision: int) -> Registry | None:
        return self._registries.get(revision)

    def of(self, fingerprint: str, revision: int) -> tuple[RuleBook, Registry]:
        """These, or those in use where they cannot be had."""
        assert self._in_use is not None
        registry = self._registries.get(revision)
        return self._rules.get(fingerprint) or self._in_use[0], registry if registry is not None else self._in_use[1]

    def use(self, rules: RuleBook, registry: Registry) -> None:
        """What is in use from now on: always at hand."""
        with self._lock:
            self._in_use = (rules, registry)
            self._rules[rules.fingerprint] = rules
            self._registries[registry.revision] = registry

    def keep(self, rules: RuleBook) -> None:
        """Blocking: into the store, unless it is there. Raises :class:`StoreAway`."""
        key = ShardKey(STAGE, rules.fingerprint, 0)
        held = [one for one in self._store.keys() if one.stage == STAGE]  # noqa: SIM118  not a dict's
        if key in held:
            return
        state = {"book": zlib.compress(rules.to_bytes())}
        self._store.write(Checkpoint(key, "", 0, 0, 0, state, rule_fingerprint=rules.fingerprint, written_at=wall_ms()))
        aged = sorted((found.written_at, one) for one in held if (found := self._store.read(one)) is not None)
        for _, one in aged[: max(0, len(aged) + 1 - KEPT)]:
            self._store.forget(one)

    def fetch(self, fingerprints: Collection[str], revisions: Collection[int]) -> None:
        """Blocking: bring these to hand; what cannot be had any more is said and left out. Raises :class:`StoreAway`."""
        for fingerprint in fingerprints:
            if fingerprint and fingerprint not in self._rules:
                self._fetch_rules(fingerprint)
        for revision in revisions:
            if revision not in self._registries:
                registry = self._past_registry(revision) if revision else Registry.from_assets([])
                with self._lock:
                    self._registries[revision] = registry
        self._let_go(set(fingerprints), set(revisions))

    def _fetch_rules(self, fingerprint: str) -> None:
        found = self._store.read(ShardKey(STAGE, fingerprint, 0))
        book = RuleBook.from_bytes(zlib.decompress(found.state["book"])) if found is not None else None
        if book is None or book.fingerprint != fingerprint:
            why = "the store has them not" if book is None else f"this version reads them as {book.fingerprint}"
            log.error("rules %s cannot be had (%s): what they decided is decided again with those in use", fingerprint, why)
            return
        with self._lock:
            self._rules[fingerprint] = book

    def _let_go(self, fingerprints: set[str], revisions: set[int]) -> None:
        with self._lock:
            if self._in_use is not None:
                fingerprints.add(self._in_use[0].fingerprint)
                revisions.add(self._in_use[1].revision)
            for fingerprint in [one for one in self._rules if one not in fingerprints][:-AT_HAND]:
                del self._rules[fingerprint]
            for revision in [one for one in self._registries if one not in revisions][:-AT_HAND]:
                del self._registries[revision]

    def _is_news(self, revision: int) -> bool:
        return revision not in self._registries and self._in_use is not None and revision > self._in_use[1].revision

    async def ready(self, fingerprints: Collection[str], revisions: Collection[int]) -> None:
        """:meth:`fetch`, for the event loop, until store and log answer."""
        for _ in range(_FOLLOW_STEPS):
            # Another worker announced what our own follower is about to bring: cheaper than to read the registry anew.
            if not any(self._is_news(revision) for revision in revisions):
                break
            await asyncio.sleep(_FOLLOW_S)
        while any(one and one not in self._rules for one in fingerprints) or any(r not in self._registries for r in revisions):
            try:
                await asyncio.to_thread(self.fetch, fingerprints, revisions)
                return
            except (StoreAway, Mend) as error:
                log.warning("former rules or registry cannot be read (%s); trying again", error)
                await asyncio.sleep(_RETRY_S)

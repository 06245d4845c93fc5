"""The incident stage of one city: signals and controls in, revisions of incidents out (pure; docs/interfaces.md).

A record goes through a short list of steps, each of which takes a signal and passes on signals: drop repeated → controls →
mute → fold outages → bursts → casebook (correlate, life cycle, escalate, prioritise, emit). A step has its own timers; the
stage fires what is due before the time all running sources have passed, the earliest first. Adding a step edits no other.

    stage = IncidentStage("340100", rules, registry, IncidentSettings())
    decided = stage.process(records)       # decided.incidents: revisions in order
    decided = stage.advance(now)           # a merged replay knows the time directly
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from streams.records import Control, Incident, Signal
from topologies.bursts import Bursts
from topologies.casebook import Casebook
from topologies.decided import Decided
from topologies.evidence_view import EvidenceViews
from topologies.incident_body import body
from topologies.incident_clock import Due, HighWater, Progress
from topologies.incident_settings import IncidentSettings
from topologies.incident_state import FORMAT, checked
from topologies.mutes import Mutes
from topologies.outage import Outages
from topologies.reference import Assets, Book
from topologies.rule_facts import RuleTable
from topologies.weighed import weigh

__all__ = ["Decided", "IncidentStage"]


class Step(Protocol):
    """Takes a signal and passes signals on, at once or when its own time has come; reasons go to ``decided``."""

    decided: Decided

    @property
    def timers(self) -> Due: ...
    def take(self, signal: Signal) -> Iterable[Signal]: ...
    def fire(self, now: int) -> Iterable[Signal]: ...


def _chain(steps: Sequence[Step]) -> list[Callable[[Signal], None]]:
    """For every step what sends a signal through it and those after it, each signal to the end before the next one."""
    into: list[Callable[[Signal], None]] = [lambda signal: None]
    for step in reversed(steps):
        into.insert(0, _link(step.take, into[0]))
    return into


def _link(take: Callable[[Signal], Iterable[Signal]], onward: Callable[[Signal], None]) -> Callable[[Signal], None]:
    def into(signal: Signal) -> None:
        for passed in take(signal):
            onward(passed)

    return into


class IncidentStage:
    """One per city. ``process`` never raises, whatever the records hold; the same records give the same bytes."""

    def __init__(self, city: str, rules: Book, registry: Assets, settings: IncidentSettings | None = None) -> None:
        self.city = city
        self.settings = settings or IncidentSettings()
        self._table = RuleTable(rules, self.settings)
        self._registry = registry
        self._offered_rules: dict[str, Book] = {}
        self._offered_registries: dict[int, Assets] = {}
        self._marks = HighWater()
        self._progress = Progress(round(self.settings.stall_s * 1000))
        self._mutes = Mutes(self.settings)
        self._bursts = Bursts(self.settings.burst)
        self._casebook = Casebook(city, self._table, registry, self.settings)
        self._outages = Outages(registry, self.settings.outage, self._casebook.absorb)
        self._steps: tuple[Step, ...] = (self._mutes, _Folding(self._outages, self), self._bursts, self._casebook)
        self._into = _chain(self._steps)
        #: A step keeps its timers for good, also when it is restored.
        self._clocks = [step.timers for step in self._steps]

    # --- records ------------------------------------------------------------------------------------------------------

    def process(self, records: Sequence[Signal | Control]) -> Decided:
        """Apply records in the order of ``city.signals``; where they are cut into calls changes nothing."""
        decided = self._begin()
        marks, progress = self._marks, self._progress
        for record in records:
            source = (record.source.topic, record.source.partition)
            if not marks.is_news(record.source):
                decided.repeated += 1
                progress.heard(source)
                continue
            if isinstance(record, Signal):
                if record.city != self.city:
                    decided.muted["other_city"] += 1
                else:
                    self._into[0](record)
                progress.advance(source, record.arrival_ts)
            else:
                self._control(record)
            low = progress.low
            if low is not None:
                self._fire(low)
        decided.open = self._casebook.open_count
        return decided

    def advance(self, now: int) -> Decided:
        """Arrival time is ``now`` and nothing older is to come: all timers due by then fire."""
        decided = self._begin()
        self._progress.floor(now)
        self._fire(now)
        decided.open = self._casebook.open_count
        return decided

    def _begin(self) -> Decided:
        decided = Decided()
        for step in self._steps:
            step.decided = decided
        return decided

    def _fire(self, low: int) -> None:
        """What is due by ``low``, the earliest first; at one time the earlier step first."""
        for timers in self._clocks:
            if timers.soonest <= low:
                break
        else:
            return  # as after most records
        while True:
            at, which = low + 1, -1
            for number, timers in enumerate(self._clocks):
                if timers.soonest < at and (due := timers.next()) is not None and due < at:
                    at, which = due, number
            if which < 0:
                return
            for signal in self._steps[which].fire(at):
                self._into[which + 1](signal)

    # --- controls -----------------------------------------------------------------------------------------------------

    def _control(self, control: Control) -> None:
        source = (control.source.topic, control.source.partition)
        if control.control == "tick":
            # Only who reports progress is waited for: mutes and feedback come when somebody writes one.
            self._progress.advance(source, control.arrival_ts)
            self._outages.tick(control)
        elif control.control == "mute":
            for signal in self._mutes.control(control):
                self._into[1](signal)
        elif control.control == "feedback" and control.feedback is not None:
            self._casebook.feedback(control.feedback, control.arrival_ts)
        elif control.control == "rules":
            rules = self._offered_rules.pop(control.fingerprint or "", None)
            if control.fingerprint != self._table.fingerprint:
                self._announced(rules, None, control)
        elif control.control == "registry":
            registry = self._offered_registries.pop(control.registry_revision or 0, None)
            # Not where another source was first, nor back where one that lags announces what was left behind already.
            if (control.registry_revision or 0) > self._registry.revision:
                self._announced(None, registry, control)

    def _announced(self, rules: Book | None, registry: Assets | None, control: Control) -> None:
        if rules is not None or registry is not None:
            self.switch(rules=rules, registry=registry)
        elif control.control == "rules":
            self._casebook.decided.noted["rules_awaited"] += 1
        else:
            self._casebook.decided.noted["registry_awaited"] += 1

    def offer(self, *, rules: Book | None = None, registry: Assets | None = None) -> None:
        """Make known what a control record will announce: the stage switches when it meets the record, live and in a replay."""
        if rules is not None:
            self._offered_rules[rules.fingerprint] = rules
        if registry is not None:
            self._offered_registries[registry.revision] = registry

    def switch(self, *, rules: Book | None = None, registry: Assets | None = None) -> None:
        """Other rules or another registry from the next record on; open incidents stay and are judged anew when they change."""
        if rules is not None:
            self._table = RuleTable(rules, self.settings)
        if registry is not None:
            self._registry = self._outages.registry = registry
        self._casebook.switch(self._table, self._registry)

    # --- questions and state ------------------------------------------------------------------------------------------

    def open_incidents(self) -> list[Incident]:
        """Open incidents as they stand, in order of id; what is counted but not told yet (see ``then_growth``) is in them."""
        found = [one for one in self._casebook.incidents.values() if one.is_open]
        views, weights = EvidenceViews(self.settings.evidence_shown), self.settings.weights
        return [
            body(one, weigh(one), views, one.last_event, one.last_why, one.updated_ts, weights)
            for one in sorted(found, key=lambda one: one.incident_id)
        ]

    def open_counts(self) -> Counter[tuple[str, int]]:
        """Open incidents per (category, level)."""
        return Counter((one.category, one.level) for one in self._casebook.incidents.values() if one.is_open)

    def settle(self) -> None:
        """Encode for the next snapshot what has changed. Called after a batch, it keeps a checkpoint from waiting for all."""
        self._casebook.written.settle()
        self._bursts.written.settle()

    def snapshot(self) -> dict[str, Any]:
        """Plain tree of numbers, text and lists; with it and the records after it the stage goes on as if never stopped."""
        return {
            "format": FORMAT,
            "city": self.city,
            "marks": self._marks.snapshot(),
            "progress": self._progress.snapshot(),
            "mutes": self._mutes.snapshot(),
            "outages": self._outages.snapshot(),
            "bursts": self._bursts.snapshot(),
            "casebook": self._casebook.snapshot(),
        }

    @classmethod
    def restore(
        cls, saved: dict[str, Any], rules: Book, registry: Assets, settings: IncidentSettings | None = None
    ) -> IncidentStage:
        """The stage a snapshot was taken of. Raises Mend where the snapshot is of another format or is damaged."""
        checked(saved)
        stage = cls(saved["city"], rules, registry, settings)
        stage._marks = HighWater(tuple(mark) for mark in saved["marks"])
        stage._progress = Progress(round(stage.settings.stall_s * 1000), saved["progress"])
        stage._mutes.restore(saved["mutes"])
        stage._outages.restore(saved["outages"])
        stage._bursts.restore(saved["bursts"])
        stage._casebook.restore(saved["casebook"])
        return stage


class _Folding:
    """Silences of devices are folded; everything else passes. An alarm of a device that falls silent is told of it first."""

    def __init__(self, outages: Outages, stage: IncidentStage) -> None:
        self._outages = outages
        self._stage = stage

    @property
    def decided(self) -> Decided:
        return self._outages.decided

    @decided.setter
    def decided(self, decided: Decided) -> None:
        self._outages.decided = decided

    @property
    def timers(self) -> Due:
        return self._outages.timers

    def take(self, signal: Signal) -> Iterable[Signal]:
        if signal.rule == self._stage.settings.outage.stream_rule and not (signal.exercise or signal.historical):
            return self._outages.stream(signal)
        if signal.category != "device" or not self._stage._table.of(signal).silence:
            return (signal,)
        if signal.phase == "cleared":
            self._stage._casebook.speaks_again(signal)
        else:
            self._stage._casebook.fell_silent(signal)
        if signal.exercise or signal.historical:
            return (signal,)  # a drill or an old silence is not the outage of now
        return self._outages.take(signal)

    def fire(self, now: int) -> Iterable[Signal]:
        return self._outages.fire(now)

"""What the incident stage needs of a rule, looked up by the name a signal carries.

A signal may name a rule the book no longer has (it was decided before a switch): the facts then come from the signal and the
settings, and nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from detectors.families import Family
from streams.records import Signal
from topologies.bursts import PREFIX
from topologies.incident_settings import IncidentSettings
from topologies.reference import Book


@dataclass(slots=True, frozen=True)
class RuleFacts:
    """``known`` is False where the book does not have the rule."""

    known: bool
    family: str
    title: str
    lead: str
    assist: tuple[str, ...]
    confirm_min: float | None
    dispatch_min: float | None
    handle: str
    resolve_after_ms: int
    radius_m: float
    shadow: bool
    #: False: evidence for the incidents of others only.
    opens: bool
    #: How many witnesses open one all the same; None: however many do not.
    opens_with: int | None
    #: The rule speaks of the device's own silence: its signals are folded (D9).
    silence: bool


class RuleTable:
    """Facts of the rules of one book, by name."""

    def __init__(self, book: Book, settings: IncidentSettings) -> None:
        self._settings = settings
        self.fingerprint = book.fingerprint
        self.families: dict[str, Family] = dict(book.families)
        self.default_family = Family(
            name="other",
            title="",
            title_zh="",
            categories=["other"],
            radius_m=settings.default_radius_m,
            within_s=settings.default_within_s,
        )
        self._facts = {
            rule.name: RuleFacts(
                known=True,
                family=rule.family,
                title=rule.title,
                lead=rule.department.lead,
                assist=tuple(rule.department.assist),
                confirm_min=rule.deadlines.confirm_min,
                dispatch_min=rule.deadlines.dispatch_min,
                handle=rule.deadlines.handle,
                resolve_after_ms=round(rule.resolve_after_s * 1000),
                radius_m=rule.radius_m,
                shadow=rule.shadow,
                opens=rule.opens,
                opens_with=rule.opens_with,
                silence=rule.category == "device" and rule.detector.get("use") == "silence",
            )
            for rule in book.rules
        }

    def of(self, signal: Signal) -> RuleFacts:
        return self.named(signal.rule) or self._unknown(signal)

    def _unknown(self, signal: Signal) -> RuleFacts:
        settings = self._settings
        return RuleFacts(
            known=False,
            family=signal.category,
            title=signal.hazard or signal.rule,
            lead=settings.default_department,
            assist=(),
            confirm_min=None,
            dispatch_min=None,
            handle="",
            resolve_after_ms=round(settings.default_resolve_after_s * 1000),
            radius_m=settings.default_radius_m,
            shadow=False,
            opens=True,
            opens_with=None,
            silence=False,
        )

    def named(self, rule: str) -> RuleFacts | None:
        """Facts by name; a burst of calls has those of the calls' rule."""
        return self._facts.get(rule) or self._facts.get(rule.removeprefix(PREFIX))

    def family(self, name: str) -> Family:
        return self.families.get(name, self.default_family)

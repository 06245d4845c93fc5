"""Correlation families: which signals may become one incident, and which witnesses together make it worse.

The data stands in ``detectors/rules/families.toml``; the incident stage reads it through :class:`Families`. One family is
one kind of happening, however many streams, hazards and departments see it::

    [[family]]
    name = "gas"
    title = "Gas leak"
    title_zh = "燃气泄漏"
    categories = ["gas"]            # of the rules that name this family, and of its incidents
    radius_m = 300                  # a signal joins an open incident of the family this near …
    within_s = 1800                 # … whose latest signal is at most this much older or younger (event time)
    related = ["fire"]              # signals of these families may join an incident of this family too

    [[family.escalate]]             # any number; every one that holds is applied, the most severe level wins
    name = "callers-and-methane"
    level = 1                       # the incident becomes at least this severe
    hazard = "GAS-03"               # optional: and carries this hazard code
    reason = "2 callers within 300 m in 30 min, and methane"
    [[family.escalate.needs]]       # all needs must hold among the incident's signals
    streams = ["hotline"]           # which signals count; a list left out does not restrict
    rules = ["gas-smell-call"]
    witnesses = 2                   # distinct witnesses (masked caller, else entity) at the least
    [[family.escalate.needs]]
    hazards = ["GAS-01", "GAS-02"]
    min_value = 10                  # and the signal's value is at least this, in its metric's canonical unit

**Joining is directed.** ``related`` of family F names families whose signals may join an incident of F. A signal belongs to
its own family's incident first. Where both directions are wanted, both families say so.

**A guest** is a relative whose own happening is only an effect of this one: water on the road where a main has burst::

    [[family.guest]]
    family = "ponding"
    rules = ["ponding-video"]       # which of its signals; all where it is left out
    given = ["water-burst-call"]    # only where the incident holds evidence of one of these rules; always where left out
    radius_m = 300                  # instead of the nearer reach of the two

Whichever came first, it is one incident of the host's family: an open incident of the guest is taken over, under its id, by the
first signal of the host that fits (one of ``given``, where that is named). Escalations of the guest go on to count.

**A need** is met by the incident's signals that have one of its ``hazards``, ``rules``, ``streams`` (each list that is given),
and a value of at least ``min_value`` where that is given, provided that ``witnesses`` distinct ones lie within ``radius_m`` of
each other's centre and ``within_s`` of each other (defaults: the family's; without a ``within_s`` of its own an alarm that
stands reaches up to now). ``active_only`` leaves out cleared ones. Different needs of one escalation must be met by different
signals, and by different callers; their places must agree within the larger of their radii.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from streams.records import Level

FAMILIES_FILE = "families.toml"

HAZARD_PATTERN = r"^[A-Z]{2,4}-\d{2}$"
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Hazard = Annotated[str, Meta(pattern=HAZARD_PATTERN)]
Positive = Annotated[float, Meta(gt=0)]


class Need(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of witness an escalation asks for (see the module)."""

    hazards: list[Hazard] = []
    rules: list[Name] = []
    streams: list[str] = []
    witnesses: Annotated[int, Meta(ge=1)] = 1
    radius_m: Positive | None = None
    within_s: Positive | None = None
    min_value: float | None = None
    active_only: bool = False


class Escalation(Struct, frozen=True, forbid_unknown_fields=True):
    """A compound condition as data: what must come together, and what the incident becomes then."""

    name: Name
    needs: Annotated[list[Need], Meta(min_length=1)]
    level: Level
    reason: Annotated[str, Meta(min_length=1)]
    hazard: Hazard | None = None


class Guest(Struct, frozen=True, forbid_unknown_fields=True):
    """A family whose happening is an effect of the host's (see the module)."""

    family: Name
    rules: list[Name] = []
    given: list[Name] = []
    radius_m: Positive | None = None


class Family(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of happening: its reach in metres and seconds, its categories, relatives and escalations."""

    name: Name
    title: str
    title_zh: str
    categories: Annotated[list[Name], Meta(min_length=1)]
    radius_m: Positive
    within_s: Positive
    related: list[Name] = []
    escalate: list[Escalation] = []
    #: An important target (school, hospital, dense housing) this near raises an incident one step; None: never.
    target_radius_m: Positive | None = None
    #: Two independent kinds of streams that agree raise an incident one step.
    agree_raises: bool = False
    guest: list[Guest] = []
    #: Callers say a place, devices have one: a call joins what another call opened within this; None: ``radius_m`` for all.
    call_radius_m: Positive | None = None
    #: The same thing returning this soon after resolution is the same incident; None: the stage's setting.
    reopen_s: Positive | None = None
    #: An alarm raised so often within a day chatters: its incident stays, and is told no more (domain E1-7); None: never.
    latch_after: Annotated[int, Meta(ge=2, le=20)] | None = None


class FamilyTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The file as a whole."""

    family: list[Family] = []


class Families(Mapping[str, Family]):
    """The families by name.

    >>> gas = Family("gas", "Gas leak", "燃气泄漏", ["gas"], radius_m=300, within_s=1800, related=["fire"])
    >>> fire = Family("fire", "Fire", "火情", ["fire"], radius_m=500, within_s=900)
    >>> families = Families(FamilyTable([gas, fire]))
    >>> families.may_join("fire", "gas"), families.may_join("gas", "fire")
    (True, False)
    """

    def __init__(self, table: FamilyTable) -> None:
        self._by_name = {family.name: family for family in table.family}

    def __getitem__(self, name: str) -> Family:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def guest(self, family: str, host: str) -> Guest | None:
        """How ``family`` is a guest of ``host``; None where it is not."""
        known = self._by_name.get(host)
        return next((guest for guest in known.guest if guest.family == family), None) if known is not None else None

    def may_join(self, family: str, incident_family: str) -> bool:
        """Whether a signal of ``family`` may join an incident of ``incident_family``."""
        return family == incident_family or family in self._by_name[incident_family].related

    def canonical(self) -> Any:
        """Plain tree for the book's fingerprint: titles and reasons are not part of an answer's making."""
        tree = msgspec.to_builtins([self._by_name[name] for name in sorted(self._by_name)])
        for family in tree:
            del family["title"], family["title_zh"]
        return tree


def problems(table: FamilyTable) -> list[tuple[str, str, str]]:
    """What is wrong between the entries, each as ``(place, what, mend)``; types were checked when the table was read."""
    found: list[tuple[str, str, str]] = []
    names = [family.name for family in table.family]
    for i, family in enumerate(table.family):
        place = f"family[{i}]"
        if family.name in names[:i]:
            found.append((f"{place}.name", f"a second family {family.name!r}", "give it another name or join the two"))
        found += [
            (f"{place}.related", f"no family {related!r}", f"known are {', '.join(sorted(names))}")
            for related in family.related
            if related not in names
        ]
        for k, guest in enumerate(family.guest):
            if guest.family not in names or guest.family == family.name:
                mend = f"known are {', '.join(sorted(set(names) - {family.name}))}"
                found.append((f"{place}.guest[{k}].family", f"no other family {guest.family!r}", mend))
            if guest.family in family.related or guest.family in [other.family for other in family.guest[:k]]:
                mend = "name it once, as related or as a guest"
                found.append((f"{place}.guest[{k}].family", f"{guest.family!r} is named already", mend))
            hosts = [other for other in table.family if other.name == guest.family]
            if any(back.family == family.name for host in hosts for back in host.guest):
                mend = "one of the two is the cause: let it be the host"
                found.append((f"{place}.guest[{k}].family", f"{guest.family!r} is host and guest of {family.name!r}", mend))
        seen: set[str] = set()
        for k, escalation in enumerate(family.escalate):
            where = f"{place}.escalate[{k}]"
            if escalation.name in seen:
                found.append((f"{where}.name", f"a second escalation {escalation.name!r}", "give it another name"))
            seen.add(escalation.name)
            for n, need in enumerate(escalation.needs):
                if not (need.hazards or need.rules or need.streams):
                    mend = "name the hazards, rules or streams that count"
                    found.append((f"{where}.needs[{n}]", "a need without any condition would always hold", mend))
                unknown = sorted(set(need.streams) - {"sensor", "group", "vehicle", "video", "hotline"})
                if unknown:
                    mend = "streams are sensor, group, vehicle, video, hotline"
                    found.append((f"{where}.needs[{n}].streams", f"no stream {unknown[0]!r}", mend))
    return found

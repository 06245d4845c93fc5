"""What is known of one series: whose it is, and the facts of the registry that hold at the time.

There is one for every slot of every partition, so it holds two things and no more: the asset's facts, which the registry has
anyway, and its role, which thousands of series have alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from streams.asset_facts import NOTHING, Common, Facts, position_of


class Role(msgspec.Struct, frozen=True, gc=False):
    """What a series is in its stream. ``own``: it is what the asset's metric, limits and interval were written for, and not
    another metric of the same device."""

    metric: str | None
    stream: str
    registered: bool
    awaited: bool
    unit: str | None
    kind: str | None
    own: bool

    @property
    def paced(self) -> bool:
        """Whether the asset's interval is the series' too. A camera is heard per kind of event, of which most stay away for
        days: silence of one kind says nothing."""
        return self.own and self.stream != "video"


#: One object for all that are alike.
role_of = lru_cache(maxsize=4096)(Role)
_common_of = lru_cache(maxsize=1024)(Common)


class Series:
    """``limits`` are in the metric's canonical unit. ``interval_s`` and the two numbers after it are the three numbers of
    silence (D9). ``attributes`` are the registry's. ``registered`` is False for an entity the registry does not know;
    ``awaited`` for a registered one whose records go to another partition (partitions were added to the topic): that no
    more of it comes here is no silence. Not to be changed; equal are those that say the same.

    >>> Series("GAS-1", "ch4", city="340100", limits={"high": 20.0})
    Series('GAS-1', metric='ch4', city='340100', limits={'high': 20.0})
    """

    __slots__ = ("facts", "role")

    def __init__(
        self,
        entity: str,
        metric: str | None = None,
        stream: str = "sensor",
        registered: bool = False,
        awaited: bool = True,
        city: str = "",
        lat: float | None = None,
        lon: float | None = None,
        grid_code: str | None = None,
        gateway: str | None = None,
        group: str | None = None,
        unit: str | None = None,
        kind: str | None = None,
        interval_s: float | None = None,
        report_after_s: float | None = None,
        give_up_after_s: float | None = None,
        limits: Mapping[str, float] = NOTHING,
        attributes: Mapping[str, Any] = NOTHING,
    ) -> None:
        """One the registry has no facts of, or others."""
        common = _common_of("", None, city, None, None, interval_s, report_after_s, give_up_after_s, (), None, None)
        position = position_of(lat, lon)
        self.facts = Facts(entity, 0, position, grid_code, group, gateway, limits, attributes, common)
        self.role: Role = role_of(metric, stream, registered, awaited, unit, kind, True)

    @classmethod
    def of(cls, facts: Facts, role: Role) -> Series:
        """The series of a registered asset."""
        found = cls.__new__(cls)
        found.facts, found.role = facts, role
        return found

    @property
    def entity(self) -> str:
        return self.facts.asset_id

    @property
    def metric(self) -> str | None:
        return self.role.metric

    @property
    def stream(self) -> str:
        return self.role.stream

    @property
    def registered(self) -> bool:
        return self.role.registered

    @property
    def awaited(self) -> bool:
        return self.role.awaited

    @property
    def city(self) -> str:
        return self.facts.common.city or ""

    @property
    def lat(self) -> float | None:
        return self.facts.lat

    @property
    def lon(self) -> float | None:
        return self.facts.lon

    @property
    def grid_code(self) -> str | None:
        return self.facts.grid_code

    @property
    def gateway(self) -> str | None:
        return self.facts.gateway

    @property
    def group(self) -> str | None:
        return self.facts.group

    @property
    def unit(self) -> str | None:
        """Canonical unit of the metric."""
        return self.role.unit

    @property
    def kind(self) -> str | None:
        return self.role.kind

    @property
    def interval_s(self) -> float | None:
        return self.facts.common.interval_s if self.role.paced else None

    @property
    def report_after_s(self) -> float | None:
        return self.facts.common.report_after_s if self.role.paced else None

    @property
    def give_up_after_s(self) -> float | None:
        return self.facts.common.give_up_after_s if self.role.paced else None

    @property
    def limits(self) -> Mapping[str, float]:
        return self.facts.limits if self.role.own else NOTHING

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.facts.attributes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Series):
            return NotImplemented
        if self.facts is other.facts and self.role is other.role:
            return True
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    def __repr__(self) -> str:
        told = {name: value for name in _FIELDS[1:] if (value := getattr(self, name)) != getattr(_BLANK, name)}
        said = (f", {name}={dict(value) if isinstance(value, Mapping) else value!r}" for name, value in told.items())
        return f"Series({self.entity!r}{''.join(said)})"


_FIELDS = (
    *("entity", "metric", "stream", "registered", "awaited", "city", "lat", "lon", "grid_code", "gateway", "group", "unit"),
    *("kind", "interval_s", "report_after_s", "give_up_after_s", "limits", "attributes"),
)
_BLANK = Series("")

"""What holds for an asset, read from its periods once: :class:`Facts`, and what is wrong with them.

A city has a hundred thousand assets, and of most it says the same: a kind, a metric, an interval, a department. That is
:class:`Common`, one object for all that are alike, and what an asset has of its own is as small as it can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from streams.event_time import epoch_ms
from streams.geography import to_wgs84
from streams.records import Asset, Period
from streams.units import conversion, limits_in_canonical

NOTHING: Mapping[str, Any] = MappingProxyType({})
T = TypeVar("T")


class Common(msgspec.Struct, frozen=True, gc=False):
    """What many assets have alike. Fields as in :class:`Facts`."""

    kind: str
    valid_to: int | None
    city: str | None
    metric: str | None
    unit: str | None
    interval_s: float | None
    report_after_s: float | None
    give_up_after_s: float | None
    sentinels: tuple[float, ...]
    owner: str | None
    department: str | None


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What holds for an asset from ``valid_from`` (inclusive) to ``valid_to`` (exclusive, None: until further notice).

    Positions are WGS-84 degrees or None; times epoch milliseconds. ``limits`` are in the metric's canonical unit; ``unit`` and
    ``sentinels`` are as the device sends.
    """

    asset_id: str
    valid_from: int
    #: Longitude and latitude as a complex number, which weighs half of what two numbers do; ask ``lat`` and ``lon``.
    position: complex | None
    grid_code: str | None
    group: str | None
    gateway: str | None
    limits: Mapping[str, float]
    attributes: Mapping[str, Any]
    common: Common

    @property
    def lat(self) -> float | None:
        return None if self.position is None else self.position.imag

    @property
    def lon(self) -> float | None:
        return None if self.position is None else self.position.real

    @property
    def kind(self) -> str:
        return self.common.kind

    @property
    def valid_to(self) -> int | None:
        return self.common.valid_to

    @property
    def city(self) -> str | None:
        return self.common.city

    @property
    def metric(self) -> str | None:
        return self.common.metric

    @property
    def unit(self) -> str | None:
        return self.common.unit

    @property
    def interval_s(self) -> float | None:
        return self.common.interval_s

    @property
    def report_after_s(self) -> float | None:
        return self.common.report_after_s

    @property
    def give_up_after_s(self) -> float | None:
        return self.common.give_up_after_s

    @property
    def sentinels(self) -> tuple[float, ...]:
        return self.common.sentinels

    @property
    def owner(self) -> str | None:
        return self.common.owner

    @property
    def department(self) -> str | None:
        return self.common.department

    def holds_at(self, ts: int) -> bool:
        return self.valid_from <= ts and (self.valid_to is None or ts < self.valid_to)


def position_of(lat: float | None, lon: float | None) -> complex | None:
    """Of degrees, as :class:`Facts` keep it."""
    return None if lat is None or lon is None else complex(lon, lat)


class FactReader:
    """Facts of assets that are read together. What is alike in them is one object: by its JSON, for 1, 1.0 and True are equal
    and not the same. It lives as long as the reading, so that nothing is kept of what no asset says any more.
    """

    def __init__(self) -> None:
        self._words: dict[Any, Any] = {}
        self._commons: dict[bytes, Common] = {}
        self._tables: dict[bytes, Mapping[str, Any]] = {}

    def read(self, asset: Asset) -> tuple[tuple[Facts, ...], list[str]]:
        """The asset's periods in time order, and what is wrong with them. Where two overlap, the later one holds from its
        start."""
        flaws: list[str] = []
        found: list[tuple[int, int | None, int, Period]] = []
        for number, period in enumerate(asset.periods, 1):
            try:
                start = epoch_ms(period.from_)
                end = None if period.to is None else epoch_ms(period.to)
            except (ValueError, OverflowError) as error:
                flaws.append(f"period {number}: {error}; the period is left out")
                continue
            if end is not None and start >= end:
                flaws.append(f"period {number}: from is not before to; the period is left out")
                continue
            found.append((start, end, number, period))
        if not asset.periods:
            flaws.append("no period; nothing holds for it")
        found.sort(key=lambda entry: (entry[0], entry[2]))
        facts: list[Facts] = []
        # A copy: the name as it was read lies among what is forgotten with the reading, and would hold all that memory.
        name = asset.asset_id.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
        for i, (start, end, number, period) in enumerate(found):
            after = found[i + 1] if i + 1 < len(found) else None
            if after is not None and (end is None or end > after[0]):
                if end is not None or after[0] == start:
                    flaws.append(f"period {number} overlaps period {after[2]}; it ends where that one begins")
                end = after[0]
                if start == end:
                    continue
            facts.append(self._facts(name, asset.kind, period, start, end, f"period {number}", flaws))
        return tuple(facts), flaws

    def _facts(self, name: str, kind: str, period: Period, start: int, end: int | None, place: str, flaws: list[str]) -> Facts:
        position = _position(period, place, flaws)
        if period.metric is not None and conversion(period.metric, period.unit) is None:
            flaws.append(
                f"{place}: unit {period.unit!r} does not fit metric {period.metric!r}; its readings without a unit are refused"
            )
        common = Common(
            kind,
            end,
            period.city,
            period.metric,
            period.unit,
            period.interval_s,
            period.report_after_s,
            period.give_up_after_s,
            tuple(period.sentinels),
            period.owner,
            period.department,
        )
        return Facts(
            name,
            self._word(start),
            position,
            self._word(period.grid_code),
            self._word(period.group),
            self._word(period.gateway),
            self._table(limits_in_canonical(period.metric, period.unit, period.limits)),
            self._table(dict(period.attributes)),
            self._commons.setdefault(msgspec.json.encode(common), common),
        )

    def _word(self, word: T) -> T:
        held: T = self._words.setdefault(word, word)
        return held

    def _table(self, table: dict[str, Any]) -> Mapping[str, Any]:
        """Not to be changed; most say nothing, and these are one and the same."""
        return self._tables.setdefault(msgspec.json.encode(table), MappingProxyType(table)) if table else NOTHING


def _position(period: Period, place: str, flaws: list[str]) -> complex | None:
    lat, lon = period.lat, period.lon
    if (lat is None) != (lon is None):
        flaws.append(f"{place}: only one of lat and lon; taken as without position")
    if lat is None or lon is None:
        return None
    try:
        lat, lon = to_wgs84(lat, lon, period.crs)
    except ValueError as error:
        flaws.append(f"{place}: {error}; taken as without position")
        return None
    if not (abs(lat) <= 90 and abs(lon) <= 180) or lat == lon == 0:
        flaws.append(
            f"{place}: position {lat}, {lon} is not on Earth or is the zero of an unset device; taken as without position"
        )
        return None
    return position_of(lat, lon)

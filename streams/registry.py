"""Registry: what is known of every asset, and when it held.

A registry is a value: every change gives a new one, so a batch is judged by one registry from its first row to its last, and a
replay can hold the registry of any moment. An asset's periods are read once into :class:`Facts`; what is wrong in them is
said in :attr:`Registry.problems` and never raises, because the registry is input like any other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import msgspec

from streams.asset_words import understood
from streams.codec import decode_record, encode
from streams.event_time import epoch_ms
from streams.geography import METRES_PER_DEGREE, cell, haversine_m, metres_per_degree, to_wgs84
from streams.records import Asset, Period
from streams.units import conversion, limits_in_canonical
from streams.unreadable import Cause

_CELL_DEG = 0.01
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_unpacked = msgspec.json.Decoder(Asset).decode


@dataclass(slots=True, frozen=True)
class Facts:
    """What holds for an asset from ``valid_from`` (inclusive) to ``valid_to`` (exclusive, None: until further notice).

    Positions are WGS-84 degrees or None; times epoch milliseconds. ``limits`` are in the metric's canonical unit; ``unit`` and
    ``sentinels`` are as the device sends.
    """

    asset_id: str
    kind: str
    valid_from: int
    valid_to: int | None = None
    lat: float | None = None
    lon: float | None = None
    city: str | None = None
    grid_code: str | None = None
    group: str | None = None
    gateway: str | None = None
    metric: str | None = None
    unit: str | None = None
    interval_s: float | None = None
    report_after_s: float | None = None
    give_up_after_s: float | None = None
    limits: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    sentinels: tuple[float, ...] = ()
    owner: str | None = None
    department: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def holds_at(self, ts: int) -> bool:
        return self.valid_from <= ts and (self.valid_to is None or ts < self.valid_to)


class Registry:
    """All assets at one revision. ``revision`` is the next offset of ``city.registry`` that is not yet applied."""

    def __init__(
        self,
        assets: Mapping[str, bytes] = _NOTHING,
        facts: Mapping[str, Facts | tuple[Facts, ...]] = _NOTHING,
        flaws: Mapping[str, tuple[str, ...]] = _NOTHING,
        revision: int = 0,
    ) -> None:
        #: As JSON: objects would be most of what a sensor weighs, and are seldom asked for.
        self._assets = assets
        #: Of nearly all there is one, and a tuple around it would weigh a quarter of it.
        self._facts = facts
        self._flaws = flaws
        self.revision = revision

    @classmethod
    def from_assets(cls, assets: Iterable[Asset], revision: int = 0) -> Registry:
        """Of several assets with one id the last one holds, as in a compacted topic."""
        return cls().with_assets(assets, revision=revision)

    @classmethod
    def from_jsonl(cls, lines: Iterable[str | bytes], revision: int = 0) -> Registry:
        """Assets from JSON lines; a line that cannot be read is a problem (``line 3: …``), never an error."""
        assets: list[Asset] = []
        bad: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(lines, 1):
            data = line.encode("utf-8", "replace") if isinstance(line, str) else line
            if not data.strip():
                continue
            found = decode_record(Asset, data)
            if isinstance(found, Cause):
                bad[f"line {number}"] = (f"{found.reason} at {found.path}: {found.detail}",)
            else:
                assets.append(found)
        return cls(flaws=bad).with_assets(assets, revision=revision)

    def with_assets(self, assets: Iterable[Asset] = (), gone: Iterable[str] = (), revision: int | None = None) -> Registry:
        """A registry with these assets set and those gone: one copy for any number of changes."""
        held, facts, flaws = dict(self._assets), dict(self._facts), dict(self._flaws)
        for asset_id in gone:
            for table in (held, facts, flaws):
                table.pop(asset_id, None)
        for told in assets:
            asset = understood(told)
            held[asset.asset_id] = encode(asset)
            periods, wrong = _read(asset)
            facts[asset.asset_id] = periods[0] if len(periods) == 1 else periods
            flaws.pop(asset.asset_id, None)
            if wrong:
                flaws[asset.asset_id] = tuple(wrong)
        return Registry(held, facts, flaws, self.revision if revision is None else revision)

    def with_asset(self, asset: Asset, revision: int | None = None) -> Registry:
        return self.with_assets([asset], revision=revision)

    def without(self, asset_id: str, revision: int | None = None) -> Registry:
        return self.with_assets(gone=[asset_id], revision=revision)

    # --- one asset --------------------------------------------------------------------------------------------------------

    def at(self, asset_id: str, ts: int) -> Facts | None:
        """The facts that hold at ``ts``; None for an unknown asset, and outside its periods."""
        for facts in reversed(self.periods(asset_id)):
            if facts.valid_from <= ts:
                return facts if facts.valid_to is None or ts < facts.valid_to else None
        return None

    def latest(self, asset_id: str) -> Facts | None:
        """The facts of the asset's last period, whenever that is."""
        periods = self.periods(asset_id)
        return periods[-1] if periods else None

    def periods(self, asset_id: str) -> tuple[Facts, ...]:
        """All periods of an asset in time order, not overlapping."""
        held = self._facts.get(asset_id, ())
        return (held,) if isinstance(held, Facts) else held

    def asset(self, asset_id: str) -> Asset | None:
        """The asset as it was written."""
        held = self._assets.get(asset_id)
        return None if held is None else _unpacked(held)

    def __contains__(self, asset_id: object) -> bool:
        return asset_id in self._assets

    def __len__(self) -> int:
        return len(self._assets)

    # --- many assets (``ts`` None: by each asset's last period) -----------------------------------------------------------

    def assets(self, kind: str | None = None, ts: int | None = None) -> list[Facts]:
        """Facts of all assets (of a kind), in order of id."""
        if ts is None and kind is not None:
            return list(self._last_of_kind.get(kind, ()))
        return [f for asset_id in self._ordered if (f := self._when(asset_id, ts)) and (kind is None or f.kind == kind)]

    def near(
        self, lat: float, lon: float, radius_m: float, kinds: Iterable[str] | None = None, ts: int | None = None
    ) -> list[tuple[Facts, float]]:
        """Assets (of some kinds) within ``radius_m`` with their distances in metres, the nearest first."""
        if not (math.isfinite(lat) and math.isfinite(lon) and abs(lat) <= 90 and radius_m >= 0):
            return []
        wanted = None if kinds is None else frozenset(kinds)
        found = []
        for facts in self._around(lat, lon, radius_m):
            if (wanted is not None and facts.kind not in wanted) or self._when(facts.asset_id, ts) is not facts:
                continue
            assert facts.lat is not None and facts.lon is not None
            distance = haversine_m(float(lat), float(lon), facts.lat, facts.lon)
            if distance <= radius_m:
                found.append((facts, distance))
        return sorted(found, key=lambda hit: (hit[1], hit[0].asset_id))

    def groups(self) -> list[str]:
        return sorted(self._by["group"])

    def members(self, group: str, ts: int | None = None) -> list[str]:
        """Ids of the assets in a group, in order."""
        return self._of("group", group, ts)

    def gateways(self) -> list[str]:
        return sorted(self._by["gateway"])

    def behind(self, gateway: str, ts: int | None = None) -> list[str]:
        """Ids of the assets that report through a gateway, in order."""
        return self._of("gateway", gateway, ts)

    def cities(self) -> list[str]:
        return sorted(self._by["city"])

    # --- as a whole -------------------------------------------------------------------------------------------------------

    @property
    def problems(self) -> list[str]:
        """What is wrong in it, one line each, in order of asset: ``GAS-1: period 2: unknown crs 'mars'; …``."""
        return [f"{asset_id}: {flaw}" for asset_id in sorted(self._flaws) for flaw in self._flaws[asset_id]]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the content; the same assets give the same one, whatever their order and revision."""
        digest = hashlib.blake2b(digest_size=8)
        for line in self.lines():
            digest.update(line + b"\n")
        return digest.hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Every asset as JSON, in order of id: the snapshot a bag carries."""
        for asset_id in self._ordered:
            yield self._assets[asset_id]

    @cached_property
    def dates(self) -> list[int]:
        """All times (ms) at which the facts of any asset change by date, ascending."""
        every = (facts for asset_id in self._facts for facts in self.periods(asset_id))
        return sorted({date for facts in every for date in (facts.valid_from, facts.valid_to) if date is not None})

    @cached_property
    def _ordered(self) -> list[str]:
        return sorted(self._assets)

    @cached_property
    def _last_of_kind(self) -> dict[str, list[Facts]]:
        """Every partition's stage asks for those with fences: one pass over the registry is enough for all of them."""
        found: dict[str, list[Facts]] = {}
        for asset_id in self._ordered:
            if (facts := self.latest(asset_id)) is not None:
                found.setdefault(facts.kind, []).append(facts)
        return found

    def _when(self, asset_id: str, ts: int | None) -> Facts | None:
        return self.latest(asset_id) if ts is None else self.at(asset_id, ts)

    def _of(self, field_name: str, value: str, ts: int | None) -> list[str]:
        """Assets of which ``field_name`` is ``value``; the index holds all periods, so the moment is asked again."""
        return [
            asset_id
            for asset_id in self._by[field_name].get(value, ())
            if (facts := self._when(asset_id, ts)) and getattr(facts, field_name) == value
        ]

    @cached_property
    def _by(self) -> dict[str, dict[str, list[str]]]:
        """Field → value → ids, over all periods; made at the first question after a change."""
        index: dict[str, dict[str, dict[str, None]]] = {"group": {}, "gateway": {}, "city": {}}
        for asset_id in self._ordered:
            for facts in self.periods(asset_id):
                for name, table in index.items():
                    value = getattr(facts, name)
                    if value is not None:
                        table.setdefault(value, {})[asset_id] = None
        return {name: {value: list(ids) for value, ids in table.items()} for name, table in index.items()}

    @cached_property
    def _cells(self) -> dict[tuple[int, int], list[Facts]]:
        cells: dict[tuple[int, int], list[Facts]] = {}
        for asset_id in self._facts:
            for facts in self.periods(asset_id):
                if facts.lat is not None and facts.lon is not None:
                    cells.setdefault(cell(facts.lat, facts.lon, _CELL_DEG), []).append(facts)
        return cells

    def _around(self, lat: float, lon: float, radius_m: float) -> Iterator[Facts]:
        dlat = radius_m / METRES_PER_DEGREE
        dlon = radius_m / max(metres_per_degree(min(89.0, abs(lat) + dlat))[1], 1.0)
        south, west = cell(lat - dlat, lon - dlon, _CELL_DEG)
        north, east = cell(lat + dlat, lon + dlon, _CELL_DEG)
        wraps = lon - dlon < -180 or lon + dlon > 180 or abs(lat) + dlat > 89
        if wraps or (north - south + 1) * (east - west + 1) > len(self._cells):
            for held in self._cells.values():
                yield from held
            return
        for row in range(south, north + 1):
            for column in range(west, east + 1):
                yield from self._cells.get((row, column), ())


# --- reading an asset ---------------------------------------------------------------------------------------------------------


def _read(asset: Asset) -> tuple[tuple[Facts, ...], list[str]]:
    """The asset's periods in time order, and what is wrong with them. Where two overlap, the later one holds from its start."""
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
    for i, (start, end, number, period) in enumerate(found):
        after = found[i + 1] if i + 1 < len(found) else None
        if after is not None and (end is None or end > after[0]):
            if end is not None or after[0] == start:
                flaws.append(f"period {number} overlaps period {after[2]}; it ends where that one begins")
            end = after[0]
            if start == end:
                continue
        facts.append(_facts(asset, period, start, end, f"period {number}", flaws))
    return tuple(facts), flaws


def _facts(asset: Asset, period: Period, start: int, end: int | None, place: str, flaws: list[str]) -> Facts:
    lat, lon = period.lat, period.lon
    if (lat is None) != (lon is None):
        flaws.append(f"{place}: only one of lat and lon; taken as without position")
        lat = lon = None
    if lat is not None and lon is not None:
        try:
            lat, lon = to_wgs84(lat, lon, period.crs)
        except ValueError as error:
            flaws.append(f"{place}: {error}; taken as without position")
            lat = lon = None
    if lat is not None and lon is not None and (not (abs(lat) <= 90 and abs(lon) <= 180) or lat == lon == 0):
        flaws.append(
            f"{place}: position {lat}, {lon} is not on Earth or is the zero of an unset device; taken as without position"
        )
        lat = lon = None
    if period.metric is not None and conversion(period.metric, period.unit) is None:
        flaws.append(
            f"{place}: unit {period.unit!r} does not fit metric {period.metric!r}; its readings without a unit are refused"
        )
    return Facts(
        asset.asset_id,
        asset.kind,
        start,
        end,
        lat,
        lon,
        period.city,
        period.grid_code,
        period.group,
        period.gateway,
        period.metric,
        period.unit,
        period.interval_s,
        period.report_after_s,
        period.give_up_after_s,
        _kept(limits_in_canonical(period.metric, period.unit, period.limits)),
        tuple(period.sentinels),
        period.owner,
        period.department,
        _kept(dict(period.attributes)),
    )


def _kept(table: dict[str, Any]) -> Mapping[str, Any]:
    """Not to be changed; most say nothing, and these are one and the same."""
    return MappingProxyType(table) if table else _NOTHING

"""Registry: what is known of every asset, and when it held.

A registry is a value: every change gives a new one, so a batch is judged by one registry from its first row to its last, and a
replay can hold the registry of any moment. An asset's periods are read once into :class:`Facts`; what is wrong in them is
said in :attr:`Registry.problems` and never raises, because the registry is input like any other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import msgspec

from streams.asset_facts import NOTHING, FactReader, Facts
from streams.asset_pages import AssetPages
from streams.asset_words import understood
from streams.codec import decode_record, encode
from streams.geography import METRES_PER_DEGREE, cell, haversine_m, metres_per_degree
from streams.records import Asset
from streams.unreadable import Cause

_CELL_DEG = 0.01
_unpacked = msgspec.json.Decoder(Asset).decode


class Registry:
    """All assets at one revision. ``revision`` is the next offset of ``city.registry`` that is not yet applied."""

    def __init__(
        self,
        facts: Mapping[str, Facts | tuple[Facts, ...]] = NOTHING,
        texts: AssetPages | None = None,
        flaws: Mapping[str, tuple[str, ...]] = NOTHING,
        revision: int = 0,
    ) -> None:
        #: Of every asset; of nearly all there is one period, and a tuple around it would weigh half of it.
        self._facts = facts
        #: As JSON: objects would be most of what a sensor weighs, and are seldom asked for.
        self._texts = AssetPages() if texts is None else texts
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
        told: dict[str, Asset | None] = dict.fromkeys(gone)
        told |= {asset.asset_id: understood(asset) for asset in assets}
        in_order = ((name, told[name]) for name in sorted(told))
        texts = self._texts.changed((name, None if asset is None else encode(asset)) for name, asset in in_order)
        facts, flaws = dict(self._facts), dict(self._flaws)
        reader = FactReader()
        for name, asset in told.items():
            flaws.pop(name, None)
            if asset is None:
                facts.pop(name, None)
                continue
            periods, wrong = reader.read(asset)
            facts[periods[0].asset_id if periods else name] = periods[0] if len(periods) == 1 else periods
            if wrong:
                flaws[name] = tuple(wrong)
        return Registry(facts, texts, flaws, self.revision if revision is None else revision)

    def with_asset(self, asset: Asset, revision: int | None = None) -> Registry:
        return self.with_assets([asset], revision=revision)

    def without(self, asset_id: str, revision: int | None = None) -> Registry:
        return self.with_assets(gone=[asset_id], revision=revision)

    # --- one asset --------------------------------------------------------------------------------------------------------

    def at(self, asset_id: str, ts: int) -> Facts | None:
        """The facts that hold at ``ts``; None for an unknown asset, and outside its periods."""
        held = self._facts.get(asset_id, ())
        if isinstance(held, Facts):
            return held if held.holds_at(ts) else None
        for facts in reversed(held):
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
        text = self._texts.get(asset_id)
        return None if text is None else _unpacked(text)

    def assets_of(self, kinds: Iterable[str]) -> Iterator[Asset]:
        """The assets that are of these kinds by their last period, as they were written, in order of id within a kind."""
        for kind in kinds:
            yield from map(_unpacked, self._texts.some(facts.asset_id for facts in self._last_of_kind.get(kind, ())))

    def __contains__(self, asset_id: object) -> bool:
        return asset_id in self._facts

    def __len__(self) -> int:
        return len(self._facts)

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
        return self._texts.lines()

    @cached_property
    def dates(self) -> list[int]:
        """All times (ms) at which the facts of any asset change by date, ascending."""
        every = (facts for asset_id in self._facts for facts in self.periods(asset_id))
        return sorted({date for facts in every for date in (facts.valid_from, facts.valid_to) if date is not None})

    @cached_property
    def _ordered(self) -> list[str]:
        return sorted(self._facts)

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

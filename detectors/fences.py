"""Fences: areas with a kind, a time at which they hold, and perhaps a speed limit; read from GeoJSON or the registry.

A fence is what a city drew: a construction site, a disposal site, a forbidden zone by day, a duty grid, a truck's route. In
the registry it stands in a site's ``attributes``::

    {"fence": <GeoJSON geometry, Feature or FeatureCollection>, "fence_kind": "forbidden_zone",
     "daily_from": "07:00", "daily_to": "19:00", "speed_kmh": 40, "radius_m": 50}

The period of the asset says from when to when the fence holds. ``daily_from``/``daily_to`` are local times (+08:00) and may
cross midnight. Points and lines become areas by ``radius_m``; a line without it is a route: it has a distance, but no
inside. Positions are WGS-84 (RFC 7946). What cannot be read is left out with a named reason, never raised.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from detectors.daily import daily_window, in_daily
from detectors.fence_grid import FenceGrid, Index
from streams.batch import Bool, Float64, Int64
from streams.geography import METRES_PER_DEGREE
from streams.records import Asset

#: A fence of more positions than this is a mistake or an attack (the largest province has some 100,000).
MAX_POSITIONS = 200_000
#: Up to so many fences, measuring to each is quicker than asking a tree for the nearest.
FEW = 8
#: Attributes that name fences of an asset's own; each may also hold the GeoJSON itself.
INLINE = ("route", "duty", "allowed_fences")


def inline_id(asset_id: str, attribute: str) -> str:
    """Id of the fence that stands in an asset's own attribute."""
    return f"{asset_id}#{attribute}"


@dataclass(frozen=True, slots=True)
class Fence:
    """``area`` is what has an inside (lon/lat degrees, may be empty), ``shape`` what distances are measured to.

    ``key`` is the id's 63-bit fingerprint, which detectors keep in their state: positions in a list change with the registry.
    """

    fence_id: str
    kind: str
    shape: Any
    area: Any
    valid_from: int | None = None
    valid_to: int | None = None
    daily: tuple[int, int] | None = None
    speed_kmh: float | None = None
    key: int = 0

    @property
    def always(self) -> bool:
        """Without validity dates and daily window."""
        return self.valid_from is None and self.valid_to is None and self.daily is None


@dataclass(frozen=True, slots=True)
class FenceProblem:
    """Why a fence was left out: not_geojson, unknown_type, out_of_range_coordinate, too_many_positions, empty, bad_window."""

    fence_id: str
    reason: str
    detail: str = ""


class Metres:
    """Local plane about one latitude and longitude, in metres: right to 0.1 % within some 50 km."""

    def __init__(self, lon: float, lat: float) -> None:
        self.lon, self.lat = lon, lat
        self.per_lon = METRES_PER_DEGREE * max(0.01, math.cos(math.radians(lat)))

    def to(self, degrees: Float64) -> Float64:
        """(n, 2) of lon, lat -> (n, 2) of metres east, north."""
        metres: Float64 = (degrees - (self.lon, self.lat)) * (self.per_lon, METRES_PER_DEGREE)
        return metres

    def back(self, metres: Float64) -> Float64:
        degrees: Float64 = metres / (self.per_lon, METRES_PER_DEGREE) + (self.lon, self.lat)
        return degrees


def widened(geometry: Any, metres: float) -> Any:
    """The geometry buffered by so many metres (negative: shrunk, perhaps to nothing), in lon/lat degrees."""
    if geometry.is_empty or metres == 0:
        return geometry
    centre = geometry.centroid
    plane = Metres(centre.x, centre.y)
    return shapely.transform(shapely.transform(geometry, plane.to).buffer(metres, quad_segs=4), plane.back)


def in_time(fence: Fence, ts: Int64) -> Bool:
    """Whether the fence holds at each event time."""
    held = in_daily(fence.daily, ts)
    if fence.valid_from is not None:
        held &= ts >= fence.valid_from
    if fence.valid_to is not None:
        held &= ts < fence.valid_to
    return held


_FOREVER = 2**62


def _bound(given: int | None, other: int) -> int:
    return other if given is None else min(max(given, -_FOREVER), _FOREVER)


class FenceSet:
    """The fences of a city at one revision of the registry. Immutable; indexes are built when first asked for.

    >>> square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    >>> fences = FenceSet.from_geojson({"type": "Feature", "geometry": square, "properties": {"fence_kind": "school"}}, "S1")
    >>> fences[0].fence_id, fences[0].kind, fences.problems
    ('S1', 'school', [])
    """

    def __init__(self, fences: Iterable[Fence] = (), problems: Iterable[FenceProblem] = ()) -> None:
        self.fences: tuple[Fence, ...] = tuple(fences)
        self.problems: list[FenceProblem] = list(problems)
        self.keys: Int64 = np.array([fence.key for fence in self.fences], dtype=np.int64)
        self._by_key: Index = np.argsort(self.keys, kind="stable")
        self._by_id: dict[str, list[int]] = {}
        for number, fence in enumerate(self.fences):
            self._by_id.setdefault(fence.fence_id, []).append(number)
        #: Per fence from when (inclusive) to when it holds, and whether only at some times of the day.
        self._from, self._to = (
            np.array([_bound(getattr(fence, name), other) for fence in self.fences], dtype=np.int64)
            for name, other in (("valid_from", -_FOREVER), ("valid_to", _FOREVER))
        )
        self._part_of_day: Bool = np.array([fence.daily is not None for fence in self.fences], dtype=np.bool_)
        self._grids: dict[tuple[Sequence[int], float], FenceGrid] = {}
        self._distances: dict[int, Callable[[Float64, Float64], Float64]] = {}
        self._trees: dict[tuple[int, ...], tuple[Metres, Any]] = {}

    def __len__(self) -> int:
        return len(self.fences)

    def __getitem__(self, number: int) -> Fence:
        return self.fences[number]

    @classmethod
    def from_geojson(cls, document: Any, fence_id: str = "fence", **properties: Any) -> FenceSet:
        """Fences of a geometry, Feature or FeatureCollection; ``properties`` hold for all and yield to a feature's own."""
        fences: list[Fence] = []
        problems: list[FenceProblem] = []
        for number, (geometry, own, name) in enumerate(_features(document)):
            many = isinstance(document, Mapping) and document.get("type") == "FeatureCollection"
            label = str(own.get("fence_id") or name or (f"{fence_id}/{number}" if many else fence_id))
            made = read_fence(label, geometry, {**properties, **own})
            (fences if isinstance(made, Fence) else problems).append(made)  # type: ignore[arg-type]
        return cls(fences, problems)

    @classmethod
    def from_assets(cls, assets: Iterable[Asset]) -> FenceSet:
        """Fences of the registry: every period of every asset whose attributes name a ``fence``, and the geometries that
        stand in place of an id (:data:`INLINE`)."""
        fences: list[Fence] = []
        problems: list[FenceProblem] = []
        for asset in assets:
            for period in asset.periods:
                attributes = period.attributes
                for name in INLINE:
                    if isinstance(attributes.get(name), Mapping):
                        held = {"fence_kind": name, "valid_from": period.from_, "valid_to": period.to}
                        drawn = cls.from_geojson(attributes[name], inline_id(asset.asset_id, name), **held)
                        # A feature's own id, or several features, are still this asset's one route.
                        own = inline_id(asset.asset_id, name)
                        fences += [replace(fence, fence_id=own, key=_key(own)) for fence in drawn.fences]
                        problems += drawn.problems
                if attributes.get("fence") is None:
                    continue
                facts = {**attributes, "valid_from": period.from_, "valid_to": period.to}
                facts.setdefault("fence_kind", asset.kind)
                if "speed_kmh" in period.limits:
                    facts.setdefault("speed_kmh", period.limits["speed_kmh"])
                found = cls.from_geojson(facts.pop("fence"), asset.asset_id, **facts)
                fences += found.fences
                problems += found.problems
        return cls(fences, problems)

    def named(self, ids: Iterable[str]) -> list[int]:
        """Numbers of the fences of these ids (a site with several periods has several), in order, without repetition."""
        return sorted({number for name in ids for number in self._by_id.get(name, ())})

    def numbers(self, keys: Int64) -> Index:
        """Numbers of the fences with these keys (of several, the last); -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.searchsorted(self.keys, keys, side="right", sorter=self._by_key) - 1
        found: Index = np.where(self.keys[self._by_key[at]] == keys, self._by_key[at], -1)
        return found

    def of_kinds(self, kinds: Iterable[str]) -> list[int]:
        """Numbers of the fences of these kinds."""
        wanted = set(kinds)
        return [number for number, fence in enumerate(self.fences) if fence.kind in wanted]

    def grid(self, numbers: Sequence[int], margin_m: float = 0.0) -> FenceGrid:
        """Index over the areas of these fences (``area`` k of its answers is ``numbers[k]``), widened by ``margin_m``.

        A fence that a negative margin would leave nothing of keeps its own border: a small site can still be entered.
        """
        key = (numbers if isinstance(numbers, range) else tuple(numbers), margin_m)
        if key not in self._grids:
            areas = np.array([self.fences[number].area for number in numbers], dtype=object)
            self._grids[key] = _grid(tuple(shapely.to_wkb(areas).tolist()), margin_m)
        return self._grids[key]

    def times(self, numbers: Sequence[int], area: Index, ts: Int64) -> Bool:
        """Whether fence ``numbers[area[i]]`` holds at ``ts[i]``."""
        number = area if numbers == range(len(self.fences)) else np.array(numbers, dtype=np.int64)[area]
        held: Bool = (ts >= self._from[number]) & (ts < self._to[number])
        daily = self._part_of_day[number]
        if daily.any():
            for some in np.unique(number[daily]).tolist():
                rows = np.flatnonzero(number == some)
                held[rows] &= in_daily(self.fences[some].daily, ts[rows])
        return held

    def any_holds(self, numbers: Sequence[int], ts: Int64) -> Bool:
        """Whether at least one of these fences holds at each time."""
        held = np.zeros(len(ts), dtype=np.bool_)
        for number in numbers:
            if self.fences[number].always:
                return np.ones(len(ts), dtype=np.bool_)
            held |= in_time(self.fences[number], ts)
        return held

    def distance_m(self, number: int, lon: Float64, lat: Float64) -> Float64:
        """Metres from each point to the fence; 0 inside its area."""
        if number not in self._distances:
            self._distances[number] = self._distance(number)
        return self._distances[number](lon, lat)

    def nearest(self, numbers: Sequence[int], lon: Float64, lat: Float64, ts: Int64) -> tuple[Float64, Index]:
        """Metres to the nearest of these fences that holds at the time, and its number; NaN and -1 where none holds."""
        best, which = np.full(len(lon), np.nan), np.full(len(lon), -1, dtype=np.int64)

        def offer(rows: Index, number: int) -> None:
            metres = self.distance_m(number, lon[rows], lat[rows])
            nearer = ~(metres >= best[rows])
            best[rows[nearer]], which[rows[nearer]] = metres[nearer], number

        always = tuple(n for n in numbers if self.fences[n].always)
        if len(always) > FEW:
            if always not in self._trees:
                west, south, east, north = shapely.total_bounds([self.fences[n].shape for n in always])
                plane = Metres((west + east) / 2, (south + north) / 2)
                flat = [shapely.transform(self.fences[n].shape, plane.to) for n in always]
                self._trees[always] = plane, shapely.STRtree(flat)
            plane, tree = self._trees[always]
            points = shapely.points(plane.to(np.column_stack([lon, lat])))
            rows, found = tree.query_nearest(points, all_matches=False)
            for place in np.unique(found).tolist():
                offer(rows[found == place], always[place])
        by_tree = set(always) if len(always) > FEW else set()
        for number in numbers:
            if number in by_tree:
                continue
            rows = np.flatnonzero(in_time(self.fences[number], ts))
            if len(rows):
                offer(rows, number)
        return best, which

    def _distance(self, number: int) -> Callable[[Float64, Float64], Float64]:
        fence = self.fences[number]
        geometry = fence.shape if fence.area.is_empty else fence.area
        west, south, east, north = geometry.bounds
        plane = Metres((west + east) / 2, (south + north) / 2)
        flat = shapely.transform(geometry, plane.to)
        shapely.prepare(flat)

        def distance(lon: Float64, lat: Float64) -> Float64:
            metres: Float64 = shapely.distance(flat, shapely.points(plane.to(np.column_stack([lon, lat]))))
            return metres

        return distance


@lru_cache(maxsize=12)
def _grid(areas: tuple[bytes, ...], margin_m: float) -> FenceGrid:
    """Every partition of a worker has a set of its own, and few switches of the registry change a fence: cut each city once."""
    plain = list(shapely.from_wkb(areas))
    if not margin_m:
        return FenceGrid(plain)
    wider = [widened(area, margin_m) for area in plain]
    return FenceGrid([area if made.is_empty else made for area, made in zip(plain, wider, strict=True)])


def _features(document: Any) -> list[tuple[Any, Mapping[str, Any], str | None]]:
    """(geometry, properties, id) of each feature of any GeoJSON object."""
    if not isinstance(document, Mapping):
        return [(document, {}, None)]
    if document.get("type") == "FeatureCollection":
        features = document.get("features")
        return [each for feature in features for each in _features(feature)] if isinstance(features, Sequence) else []
    if document.get("type") == "Feature":
        own = document.get("properties")
        name = document.get("id")
        return [(document.get("geometry"), own if isinstance(own, Mapping) else {}, None if name is None else str(name))]
    return [(document, {}, None)]


def read_fence(fence_id: str, geometry: Any, properties: Mapping[str, Any]) -> Fence | FenceProblem:
    """One fence of a GeoJSON geometry and its properties, or why not."""
    if not isinstance(geometry, Mapping):
        return FenceProblem(fence_id, "not_geojson", f"expected a geometry object, got {type(geometry).__name__}")
    if geometry.get("type") not in ("Polygon", "MultiPolygon", "LineString", "MultiLineString", "Point", "MultiPoint"):
        return FenceProblem(fence_id, "unknown_type", repr(geometry.get("type"))[:80])
    try:
        made = shapely.force_2d(shape(geometry))
        if shapely.get_num_coordinates(made) > MAX_POSITIONS:
            return FenceProblem(fence_id, "too_many_positions", f"more than {MAX_POSITIONS}")
        if made.is_empty:
            return FenceProblem(fence_id, "empty")
        x, y = shapely.get_coordinates(made).T
        if not (np.isfinite(x).all() and np.isfinite(y).all() and abs(x).max() <= 180 and abs(y).max() <= 90):
            return FenceProblem(fence_id, "out_of_range_coordinate", "positions are [lon, lat] in degrees")
        made = shapely.make_valid(made)
        radius = float(properties.get("radius_m") or 0.0)
        area = widened(made, radius) if radius > 0 and shapely.get_dimensions(made) < 2 else made
    except Exception as problem:  # shapely and GEOS raise many kinds for malformed coordinates; all mean the same here
        return FenceProblem(fence_id, "not_geojson", str(problem)[:200])
    try:
        daily = daily_window(properties.get("daily_from"), properties.get("daily_to"))
        valid_from, valid_to = epoch_ms(properties.get("valid_from")), epoch_ms(properties.get("valid_to"))
        speed = properties.get("speed_kmh")
        limit = None if speed is None else float(speed)
    except (TypeError, ValueError, OverflowError) as problem:
        return FenceProblem(fence_id, "bad_window", str(problem)[:200])
    parts = [part for part in shapely.get_parts(area) if shapely.get_dimensions(part) == 2]
    kind = str(properties.get("fence_kind") or properties.get("kind") or "fence")
    only = shapely.union_all(parts) if parts else shapely.Polygon()
    return Fence(fence_id, kind, made, only, valid_from, valid_to, daily, limit, _key(fence_id))


def _key(fence_id: str) -> int:
    return max(1, int.from_bytes(hashlib.blake2b(fence_id.encode(), digest_size=8).digest(), "big") >> 1)


def epoch_ms(moment: Any) -> int | None:
    """Epoch milliseconds of an integer or of RFC 3339 text with offset; None stays None. Raises ValueError."""
    if moment is None:
        return None
    if isinstance(moment, str):
        parsed = datetime.fromisoformat(moment)
        if parsed.tzinfo is None:
            raise ValueError(f"{moment!r} has no offset")
        return round(parsed.timestamp() * 1000)
    return int(moment)

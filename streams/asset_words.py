"""What an asset's periods say in other people's words: free fields, aliases of attributes, codes in an id.

The contract names the fields every asset has and lets a period say more; it does not say how. So a field of a period that the
contract does not know counts as an attribute, and what it means is looked up in ``asset_words.toml``: ``site_type:
"disposal"`` is ``fence_kind: "disposal_site"``, ``hours: "07:00-19:00"`` are ``daily_from`` and ``daily_to``, a site with a
``radius_m`` and no geometry is a circle. The house's own names are never overruled.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from streams.geography import to_wgs84
from streams.records import Asset, Period

_DATA: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("asset_words.toml").read_text("utf-8"))
_OWN: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Period))
_GEOJSON: Final = frozenset({"Polygon", "MultiPolygon", "LineString", "MultiLineString", "Point", "MultiPoint"})
_SHAPES: Final = _GEOJSON | {"Feature", "FeatureCollection", "GeometryCollection"}
_HOURS: Final = re.compile(r"^\s*(\d{1,2}(?::\d{2})?)\s*(?:-|–|—|~|～|至|到|to)\s*(\d{1,2}(?::\d{2})?)\s*$")
#: A free field longer than this (a drawing in some other format) is no attribute.
_LONGEST: Final = 1 << 18


def _plain(word: str) -> str:
    return re.sub(r"[\s_\-]+", "", word).casefold()


_VALUES: Final[dict[str, dict[str, str]]] = {
    name: {_plain(word): own for own, words in table.items() for word in (own, *words)}
    for name, table in _DATA["values"].items()
}


def free_fields(asset: Asset, value: bytes) -> Asset:
    """The asset, read from the JSON ``value``, with what the contract does not know of its periods as attributes."""
    try:
        periods = orjson.loads(value)["periods"]
    except (ValueError, TypeError, KeyError):
        return asset
    if all(_OWN.issuperset(given) for given in periods):
        return asset
    for period, given in zip(asset.periods, periods, strict=True):
        extra = {name: held for name, held in given.items() if name not in _OWN and _fits(held)}
        if extra:
            period.attributes = {**extra, **period.attributes}
    return asset


def _fits(held: Any) -> bool:
    return held is not None and len(json.dumps(held)) <= _LONGEST


def understood(asset: Asset) -> Asset:
    """The asset with its attributes in the words of this house; the same object where there is nothing to translate."""
    periods = [_understood(asset, period) for period in asset.periods]
    if all(new is old for new, old in zip(periods, asset.periods, strict=True)):
        return asset
    return msgspec.structs.replace(asset, periods=periods)


def _understood(asset: Asset, period: Period) -> Period:
    found: dict[str, Any] = {}
    given = period.attributes
    names: dict[str, list[str]] = _DATA["names"]
    wanted = {"site": ("fence_kind",), "vehicle": ("vehicle_kind",), "sensor": ("place",), "camera": ("place",)}
    for name in wanted.get(asset.kind, ()):
        aliases = (name,) if name in given else names[name]
        said = next((own for alias in aliases if (own := _value(name, given.get(alias))) is not None), None)
        if said is not None and said != given.get(name):
            found[name] = said
    if asset.kind == "sensor" and "place" not in given and "place" not in found:
        place = _stands_on(asset, period)
        if place is not None:
            found["place"] = place
    if asset.kind in ("site", "vehicle", "person"):
        found |= _drawn(asset, period, given | found)
    return msgspec.structs.replace(period, attributes={**given, **found}) if found else period


def _value(name: str, given: Any) -> str | None:
    return _VALUES[name].get(_plain(given)) if isinstance(given, str) else None


def _stands_on(asset: Asset, period: Period) -> str | None:
    """By the first word of id or group, or a word in department or owner."""
    codes = {re.split(r"[^0-9a-z]+", name.casefold())[0] for name in (asset.asset_id, period.group or "") if name}
    texts = " ".join(text for text in (period.department, period.owner, period.attributes.get("name")) if isinstance(text, str))
    for entry in _DATA["stands_on"]:
        if period.metric in entry["metrics"]:
            by_word = any(word in texts.casefold() for word in entry["words"])
            if by_word or codes & set(entry["codes"]):
                return str(entry["place"])
    return None


def _drawn(asset: Asset, period: Period, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fence and hours, where they stand under other names."""
    found: dict[str, Any] = {}
    names = _DATA["names"]
    if given.get("fence") is None or isinstance(given["fence"], str):
        shape = next((made for alias in ("fence", *names["fence"]) if (made := _geometry(given.get(alias))) is not None), None)
        if shape is None and asset.kind == "site" and "fence_kind" in given:
            shape = _circle(period, given)
        if shape is not None:
            found["fence"] = shape
    if "daily_from" not in given and "daily_to" not in given:
        window = next((match for alias in names["hours"] if (match := _window(given.get(alias))) is not None), None)
        if window is not None:
            found["daily_from"], found["daily_to"] = window
    return found


def _geometry(given: Any) -> Mapping[str, Any] | None:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    return given if isinstance(given, Mapping) and given.get("type") in _SHAPES else None


def _circle(period: Period, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    radius = given.get("radius_m")
    if period.lat is None or period.lon is None or not isinstance(radius, int | float) or not 0 < radius < 50_000:
        return None
    try:
        lat, lon = to_wgs84(period.lat, period.lon, period.crs)
    except ValueError:
        return None
    return {"type": "Point", "coordinates": [lon, lat]}


def _window(given: Any) -> tuple[str, str] | None:
    """("07:00", "19:00") of "07:00-19:00"."""
    match = _HOURS.match(given) if isinstance(given, str) else None
    return (match[1], match[2]) if match else None

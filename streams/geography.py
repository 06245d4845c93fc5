"""Geography: distances in metres, Chinese coordinate systems to WGS-84, cells of equal degrees.

Everything works on scalars and on numpy arrays alike. WGS-84 is the house's only coordinate system; CGCS2000 equals it at
the decimetre level (domain.md B6). GCJ-02 (maps and phones in mainland China) lies some 550 m beside it, BD-09 a second
offset further. The constants and the box of GCJ-02 are those in common use (eviltransform; domain.md B6, S-GCJ); outside the
box the three systems are taken to be the same.
"""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

#: Mean radius of the Earth (IUGG R1): the haversine's error against the ellipsoid stays below 0.6 %.
EARTH_RADIUS_M = 6_371_008.8
METRES_PER_DEGREE = math.pi * EARTH_RADIUS_M / 180.0

_GCJ_A = 6378245.0
_GCJ_EE = 0.00669342162296594323
_GCJ_LAT = (0.8293, 55.8271)
_GCJ_LON = (72.004, 137.8347)
_BD_X = math.pi * 3000.0 / 180.0
#: Each step shrinks the error about a thousandfold (0.47 m after one at Hefei); five end below a millimetre.
_INVERSE_STEPS = 5


@overload
def haversine_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float: ...
@overload
def haversine_m(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> Any: ...
def haversine_m(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> Any:
    """Great-circle distance in metres between points in degrees; a float for floats, an array if any argument is one.

    >>> round(haversine_m(31.8206, 117.2272, 31.8206, 117.2372))
    945
    """
    if isinstance(lat1, float) and isinstance(lon1, float) and isinstance(lat2, float) and isinstance(lon2, float):
        phi1, phi2 = math.radians(lat1), math.radians(lat2)
        a = math.sin((phi2 - phi1) / 2) ** 2
        a += math.cos(phi1) * math.cos(phi2) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
        return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, a)))
    p1, p2 = np.radians(lat1), np.radians(lat2)
    h = np.sin((p2 - p1) / 2) ** 2 + np.cos(p1) * np.cos(p2) * np.sin(np.radians(np.subtract(lon2, lon1)) / 2) ** 2
    distance = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, h)))
    return float(distance) if np.ndim(distance) == 0 else distance


def metres_per_degree(lat: float) -> tuple[float, float]:
    """Metres of one degree of latitude and of longitude at ``lat``.

    >>> [round(m) for m in metres_per_degree(31.82)]
    [111195, 94483]
    """
    return METRES_PER_DEGREE, METRES_PER_DEGREE * math.cos(math.radians(lat))


# --- coordinate systems ---------------------------------------------------------------------------------------------------


def _shift(lat: Float64, lon: Float64) -> tuple[Float64, Float64]:
    """Offset WGS-84 → GCJ-02 in degrees; zero outside the box (and for NaN)."""
    inside = (lat >= _GCJ_LAT[0]) & (lat <= _GCJ_LAT[1]) & (lon >= _GCJ_LON[0]) & (lon <= _GCJ_LON[1])
    x = np.where(inside, lon, 105.0) - 105.0
    y = np.where(inside, lat, 35.0) - 35.0
    pi = math.pi
    root = np.sqrt(np.abs(x))
    common = (20.0 * np.sin(6.0 * x * pi) + 20.0 * np.sin(2.0 * x * pi)) * 2.0 / 3.0
    dlat = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + common
    dlat += (20.0 * np.sin(y * pi) + 40.0 * np.sin(y / 3.0 * pi)) * 2.0 / 3.0
    dlat += (160.0 * np.sin(y / 12.0 * pi) + 320.0 * np.sin(y * pi / 30.0)) * 2.0 / 3.0
    dlon = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + common
    dlon += (20.0 * np.sin(x * pi) + 40.0 * np.sin(x / 3.0 * pi)) * 2.0 / 3.0
    dlon += (150.0 * np.sin(x / 12.0 * pi) + 300.0 * np.sin(x / 30.0 * pi)) * 2.0 / 3.0
    phi = np.radians(y + 35.0)
    magic = 1.0 - _GCJ_EE * np.sin(phi) ** 2
    dlat = dlat * 180.0 / ((_GCJ_A * (1.0 - _GCJ_EE)) / (magic * np.sqrt(magic)) * pi)
    dlon = dlon * 180.0 / (_GCJ_A / np.sqrt(magic) * np.cos(phi) * pi)
    return np.where(inside, dlat, 0.0), np.where(inside, dlon, 0.0)


def _arrays(lat: Any, lon: Any) -> tuple[Float64, Float64]:
    return np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)


def _as_given(given: Any, lat: Float64, lon: Float64) -> tuple[Any, Any]:
    return (float(lat), float(lon)) if np.ndim(given) == 0 else (lat, lon)


def wgs84_to_gcj02(lat: Any, lon: Any) -> tuple[Any, Any]:
    """
    >>> [round(x, 6) for x in wgs84_to_gcj02(31.8206, 117.2272)]
    [31.818601, 117.232682]
    """
    p, q = _arrays(lat, lon)
    dlat, dlon = _shift(p, q)
    return _as_given(lat, p + dlat, q + dlon)


def gcj02_to_wgs84(lat: Any, lon: Any) -> tuple[Any, Any]:
    """Inverse by fixed-point iteration, below a millimetre."""
    p, q = _arrays(lat, lon)
    wlat, wlon = p, q
    for _ in range(_INVERSE_STEPS):
        dlat, dlon = _shift(wlat, wlon)
        wlat, wlon = p - dlat, q - dlon
    return _as_given(lat, wlat, wlon)


def gcj02_to_bd09(lat: Any, lon: Any) -> tuple[Any, Any]:
    """Baidu's second offset."""
    y, x = _arrays(lat, lon)
    z = np.hypot(x, y) + 0.00002 * np.sin(y * _BD_X)
    theta = np.arctan2(y, x) + 0.000003 * np.cos(x * _BD_X)
    return _as_given(lat, z * np.sin(theta) + 0.006, z * np.cos(theta) + 0.0065)


def bd09_to_gcj02(lat: Any, lon: Any) -> tuple[Any, Any]:
    """Inverse of :func:`gcj02_to_bd09` by fixed-point iteration (the closed form in common use is 0.5 m off)."""
    p, q = _arrays(lat, lon)
    glat, glon = p - 0.006, q - 0.0065
    for _ in range(_INVERSE_STEPS):
        blat, blon = gcj02_to_bd09(glat, glon)
        glat, glon = glat - (blat - p), glon - (blon - q)
    return _as_given(lat, np.asarray(glat), np.asarray(glon))


def to_wgs84(lat: Any, lon: Any, crs: str) -> tuple[Any, Any]:
    """Degrees in ``crs`` (wgs84, cgcs2000, gcj02, bd09) as WGS-84 degrees. Never raises for a number, whatever it is.

    BD-09 coordinates outside the box of GCJ-02 are left alone: so is (0, 0), which the gate must still recognise.

    Raises:
        ValueError: the coordinate system is none of the four.
    """
    if crs in ("wgs84", "cgcs2000"):
        return lat, lon
    if crs == "gcj02":
        return gcj02_to_wgs84(lat, lon)
    if crs != "bd09":
        raise ValueError(f"unknown crs {crs!r}; one of wgs84, cgcs2000, gcj02, bd09")
    p, q = _arrays(lat, lon)
    inside = (p >= _GCJ_LAT[0]) & (p <= _GCJ_LAT[1] + 0.01) & (q >= _GCJ_LON[0]) & (q <= _GCJ_LON[1] + 0.01)
    wlat, wlon = gcj02_to_wgs84(*bd09_to_gcj02(np.where(inside, p, 35.0), np.where(inside, q, 105.0)))
    return _as_given(lat, np.where(inside, wlat, p), np.where(inside, wlon, q))


# --- cells and lines --------------------------------------------------------------------------------------------------------


def cell(lat: float, lon: float, size_deg: float = 0.01) -> tuple[int, int]:
    """Cell of a grid of equal degrees, as (row from the south pole, column from 180° W). Rows grow northward.

    Cells are for bucketing only (0.01° is 1.1 km north–south); distances are always measured in metres.

    >>> cell(31.8206, 117.2272)
    (12182, 29722)
    """
    return math.floor((lat + 90.0) / size_deg), math.floor((lon + 180.0) / size_deg)


def distance_to_line_m(lat: Any, lon: Any, line: Any) -> Any:
    """Distance in metres of points from a polyline, on the plane that touches the Earth at the polyline's middle.

    ``line`` is an array of shape (vertices, 2) of [lon, lat] as in GeoJSON, at least one vertex. Returns a float or an array
    of the shape of ``lat``. Good to 0.1 % within some 50 km (a route through a city).
    """
    vertices = np.asarray(line, dtype=np.float64).reshape(-1, 2)
    mid_lat, mid_lon = float(vertices[:, 1].mean()), float(vertices[:, 0].mean())
    my, mx = metres_per_degree(mid_lat)
    px = (np.atleast_1d(np.asarray(lon, dtype=np.float64)) - mid_lon)[..., None] * mx
    py = (np.atleast_1d(np.asarray(lat, dtype=np.float64)) - mid_lat)[..., None] * my
    vx, vy = (vertices[:, 0] - mid_lon) * mx, (vertices[:, 1] - mid_lat) * my
    ax, ay = (vx[:-1], vy[:-1]) if len(vertices) > 1 else (vx, vy)
    dx, dy = (np.diff(vx), np.diff(vy)) if len(vertices) > 1 else (np.zeros(1), np.zeros(1))
    length2 = dx * dx + dy * dy
    along = ((px - ax) * dx + (py - ay) * dy) / np.where(length2 > 0, length2, 1.0)
    along = np.clip(along, 0.0, 1.0)
    distance = np.hypot(px - (ax + along * dx), py - (ay + along * dy)).min(axis=-1)
    return float(distance[0]) if np.ndim(lat) == 0 else distance

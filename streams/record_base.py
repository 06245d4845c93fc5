"""What every record citywatch writes has, and the point it stands at."""

from __future__ import annotations

from msgspec import Struct

SCHEMA_VERSION = 1


class Output(Struct, tag_field="schema_version", tag=SCHEMA_VERSION, gc=False):
    """What citywatch writes: ``schema_version`` stands in every value, also where defaults are left out."""


class Point(Struct, frozen=True, tag_field="type", tag="Point", gc=False):
    """GeoJSON point: [lon, lat] in WGS-84."""

    coordinates: tuple[float, float]

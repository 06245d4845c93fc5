"""GPX tracks as rows: one per track point and waypoint.

Columns: ``kind`` (trkpt, rtept or wpt), ``track`` (name of the track), ``lat``, ``lon``, and what the point carries (``time``,
``ele``, ``hdop``, ``speed``, ``name`` …) under the names of GPX 1.0 and 1.1. Source: https://www.topografix.com/GPX/1/1/
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from replay.importer.members import Member
from streams.errors import Mend

POINTS = frozenset({"trkpt", "rtept", "wpt"})


def rows(member: Member) -> Iterator[dict[str, str]]:
    """Points in the order of the file; memory holds one track at most."""
    track = ""
    inside: list[str] = []
    try:
        for event, element in ElementTree.iterparse(member.stream, events=("start", "end")):
            name = element.tag.rsplit("}", 1)[-1]
            if event == "start":
                inside.append(name)
                continue
            inside.pop()
            if name == "name" and inside and inside[-1] in ("trk", "rte"):
                track = (element.text or "").strip()
            elif name in POINTS:
                row = {"kind": name, "track": track, "lat": element.get("lat", ""), "lon": element.get("lon", "")}
                for child in element:
                    row.setdefault(child.tag.rsplit("}", 1)[-1], (child.text or "").strip())
                yield row
                element.clear()
            elif name in ("trk", "rte", "trkseg"):
                element.clear()
                track = track if name == "trkseg" else ""
    except ElementTree.ParseError as error:
        raise Mend(f"is not well-formed XML ({error})", member.name, "the file is damaged; export it again") from error

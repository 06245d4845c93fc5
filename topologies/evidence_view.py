"""The evidence of an incident as its body shows it, drawn once a piece: a revision draws only what has changed since the last.

What a piece looks like follows from the piece and from where its incident stands. Each revision of a large incident brings one
piece and finds the others as they were: their distances and their words are not worked out again. Nothing of this is in a
checkpoint: a restored stage draws everything once.
"""

from __future__ import annotations

from operator import attrgetter

from msgspec import Struct

from streams.records import Evidence
from topologies.cells import metres_between, to_decimetre
from topologies.happening import Happening, Piece
from topologies.weighed import Weighed

_stands = attrgetter("active")


class View(Struct, gc=False):
    """One piece drawn; it holds as long as the incident holds this very piece and what may change in it has not."""

    piece: Piece
    last_ts: int
    active: bool
    silent_since: int
    #: Metres from the incident's place to the far side of what the piece tells, to the decimetre; 0 where it has no place or
    #: only lends.
    reach_m: float
    evidence: Evidence


class Album(Struct, gc=False):
    """The views of one incident, by key of the piece, as seen from one place (degrees; None where it has none)."""

    lat: float | None
    lon: float | None
    views: dict[str, View]


class EvidenceViews:
    """Views of the incidents that are open: whoever makes bodies of one asks here, and says when it is over."""

    def __init__(self, at_most: int) -> None:
        """``at_most``: pieces a body shows."""
        self._at_most = at_most
        self._albums: dict[str, Album] = {}

    def __len__(self) -> int:
        """Incidents of which views are kept."""
        return len(self._albums)

    def of(self, incident: Happening, weighed: Weighed) -> tuple[list[Evidence], float]:
        """(The pieces as evidence, the most severe first; metres around the incident's place that hold all pieces).

        Evidence is shared between revisions; nobody may change it.
        """
        ranked = weighed.ranked
        if len(ranked) > self._at_most:
            # Most severe and newest are what dispatch needs; the counts keep the total.
            ranked = sorted(ranked, key=lambda piece: (piece.level, -piece.last_ts, piece.key))
        if len(weighed.active) < len(ranked):
            ranked = sorted(ranked, key=_stands, reverse=True)  # what has ended comes last, and each part stays in its order
        lat, lon = incident.lat, incident.lon
        album = self._albums.get(incident.incident_id)
        if album is None or album.lat != lat or album.lon != lon or len(album.views) > 2 * len(ranked):
            album = self._albums[incident.incident_id] = Album(lat, lon, {})
        views, radius_m = album.views, 0.0
        shown: list[Evidence] = []
        for piece in ranked:
            view = views.get(piece.key)
            if (
                view is None
                or view.piece is not piece
                or view.last_ts != piece.last_ts
                or view.active is not piece.active
                or view.silent_since != piece.silent_since
            ):
                view = views[piece.key] = draw(piece, lat, lon)
            if view.reach_m > radius_m:
                radius_m = view.reach_m
            shown.append(view.evidence)
        return shown[: self._at_most], radius_m

    def over(self, incident: Happening) -> None:
        """The incident has ended: nothing is kept of it."""
        self._albums.pop(incident.incident_id, None)


def draw(piece: Piece, lat: float | None, lon: float | None) -> View:
    """The piece as evidence of an incident that stands at (lat, lon)."""
    reach_m, distance_m = 0.0, None
    if lat is not None and lon is not None and piece.lat is not None and piece.lon is not None:
        distance_m = metres_between(lat, lon, piece.lat, piece.lon)
        if not piece.lends:
            reach_m = to_decimetre(distance_m + piece.radius_m)
    explanation = piece.explanation
    if piece.silent_since and piece.active:
        explanation = f"{explanation}; no data since {piece.silent_since}, the last known state stands".lstrip("; ")
    shown = Evidence(  # by position, in the order of its fields
        piece.stream,
        piece.entity,
        piece.last_ts,
        piece.source,
        piece.rule,
        piece.level,
        piece.metric,
        piece.value,
        piece.unit,
        piece.threshold,
        piece.expected,
        None if distance_m is None else to_decimetre(distance_m),
        explanation,
        piece.active,
    )
    return View(piece, piece.last_ts, piece.active, piece.silent_since, reach_m, shown)

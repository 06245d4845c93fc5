"""What counts of an incident's evidence at one moment: picked out in one pass, for all who ask while a revision is made.

Level, place, name, score and body each look at the active evidence; whoever looks for itself walks through all pieces again.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from msgspec import Struct

from topologies.happening import Happening, Piece, severity

#: Sort key of a piece by how well it tells the place, between pieces that are alike devices or callers.
_surest = attrgetter("level", "radius_m", "first_ts", "key")


class Weighed(Struct, frozen=True, gc=False):
    """What counts of one incident's evidence; it holds until the evidence changes."""

    #: All of it in the order of :data:`topologies.happening.severity`, as all lists here.
    ranked: list[Piece]
    #: Evidence that makes it worse, ended or not: what came too late to be live (historical) does not where the incident is.
    live: list[Piece]
    #: What of it is active.
    active: list[Piece]
    #: Of it what leads and places an incident: all but what only lends its weight. The first one leads.
    own: list[Piece]
    #: Independent kinds of streams in it, sorted (a group is its sensors, read together).
    kinds: list[str]
    #: How many of its sensors are silent themselves.
    silent: int


def weigh(incident: Happening) -> Weighed:
    """The incident's evidence as it stands."""
    late_too = incident.historical
    live: list[Piece] = []
    active: list[Piece] = []
    own: list[Piece] = []
    streams: set[str] = set()
    silent = 0
    ranked = sorted(incident.pieces.values(), key=severity)
    for piece in ranked:
        if piece.historical and not late_too:
            continue
        live.append(piece)
        if not piece.active:
            continue
        active.append(piece)
        streams.add(piece.stream)
        if piece.silent_since:
            silent += 1
        if not piece.lends:
            own.append(piece)
    if "group" in streams:
        streams.remove("group")
        streams.add("sensor")
    return Weighed(ranked, live, active, own, sorted(streams), silent)


def best_place(pieces: Iterable[Piece]) -> Piece | None:
    """Most severe first, a device before a caller's address, then the most precise; None where nothing has a place."""
    devices: list[Piece] = []
    callers: list[Piece] = []
    for piece in pieces:
        if piece.lat is not None and piece.lon is not None:
            (callers if piece.stream == "hotline" else devices).append(piece)
    device = min(devices, key=_surest) if devices else None
    caller = min(callers, key=_surest) if callers else None
    if device is None or (caller is not None and caller.level < device.level):
        return caller
    return device

"""What counts of an incident's evidence at one moment: picked out in one pass, for all who ask while a revision is made.

Level, place, name, score and body each look at the active evidence; whoever looks for itself walks through all pieces again.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from topologies.happening import Happening, Piece, severity


class Weighed(Struct, frozen=True, gc=False):
    """What counts of one incident's evidence; it holds until the evidence changes. Lists may be one and the same."""

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
    ranked = sorted(incident.pieces.values(), key=severity)
    late_too = incident.historical
    streams: set[str] = set()
    for piece in ranked:
        if not piece.active or piece.lends or piece.silent_since or (piece.historical and not late_too):
            return _sifted(ranked, late_too)
        streams.add(piece.stream)
    return Weighed(ranked, ranked, ranked, ranked, _kinds(streams), 0)  # all of it counts, as mostly


def _sifted(ranked: list[Piece], late_too: bool) -> Weighed:
    live: list[Piece] = []
    active: list[Piece] = []
    own: list[Piece] = []
    streams: set[str] = set()
    silent = 0
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
    return Weighed(ranked, live, active, own, _kinds(streams), silent)


def _kinds(streams: set[str]) -> list[str]:
    if "group" in streams:
        streams.remove("group")
        streams.add("sensor")
    return sorted(streams)


def best_place(ranked: Iterable[Piece]) -> Piece | None:
    """Of pieces in the order of severity: most severe first, a device before a caller's address, then the most precise; None
    where nothing has a place."""
    device: Piece | None = None
    caller: Piece | None = None
    for piece in ranked:
        found = device or caller
        if found is not None and piece.level != found.level:
            break
        if piece.stream == "hotline":
            if device is None and (caller is None or piece.radius_m < caller.radius_m) and _is_placed(piece):
                caller = piece
        elif (device is None or piece.radius_m < device.radius_m) and _is_placed(piece):
            device = piece
    return device or caller


def _is_placed(piece: Piece) -> bool:
    return piece.lat is not None and piece.lon is not None

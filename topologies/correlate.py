"""Which open incident a signal belongs to: its own, one near in place and time, or one of its group or gateway.

Open incidents are found by cells of the size of their family's radius, so a search costs nine look-ups however many are open.
A signal joins where some evidence is within the family's radius and time, as long as the incident stays within twice that
radius: happenings do not chain through a city. Whoever fits two joins them, the younger into the older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from detectors.families import Family, Guest
from topologies.cells import Names, metres_between, tally
from topologies.happening import Happening, Piece, leading


class Reach(NamedTuple):
    """Of a signal into an incident: metres (``call_m`` between two calls, who say a place and have none) and ms."""

    radius_m: float
    call_m: float
    within_ms: int


class Neighbourhood:
    """Open incidents by own key, by cell of every piece, by group and by gateway."""

    def __init__(self, families: Mapping[str, Family], default: Family) -> None:
        self._families = families
        self._default = default
        self.own: dict[str, str] = {}
        #: By family: incidents and how many of their pieces are in a cell.
        self._cells: dict[str, Names] = {}
        self._topology: dict[tuple[str, str, str], dict[str, int]] = {}
        #: Entity -> open incidents that hold evidence of it (calls, which never return, are left out).
        self.of_entity: dict[str, dict[str, int]] = {}
        #: Family of a signal -> families whose incidents may concern it, its own first: those it may join (joining is
        #: directed), then those it may take over.
        self._concerned: dict[str, tuple[str, ...]] = {}
        self._reach: dict[tuple[str, str], Reach] = {}

    def family(self, name: str) -> Family:
        return self._families.get(name, self._default)

    def concerned(self, name: str) -> tuple[str, ...]:
        return self._concerned.get(name) or self._reckon_concerned(name)

    def _reckon_concerned(self, name: str) -> tuple[str, ...]:
        others = {other for other, family in self._families.items() if name in family.related}
        others |= {other for other in self._families if self._guest(name, other) or self._guest(other, name)}
        found = self._concerned[name] = (name, *sorted(others - {name}))
        return found

    def _guest(self, family: str, host: str) -> Guest | None:
        return next((guest for guest in self.family(host).guest if guest.family == family), None)

    def may_join(self, piece: Piece, incident: Happening) -> bool:
        """Whether the piece's family (and rule, and what the incident holds) lets it into the incident, wherever that is."""
        family, host = piece.family, incident.family
        if family == host or family in self.family(host).related:
            return True
        guest = self._guest(family, host)
        if guest is None or not _given(guest, incident):
            return False
        return not guest.rules or piece.rule in guest.rules or _holds_any_of(family, incident)

    def takes_over(self, piece: Piece, incident: Happening) -> bool:
        """Whether the piece shows what the incident is an effect of."""
        guest = self._guest(incident.family, piece.family)
        if guest is None or (guest.given and piece.rule not in guest.given):
            return False
        return _welcome(guest, incident)

    def belongs_to(self, effect: Happening, cause: Happening) -> bool:
        """Whether one incident is an effect of the other, whose family is its host."""
        guest = self._guest(effect.family, cause.family)
        return guest is not None and _given(guest, cause) and _welcome(guest, effect)

    def reach(self, family: str, host: str) -> Reach:
        """How far a signal of ``family`` may be from an incident of ``host``: the nearer reach of the two, unless the host
        names another for its guest; and for a call from another call."""
        known = self._reach.get((family, host))
        if known is None:
            known = self._reach[family, host] = self._reckon_reach(family, host)
        return known

    def _reckon_reach(self, family: str, host: str) -> Reach:
        mine, other = self.family(family), self.family(host)
        guest = self._guest(family, host) or self._guest(host, family)
        radius_m = guest.radius_m if guest is not None and guest.radius_m is not None else min(mine.radius_m, other.radius_m)
        call_m = max(radius_m, mine.call_radius_m or 0.0) if family == host else radius_m
        return Reach(radius_m, call_m, int(min(mine.within_s, other.within_s) * 1000))

    def widest_m(self, host: str) -> float:
        """No reach into the incidents of the family is wider than a cell."""
        reaches = [self.reach(other, host) for other in self.concerned(host)]
        return max(max(reach.radius_m, reach.call_m) for reach in reaches)

    # --- keeping ---

    def add(self, incident: Happening, piece: Piece) -> None:
        self._count(incident, piece, 1)

    def remove(self, incident: Happening, piece: Piece) -> None:
        self._count(incident, piece, -1)

    def _count(self, incident: Happening, piece: Piece, by: int) -> None:
        if piece.lends:
            return  # what only lends its weight attracts nothing
        if piece.lat is not None and piece.lon is not None:
            cells = self._cells.get(incident.family)
            if cells is None:
                cells = self._cells[incident.family] = Names(self.widest_m(incident.family))
            cells.count(piece.lat, piece.lon, incident.incident_id, by)
        if piece.group is not None:
            tally(self._topology, (incident.family, "group", piece.group), incident.incident_id, by)
        if piece.gateway is not None:
            tally(self._topology, (incident.family, "gateway", piece.gateway), incident.incident_id, by)
        if piece.stream != "hotline":
            tally(self.of_entity, piece.entity, incident.incident_id, by)

    def open(self, incident: Happening) -> None:
        for piece in incident.pieces.values():
            self.add(incident, piece)

    def close(self, incident: Happening) -> None:
        for piece in incident.pieces.values():
            self.remove(incident, piece)

    # --- asking ---

    def near(self, piece: Piece) -> set[str]:
        """Ids of open incidents that may fit; whoever asks looks closer with :meth:`fits`."""
        found: set[str] = set()
        for host in self.concerned(piece.family):
            if piece.group is not None:
                found.update(self._topology.get((host, "group", piece.group), ()))
            if piece.lat is not None and piece.lon is not None:
                if host in self._cells:
                    for names in self._cells[host].near(piece.lat, piece.lon):
                        found.update(names)
            elif piece.gateway is not None:
                found.update(self._topology.get((host, "gateway", piece.gateway), ()))
        return found

    def fits(self, piece: Piece, incident: Happening) -> bool:
        """Within radius and time of some evidence, and the whole stays within twice the radius."""
        radius_m, call_m, within_ms = self.reach(piece.family, incident.family)
        by_call = call_m if piece.stream == "hotline" else radius_m
        span_m = 2 * (by_call if incident.by_stream.get("hotline") else radius_m)
        near = False
        lat, lon, ts = piece.lat, piece.lon, piece.first_ts
        for held in incident.pieces.values():
            if held.lends:
                continue
            within = False
            if lat is not None and lon is not None and held.lat is not None and held.lon is not None:
                distance_m = metres_between(lat, lon, held.lat, held.lon)
                if distance_m > span_m:
                    return False
                within = distance_m <= (by_call if held.stream == "hotline" else radius_m)
            if not near and (within or _akin(piece, held) or _behind_one(piece, held)):
                near = _in_time(ts, held, within_ms)
        return near

    def lent_to(self, piece: Piece, reach_m: float, incident: Happening) -> bool:
        """Whether evidence that opens nothing weighs in the incident: near enough to what the incident itself stands on."""
        if incident.historical or not self.may_join(piece, incident):
            return False
        joins_m, call_m, within_ms = self.reach(piece.family, incident.family)
        reach_m = max(reach_m, joins_m)
        by_call = max(reach_m, call_m) if piece.stream == "hotline" else reach_m
        for held in leading(incident.pieces.values()):
            distance_m = _apart(piece, held)
            far_m = by_call if held.stream == "hotline" else reach_m
            # An alarm that stands reaches up to now.
            ts = piece.first_ts if piece.momentary else max(piece.first_ts, held.last_ts)
            near = (distance_m is not None and distance_m <= far_m) or _akin(piece, held)
            if near and _in_time(ts, held, within_ms):
                return True
        return False

    def too_far(self, piece: Piece, incident: Happening) -> bool:
        """A vehicle that does the same elsewhere: beyond what one incident may span."""
        limit_m = 2 * self.family(incident.family).radius_m
        apart = (_apart(piece, held) for held in leading(incident.pieces.values()))
        return any(distance_m is not None and distance_m > limit_m for distance_m in apart)

    def may_merge(self, younger: Happening, older: Happening) -> bool:
        """Two incidents of families that join, and together no wider than one may be."""
        joins = younger.family in (older.family, *self.family(older.family).related)
        if not joins and not self.belongs_to(younger, older):
            return False
        return self.no_wider(younger, older)

    def no_wider(self, younger: Happening, older: Happening) -> bool:
        reach = self.reach(younger.family, older.family)
        of_calls = younger.by_stream.get("hotline") and older.by_stream.get("hotline")
        span_m = 2 * (reach.call_m if of_calls else reach.radius_m)
        theirs = list(_places(older.pieces.values()))
        return all(metres_between(*mine, *other) <= span_m for mine in _places(younger.pieces.values()) for other in theirs)


def _holds_any_of(family: str, incident: Happening) -> bool:
    return any(held.family == family for held in incident.pieces.values())


def _given(guest: Guest, incident: Happening) -> bool:
    return not guest.given or any(piece.rule in guest.given for piece in incident.pieces.values())


def _welcome(guest: Guest, effect: Happening) -> bool:
    return not guest.rules or any(piece.rule in guest.rules for piece in effect.pieces.values())


def _apart(one: Piece, other: Piece) -> float | None:
    """Metres between two places; None where either has none."""
    if one.lat is None or one.lon is None or other.lat is None or other.lon is None:
        return None
    return metres_between(one.lat, one.lon, other.lat, other.lon)


def _akin(one: Piece, other: Piece) -> bool:
    """Of one entity, or of one group."""
    return one.entity == other.entity or (one.group is not None and one.group == other.group)


def _behind_one(piece: Piece, held: Piece) -> bool:
    """Who has no place is where its gateway is."""
    return piece.lat is None and piece.gateway is not None and piece.gateway == held.gateway


def _in_time(ts: int, piece: Piece, within_ms: int) -> bool:
    """A standing alarm reaches up to now; everything else reaches ``within_ms`` beyond its last word."""
    return piece.first_ts - ts <= within_ms and (ts - piece.last_ts <= within_ms or (piece.active and not piece.momentary))


def _places(pieces: Iterable[Piece]) -> set[tuple[float, float]]:
    return {(piece.lat, piece.lon) for piece in leading(pieces) if piece.lat is not None and piece.lon is not None}

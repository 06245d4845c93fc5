"""What the incident stage holds of one incident: its pieces of evidence and where it stands.

The struct is the state: a snapshot holds its fields in this order, so a change of them is another ``incident_state.FORMAT``. No
piece refers back to its incident, so there are no circles and the cyclic collector need not look at a hundred thousand of them
(``gc=False``). What there are several of is a tuple, replaced and never changed, so most of them are the one empty tuple and
what a rule names is shared. Times are epoch ms; ``arrival`` ones are on the stage's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from msgspec import Struct

from streams.records import IncidentEvent, IncidentStatus, Signal


class Piece(Struct, gc=False, array_like=True):
    """One piece of evidence: an alarm of one rule at one entity, or one momentary report."""

    key: str
    own_key: str
    signal_id: str
    rule: str
    version: str
    hazard: str
    family: str
    category: str
    stream: str
    entity: str
    witness: str
    level: int
    #: Event time of the raise and of the last word.
    first_ts: int
    last_ts: int
    source: str
    source_topic: str
    source_partition: int
    radius_m: float
    momentary: bool
    historical: bool
    resolve_after_ms: int
    #: Arrival until which the piece, once it has ended (a momentary one at once), keeps the incident from resolving.
    until: int
    active: bool = True
    #: Of a rule that opens nothing: it weighs in escalations, but neither opens, leads, places nor keeps the incident.
    lends: bool = False
    #: Arrivals of its latest raises within a day: what returns too often chatters.
    raises: tuple[int, ...] = ()
    lat: float | None = None
    lon: float | None = None
    grid_code: str | None = None
    group: str | None = None
    gateway: str | None = None
    metric: str | None = None
    value: float | None = None
    unit: str | None = None
    threshold: float | None = None
    expected: float | None = None
    explanation: str = ""
    #: Event time since which the entity itself is silent (no data is never normal); 0: it speaks.
    silent_since: int = 0


class Happening(Struct, gc=False, array_like=True):
    """One incident, open or lately closed."""

    incident_id: str
    city: str
    category: str
    family: str
    exercise: bool
    historical: bool
    opened_ts: int
    first_event_ts: int
    pieces: dict[str, Piece]
    revision: int = 0
    level: int = 4
    status: IncidentStatus = "open"
    #: What dispatch has done, whatever the alarms do meanwhile: open, acknowledged, dispatched.
    handling: IncidentStatus = "open"
    handled: bool = False
    hazard: str = ""
    rule: str = ""
    rule_version: str = ""
    title: str = ""
    reason: str = ""
    lead: str = ""
    assist: tuple[str, ...] = ()
    handle_words: str = ""
    escalations: tuple[str, ...] = ()
    #: Named grounds of level and score beyond the evidence itself ("school within 210 m").
    targets: tuple[str, ...] = ()
    raised_by_data: tuple[str, ...] = ()
    lat: float | None = None
    lon: float | None = None
    grid_code: str | None = None
    #: Alarms that have not cleared.
    standing: int = 0
    #: Latest ``until`` of all pieces: with nothing standing, when the incident resolves.
    until: int = 0
    signals: int = 0
    #: Distinct ``stream:witness``, each with 1, and how many there are by stream.
    witnesses: dict[str, int] = {}
    by_stream: dict[str, int] = {}
    #: The last revision: what it was, why, and when.
    last_event: IncidentEvent = "opened"
    last_why: str = ""
    updated_ts: int = 0
    #: Sources the last revision told of.
    told: int = 0
    confirm_by: int = 0
    dispatch_by: int = 0
    handle_by: int = 0
    #: Deadline kinds whose time has come, told or not.
    passed: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    department: str | None = None
    notes: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    merged_into: str | None = None
    #: Rule and entity of what returns to this incident, each with 1.
    own_keys: dict[str, int] = {}
    #: 0 while open.
    closed_at: int = 0
    closed_by_hand: bool = False
    #: It chatters: it stays open for as long as it might return, and further returns are not told.
    latched: bool = False
    #: How long the same thing may return to it, where the family says so; 0: the stage's setting.
    reopen_ms: int = 0

    @property
    def is_open(self) -> bool:
        return self.closed_at == 0


def leading(pieces: Iterable[Piece]) -> list[Piece]:
    """Without what only lends its weight."""
    return [piece for piece in pieces if not piece.lends]


def own_key(rule: str, entity: str) -> str:
    """What always returns to its own incident."""
    return f"{rule}|{entity}"


def piece_key(signal: Signal) -> str:
    """A momentary report is a piece of its own; an alarm that repeats at one entity is one piece."""
    return signal.signal_id if signal.momentary else own_key(signal.rule, signal.entity)


def place(signal: Signal) -> tuple[float, float] | None:
    """(lat, lon) of the signal where it has a believable one."""
    if signal.location is None:
        return None
    lon, lat = signal.location.coordinates
    if -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0:  # also false for NaN
        return lat, lon
    return None


def level_of(signal: Signal) -> int:
    """1 to 4, whatever the record says."""
    level = signal.level
    return level if 1 <= level <= 4 else min(4, max(1, level))


#: Sort key of a piece: most severe first, then the earliest, then by name so that ties never depend on the order of arrival.
severity: Callable[[Piece], tuple[int, int, str]] = attrgetter("level", "first_ts", "key")

"""Record types of every topic: the schema *is* these structs.

Field names, units and defaults are those of the public contract (docs/contract.md); JSON Schemas and the AsyncAPI file
are generated from here. Inputs are decoded with ``strict`` typing and unknown fields are left out (and counted by the
codec), outputs are encoded with :mod:`orjson`.

Times are UTC epoch milliseconds once a record has passed the codec; ``ts`` of an input may arrive as RFC 3339 text.
Positions are WGS-84 degrees once a record has passed the codec; inputs name their ``crs``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from streams.incident_record import Counts as Counts
from streams.incident_record import Dispatch as Dispatch
from streams.incident_record import Evidence as Evidence
from streams.incident_record import Incident as Incident
from streams.incident_record import IncidentEvent as IncidentEvent
from streams.incident_record import IncidentStatus as IncidentStatus
from streams.incident_record import Priority as Priority
from streams.incident_record import RuleReason as RuleReason
from streams.record_base import SCHEMA_VERSION as SCHEMA_VERSION
from streams.record_base import Output as Output
from streams.record_base import Point as Point

#: 1–128 printable characters: no control characters, no line or paragraph separators. The pattern stands in the published
#: schema and the codec enforces it over whole batches: msgspec's own pattern check costs 0.35 µs per identifier, three times
#: the rest of a reading.
IDENTIFIER_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
Identifier = Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"pattern": IDENTIFIER_PATTERN})]
#: Integers wider than 64 bits can be neither stored nor encoded again.
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Timestamp = int | str
Crs = Literal["wgs84", "gcj02", "bd09", "cgcs2000"]
Level = Annotated[int, Meta(ge=1, le=4)]
Quality = Literal["good", "suspect", "bad", "maintenance", "calibration"]
VehicleKind = Literal["muck_truck", "sanitation", "patrol", "rescue", "bus", "taxi", "ship", "other"]
LoadState = Literal["empty", "half", "full", "unknown"]
LidState = Literal["closed", "open", "unknown"]
HopperState = Literal["down", "up", "unknown"]

LEVELS: dict[int, str] = {1: "red", 2: "orange", 3: "yellow", 4: "blue"}


# gc=False where a record holds no containers: it cannot be part of a cycle, and untracked records make a batch 8 % cheaper.

# --- inputs -----------------------------------------------------------------------------------------------------------


class Reading(Struct, omit_defaults=True, gc=False):
    """One value of one metric by one sensor."""

    sensor_id: Identifier
    ts: Timestamp
    metric: Identifier
    value: float
    unit: str | None = None
    quality: Quality = "good"
    lat: float | None = None
    lon: float | None = None
    crs: Crs = "wgs84"
    seq: Whole | None = None
    schema_version: Whole = SCHEMA_VERSION


class VehicleFix(Struct, omit_defaults=True, gc=False):
    """One position of one vehicle; bits as in JT/T 808 0x0200."""

    vehicle_id: Identifier
    ts: Timestamp
    lat: float
    lon: float
    speed_kmh: float | None = None
    heading_deg: float | None = None
    kind: VehicleKind = "other"
    alarm_bits: Whole = 0
    status_bits: Whole | None = None
    load_state: LoadState = "unknown"
    lid_state: LidState = "unknown"
    hopper_state: HopperState = "unknown"
    accuracy_m: float | None = None
    crs: Crs = "wgs84"
    schema_version: Whole = SCHEMA_VERSION


class VideoEvent(Struct, omit_defaults=True):
    """One detection of one algorithm on one camera."""

    event_id: Identifier
    camera_id: Identifier
    ts: Timestamp
    kind: Identifier
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)]
    lat: float | None = None
    lon: float | None = None
    crs: Crs = "wgs84"
    track_id: str | None = None
    count: Whole | None = None
    bbox: list[float] | None = None
    image_url: str | None = None
    end_ts: Timestamp | None = None
    schema_version: Whole = SCHEMA_VERSION


class HotlineCall(Struct, omit_defaults=True, gc=False):
    """One call, report or work order of a hotline; ``caller`` is masked before it leaves the codec."""

    call_id: Identifier
    ts: Timestamp
    line: Identifier
    text: str
    category: str | None = None
    address: str | None = None
    lat: float | None = None
    lon: float | None = None
    crs: Crs = "wgs84"
    caller: str | None = None
    channel: str | None = None
    reply_to: str | None = None
    schema_version: Whole = SCHEMA_VERSION


InputRecord = Reading | VehicleFix | VideoEvent | HotlineCall


# --- reference data and controls ---------------------------------------------------------------------------------------


class Period(Struct, omit_defaults=True, rename={"from_": "from"}):
    """What holds for an asset from ``from`` (inclusive) to ``to`` (exclusive; absent = until further notice)."""

    from_: Timestamp
    to: Timestamp | None = None
    lat: float | None = None
    lon: float | None = None
    crs: Crs = "wgs84"
    city: str | None = None
    grid_code: str | None = None
    group: str | None = None
    gateway: str | None = None
    metric: str | None = None
    unit: str | None = None
    interval_s: float | None = None
    report_after_s: float | None = None
    give_up_after_s: float | None = None
    limits: dict[str, float] = {}
    sentinels: list[float] = []
    owner: str | None = None
    department: str | None = None
    #: What else a city wants to say (well type, fence polygon of a site, phone of a person on duty …).
    attributes: dict[str, Any] = {}


class Asset(Struct, omit_defaults=True):
    """An asset with all its periods; kind: sensor, camera, vehicle, site, gateway, group, person."""

    asset_id: Identifier
    kind: Identifier
    periods: list[Period]
    schema_version: int = SCHEMA_VERSION


class Matchers(Struct, omit_defaults=True):
    """Every named field must agree with the signal; an absent field matches anything."""

    city: str | None = None
    category: str | None = None
    hazard: str | None = None
    rule: str | None = None
    entity: str | None = None
    stream: str | None = None
    max_severity_level: Level | None = None
    lat: float | None = None
    lon: float | None = None
    radius_m: float | None = None


class Mute(Struct, omit_defaults=True, rename={"from_": "from"}):
    """kind: silence, maintenance, permit, drill (marks ``exercise`` instead of muting), mode."""

    mute_id: Identifier
    kind: Literal["silence", "maintenance", "permit", "drill", "mode"]
    matchers: Matchers
    from_: Timestamp
    to: Timestamp
    author: str
    comment: str = ""
    schema_version: int = SCHEMA_VERSION


class Feedback(Struct, omit_defaults=True):
    incident_id: Identifier
    action: Literal["acknowledge", "dispatch", "handle", "resolve", "false_alarm", "reopen", "note"]
    by: str
    ts: Timestamp
    note: str | None = None
    department: str | None = None
    deadline: Timestamp | None = None
    schema_version: int = SCHEMA_VERSION


# --- between the stages --------------------------------------------------------------------------------------------------


class Source(Struct, frozen=True, omit_defaults=True, gc=False):
    """Where in the log a signal was decided; the order of these is the order of signals of one source partition.

    A record's signals carry its ``offset`` and ``tick`` 0. A tick's signals carry the grid time in ``tick`` and the offset
    of the record the tick fired before, so they sort in front of that record's own (see :func:`sequence`).
    """

    topic: str
    partition: int
    offset: int
    n: int = 0
    tick: int = 0

    @property
    def sequence(self) -> tuple[int, int, int]:
        """Sort key within one (topic, partition)."""
        return (self.offset, self.tick or 2**62, self.n)


Phase = Literal["raised", "updated", "cleared"]


class Signal(Output, omit_defaults=True, kw_only=True):
    """What one rule says of one entity at one moment: the only thing the incident stage reads besides controls.

    ``ts`` is when it happened, ``arrival_ts`` when the log accepted the deciding record (or the tick): the incident stage's
    only clock. ``signal_id`` is ``rule:entity:ts-of-the-raise``; raised, updated and cleared of one alarm share it.
    """

    signal_id: str
    city: str
    category: str
    hazard: str
    rule: str
    rule_version: str
    entity: str
    stream: str
    ts: int
    arrival_ts: int
    level: int
    phase: Phase
    source: Source
    metric: str | None = None
    location: Point | None = None
    radius_m: float = 0.0
    grid_code: str | None = None
    gateway: str | None = None
    value: float | None = None
    expected: float | None = None
    unit: str | None = None
    threshold: float | None = None
    score: float | None = None
    explanation: str = ""
    #: Who says it, where the entity alone does not tell two witnesses apart (masked caller of a call, track of a video).
    witness: str | None = None
    #: True where the alarm has no end of its own (a call, a dumping): the incident closes by quiet time.
    momentary: bool = False
    #: Of a silence: whether the neighbours' reports that were due are missing too, in the whole stream or behind the gateway,
    #: or came ("device"). Absent: too few were due to tell.
    outage: Literal["stream", "gateway", "device"] | None = None
    registry_revision: int = 0
    historical: bool = False
    exercise: bool = False


class Control(Output, omit_defaults=True, kw_only=True):
    """A record of ``city.signals`` that is not a signal but changes the incident stage's answer (D6).

    ``tick``: the source has nothing undecided before ``arrival_ts``. ``rules`` and ``registry``: the detect stage of
    ``source`` switched to ``fingerprint`` / ``registry_revision`` from ``source.offset`` on.
    """

    control: Literal["mute", "feedback", "rules", "registry", "tick"]
    city: str
    arrival_ts: int
    source: Source
    mute: Mute | None = None
    #: True: the mute named by ``mute`` was withdrawn (tombstone).
    mute_ended: bool = False
    feedback: Feedback | None = None
    fingerprint: str | None = None
    registry_revision: int | None = None
    #: Share of registered entities of the source that are silent (D9), with ``tick``.
    silent_fraction: float | None = None
    #: Newest arrival of a record of the source that was not long on its way, with ``tick``.
    heard_ts: int | None = None
    #: With ``tick``: rows of the source since its first record, by outcome, up to (not including) ``source.offset``. The
    #: account a consumer can check law 8 with: rows it counts in the topic before that offset = the sum of these.
    outcomes: dict[str, int] | None = None


# --- what could not be read or believed -------------------------------------------------------------------------------------


class DeadLetter(Output, omit_defaults=True, kw_only=True):
    """``reason`` is a closed word (streams.codec), ``detail`` the decoder's sentence, ``path`` a JSON path (``$.value``)."""

    topic: str
    partition: int
    offset: int
    reason: str
    path: str
    raw: str
    detail: str = ""
    n: int = 0
    key: str | None = None
    truncated: bool = False
    arrival_ts: int = 0


class Quarantined(Output, omit_defaults=True, kw_only=True):
    """A record that could be read but not believed: the record as decoded, and the named reason."""

    topic: str
    partition: int
    offset: int
    n: int
    reason: str
    entity: str
    record: Any
    detail: str = ""
    arrival_ts: int = 0


def to_builtins(record: Struct) -> Any:
    """Plain dict/list tree of a record, as it stands in JSON."""
    return msgspec.to_builtins(record)

"""A rule as data: one TOML file under ``detectors/rules``, one hazard.

The file names what it watches, the detector with typed parameters, the ladder of levels, what becomes of the alarm, whom it
concerns, where the numbers come from, and its own test cases. There is no expression language: a name with typed
parameters can be validated, an expression cannot (D12).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0)]


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """A number that stands in the registry: ``limits[limit] * times + plus``; a series without that limit is not judged."""

    limit: str
    times: float = 1.0
    plus: float = 0.0


Bound = float | Limit


class Rung(Struct, frozen=True, forbid_unknown_fields=True, rename={"raise_": "raise"}):
    """One level of the ladder, in the detector's measure.

    The level is reached when the measure is at or beyond ``raise`` for ``for_count`` rows and ``for_s`` seconds (``any``: or),
    and left when it has been within ``clear`` (default: ``raise``) for ``hold_s`` seconds and ``hold_count`` rows.
    """

    level: Annotated[int, Meta(ge=1, le=4)]
    raise_: Bound
    clear: Bound | None = None
    for_s: Seconds = 0.0
    for_count: Annotated[int, Meta(ge=1)] = 1
    for_mode: Literal["all", "any"] = "all"
    hold_s: Seconds = 0.0
    hold_count: Annotated[int, Meta(ge=1)] = 1


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """Which series the rule watches; every named condition must hold.

    ``attributes`` compares with the registry's attributes of the asset: a scalar must be equal, a list must contain it.
    ``not_attributes``: none of these may agree.
    ``needs_limits``: the asset must have these limits (a rule whose rungs name limits needs them anyway).
    """

    #: "any" is for detectors that judge a stream as one.
    stream: Literal["sensor", "group", "vehicle", "video", "hotline", "any"]
    metrics: list[str] = []
    not_metrics: list[str] = []
    #: Vehicle kinds, video kinds; for hotlines the lines.
    kinds: list[str] = []
    registered_only: bool = False
    needs_limits: list[str] = []
    without_limits: list[str] = []
    attributes: dict[str, Any] = {}
    #: None of these may agree: what another rule watches by its ``attributes``.
    not_attributes: dict[str, Any] = {}


class Deadlines(Struct, frozen=True, forbid_unknown_fields=True):
    """Targets after opening: natural minutes to confirm and dispatch; ``handle``: ``2uh`` (urgent hours), ``4wh``, ``5wd``."""

    confirm_min: float
    dispatch_min: float
    handle: str


class Department(Struct, frozen=True, forbid_unknown_fields=True):
    lead: str
    assist: list[str] = []


class Provenance(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a number comes from: the standard, ``[V]`` seen, ``[M]`` from memory, ``[P]`` proposed, ``[C]`` computed here."""

    what: str
    source: str
    tag: Literal["V", "M", "P", "C"]


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """A test of the rule that ships with it: records in, signals out, run through the real detect stage.

    ``records`` are wire records without ``ts`` but with ``at_s`` (seconds after the start; arrival = event time unless
    ``arrives_s`` is given); ``series`` is shorthand for readings ``[at_s, value]`` of ``entity``. ``assets`` are registry
    assets (``periods`` may be given as one ``period``). ``expect`` lists the signals in order: ``at_s``, ``phase``,
    ``level``, optional ``entity``; an empty list demands silence. ``until_s`` lets time pass after the last record.
    """

    name: str
    records: list[dict[str, Any]] = []
    series: list[tuple[float, float]] = []
    #: Fields every record of ``series`` shares (``sensor_id``, ``metric``, ``unit`` …) beyond the rule's first metric.
    common: dict[str, Any] = {}
    assets: list[dict[str, Any]] = []
    expect: list[dict[str, Any]] = []
    until_s: float | None = None


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: str
    hazard: str
    category: str
    title: str
    title_zh: str
    match: Match
    #: ``use`` names the detector; the rest are its parameters.
    detector: dict[str, Any]
    levels: Annotated[list[Rung], Meta(min_length=1, max_length=4)]
    #: Correlation family (detectors/rules/families.toml).
    family: str
    department: Department
    deadlines: Deadlines
    provenance: Annotated[list[Provenance], Meta(min_length=1)]
    direction: Literal["above", "below"] = "above"
    #: An alarm without an end of its own (a call, a dumping): one signal per raise, the incident closes by quiet time.
    momentary: bool = False
    #: At most one raise per series in this time; a more severe level than the last one breaks through.
    quiet_s: Seconds = 0.0
    #: Signals of a recovering alarm are kept open this long in the incident stage before it resolves.
    resolve_after_s: Seconds = 300.0
    radius_m: float = 50.0
    #: A rule on trial: decides, counts and shows, but tells no incident anything.
    shadow: bool = False
    #: False: its signals are evidence for incidents that others open (within the rule's ``radius_m`` or the family's, whichever
    #: is wider), whichever came first. They open none, keep none open and lead none.
    opens: bool = True
    #: With ``opens = false``: so many witnesses of the family within its reach and time open an incident after all: one
    #: complaint is a case of the day, two neighbours who say the same are a happening.
    opens_with: Annotated[int, Meta(ge=2)] | None = None
    case: list[Case] = []

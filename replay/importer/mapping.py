"""Mapping files: what the columns of somebody's recording mean, as typed data.

Text fields are templates: ``"PRSA-{station}"`` takes the column ``station`` of the row. Besides the columns of the source there
are ``{source}`` (path of the file, inside archives too), ``{stem}`` (its name without folder and last suffix) and whatever
``[[derive]]`` takes out of another column by a pattern. docs/replay.md shows each part with an example.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from streams.errors import Mend


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts: an unknown name is an error."""


class SourceSpec(Part, frozen=True):
    """How the files are read. ``files`` and ``exclude`` are globs over names inside directories and archives.

    ``format``: csv (any delimiter), columns (separated by runs of blanks), text (``pattern`` with named groups per line),
    jsonl, xlsx, gpx. ``columns`` names the columns where the file has no header. ``missing``: texts that mean "nothing was
    measured" (compared without case).
    """

    format: Literal["csv", "columns", "text", "jsonl", "xlsx", "gpx"]
    files: list[str] = msgspec.field(default_factory=lambda: ["*"])
    exclude: list[str] = []
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    skip_lines: int = 0
    columns: list[str] = []
    pattern: str | None = None
    sheet: str | None = None
    decimal: str = "."
    missing: list[str] = msgspec.field(default_factory=lambda: ["", "na", "n/a", "nan", "null", "none"])


class Plus(Part, frozen=True):
    """A time counted from the row's: ``column`` divided by ``per_second`` (frames of a video: 30)."""

    column: str
    per_second: float = 1.0


class Agrees(Part, frozen=True):
    """The file's name carries the date: a reading of the time that is another date is wrong, the next format is tried."""

    pattern: str
    format: str


class TimeSpec(Part, frozen=True):
    """``columns`` are joined with one blank and read by the first of ``formats`` that fits: strptime formats, ``iso``,
    ``epoch_s``, ``epoch_ms``. Times without an offset are local to ``zone`` (IANA name or ``+08:00``).

    Where the clock was set back an hour exists twice: ``fold`` says ``first``, ``second``, or ``order`` (a time that does not
    follow the row before it in the same file is the second). In the hour that does not exist: ``gap`` ``skip`` or ``shift``.
    """

    columns: list[str]
    formats: list[str] = msgspec.field(default_factory=lambda: ["iso"])
    zone: str = "UTC"
    fold: Literal["first", "second", "order"] = "order"
    gap: Literal["skip", "shift"] = "skip"
    plus: Plus | None = None
    agrees: Agrees | None = None
    #: Seconds from the event to its arrival, where the recording does not say.
    delay_s: float = 0.0


class Number(Part, frozen=True):
    """``column * scale + offset``; the first of several column names that the file has."""

    column: str | list[str]
    scale: float = 1.0
    offset: float = 0.0


#: A constant, a column's name, or a column with scale and offset.
Numeric = float | str | Number


class Derive(Part, frozen=True):
    """New columns: the named groups of ``pattern`` in ``column`` (searched; empty where it does not occur)."""

    column: str
    pattern: str


class Skip(Part, frozen=True):
    """Rows whose ``column`` matches (searched) are left out and counted under ``reason``."""

    column: str
    matches: str
    reason: str


class Place(Part, frozen=True):
    lat: float
    lon: float


class AssetSpec(Part, frozen=True):
    """The registry entry of every entity seen, from its first record on. ``place`` names one of ``[places]``.

    ``ends``: the entry ends with the last record (a run of an experiment); otherwise silence after it is a fault.
    """

    lat: float | None = None
    lon: float | None = None
    place: str | None = None
    ends: bool = False
    city: str | None = None
    group: str | None = None
    gateway: str | None = None
    interval_s: float | None = None
    report_after_s: float | None = None
    give_up_after_s: float | None = None
    limits: dict[str, float] = {}
    sentinels: list[float] = []
    owner: str | None = None
    department: str | None = None
    attributes: dict[str, Any] = {}


class ReadingSpec(Part, frozen=True):
    """One metric of a row. ``columns`` (a pattern over the header) makes one reading per matching column, its named groups are
    fields of the templates.

    ``counter``: the column counts up; the value is the difference to the sensor's reading before, ``per_s`` makes it a rate
    (3600: per hour), ``per_counter`` divides by the difference of another counter. Sentinels of the asset are handed on as
    they are (unscaled): the quality gate names them.
    """

    sensor: str
    metric: str
    column: str | list[str] = []
    columns: str | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    counter: bool = False
    per_s: float | None = None
    per_counter: str | None = None
    lat: Numeric | None = None
    lon: Numeric | None = None
    key: str | None = None
    asset: AssetSpec | None = None


class VehicleSpec(Part, frozen=True):
    vehicle: str
    lat: Numeric
    lon: Numeric
    kind: str = "other"
    speed_kmh: Numeric | None = None
    heading_deg: Numeric | None = None
    accuracy_m: Numeric | None = None
    asset: AssetSpec | None = None


class VideoSpec(Part, frozen=True):
    """``kinds`` renames; what is not named there stays as it is. ``end`` counts like ``time.plus``."""

    event: str
    camera: str
    kind: str
    confidence: Numeric = 1.0
    kinds: dict[str, str] = {}
    count: Numeric | None = None
    track: str | None = None
    end: Plus | None = None
    asset: AssetSpec | None = None


class CallSpec(Part, frozen=True):
    call: str
    line: str
    text: str
    category: str | None = None
    address: str | None = None
    channel: str | None = None
    lat: Numeric | None = None
    lon: Numeric | None = None


class Mapping(Part, frozen=True):
    """A mapping file. ``name`` and ``about`` are for people, ``licence`` and ``origin`` go into the bag's manifest."""

    name: str
    about: str
    source: SourceSpec
    time: TimeSpec
    origin: str = ""
    licence: str = ""
    city: str | None = None
    derive: list[Derive] = []
    skip: list[Skip] = []
    places: dict[str, Place] = {}
    readings: list[ReadingSpec] = []
    vehicle: VehicleSpec | None = None
    video: VideoSpec | None = None
    call: CallSpec | None = None


def shipped() -> list[str]:
    """Names of the mappings that come with citywatch."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def _folder() -> Any:
    return resources.files("replay").joinpath("mappings")


def load(name: str) -> Mapping:
    """A mapping by path, or by the name of a shipped one. Raises :class:`Mend` with file, place and what to do."""
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        where = str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Mend(error.strerror or "cannot be read", where, "name a mapping file (.toml)") from error
    elif name in shipped():
        where = f"{name}.toml"
        content = _folder().joinpath(where).read_bytes()
    else:
        raise Mend("no such mapping", name, f"name a .toml file or one of: {', '.join(shipped())}")
    return parse(content, where)


def parse(content: bytes, where: str) -> Mapping:
    try:
        tree = tomllib.loads(content.decode("utf-8"))
        mapping = msgspec.convert(tree, Mapping)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Mend(f"is not TOML: {error}", where, "mend the line named") from error
    except msgspec.ValidationError as error:
        raise Mend(str(error), where, "see docs/replay.md, mapping files") from error
    _check(mapping, where)
    return mapping


def _check(mapping: Mapping, where: str) -> None:
    """What the types cannot say."""
    if not (mapping.readings or mapping.vehicle or mapping.video or mapping.call):
        raise Mend("makes no records", where, "add [[readings]], [vehicle], [video] or [call]")
    if mapping.source.format == "text" and mapping.source.pattern is None:
        raise Mend("source.format is text, but source.pattern is missing", where, "add a pattern with named groups")
    if mapping.source.format == "csv" and len(mapping.source.delimiter) != 1:
        raise Mend(f"source.delimiter {mapping.source.delimiter!r} is not one character", where, 'use "," or ";" or "\\t"')
    patterns = [("derive.pattern", one.pattern) for one in mapping.derive]
    patterns += [("skip.matches", one.matches) for one in mapping.skip]
    patterns += [("readings.columns", one.columns) for one in mapping.readings if one.columns is not None]
    patterns += [("source.pattern", mapping.source.pattern)] if mapping.source.pattern is not None else []
    patterns += [("time.agrees.pattern", mapping.time.agrees.pattern)] if mapping.time.agrees is not None else []
    for name, pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise Mend(f"{name} is not a regular expression: {error}", where, f"mend {pattern!r}") from error
    for number, reading in enumerate(mapping.readings):
        if bool(reading.column) == (reading.columns is not None):
            raise Mend(f"readings[{number}] needs either column or columns", where, "give one of the two")
        if reading.per_counter is not None and not reading.counter:
            raise Mend(f"readings[{number}] has per_counter without counter", where, "add counter = true")

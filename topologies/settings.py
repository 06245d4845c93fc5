"""Settings of the worker and the commands: defaults, then a TOML file, then the environment; the later one wins.

The file is named by ``--settings`` or ``CITYWATCH_SETTINGS``; its keys are the fields of :class:`Settings`. In the
environment the same names stand upper-case behind ``CITYWATCH_`` (``CITYWATCH_BROKER``, ``CITYWATCH_REDIS`` …). An unknown
key is an error that names the nearest one: a misspelt limit that is silently ignored is found during the flood.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

from streams.errors import Mend

PREFIX = "CITYWATCH_"
#: Variables with the prefix that are read elsewhere.
ELSEWHERE = frozenset({"CITYWATCH_SETTINGS", "CITYWATCH_CRASH_AT", "CITYWATCH_TRANSPORT"})

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
#: The one before ``topologies.checkpoints.FORMAT``, and that one: in figures, for commands that open no store load none.
CheckpointFormat = Annotated[int, Meta(ge=2, le=3)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every default is documented by the comment above it; times are seconds unless the name says otherwise."""

    #: Kafka bootstrap addresses, host:port, several separated by commas.
    broker: str = "127.0.0.1:9092"
    #: Redis for the live set of incidents, and for checkpoints unless these live in a topic.
    redis: str = "redis://127.0.0.1:6379/0"
    #: In front of every topic name.
    topic_prefix: str = "city."
    #: Kafka consumer group; also the namespace of the checkpoints, so two groups never share state.
    group: Annotated[str, Meta(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")] = "citywatch"
    #: Prefix of the keys in Redis and in the checkpoint topic; an embedded run takes a fresh one.
    namespace: Annotated[str, Meta(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")] = "citywatch"
    #: Name of this worker in heartbeats and logs; empty: host name and process id.
    worker_id: str = ""
    #: Directory of rule files; empty: the rulebook that comes with citywatch.
    rules: str = ""
    #: Routing tree of the sinks (TOML); empty: alert_sinks/routing.toml.
    routing: str = ""
    #: Division code of records whose registry entry names no city (and of entities that are not registered).
    default_city: str = "340100"
    #: Where checkpoints live: in Redis, or in the compacted topic ``checkpoints`` of the same Kafka (operating.md says which to
    #: choose when); ``memory`` forgets them with the process and is for tests.
    checkpoint_store: Literal["redis", "topic", "memory"] = "redis"
    #: Format of the checkpoints that are written: this version's, or the one before it while workers of the version before
    #: share the group (operating.md, Upgrading). Either is read.
    checkpoint_format: CheckpointFormat = 3
    #: Time between checkpoints, but for a backlog (unacknowledged_records): what a crashed worker re-decides at most.
    checkpoint_every_s: Positive = 5.0
    #: Records of one partition that wait for a checkpoint: at half of them one is written before its time, beyond them intake
    #: pauses (the store is away). A worker that died decides so many again.
    unacknowledged_records: Count = 1_000_000
    #: Rows of one fetch of one partition at most; 500 to 1,000 amortise Faust's cost per event (DESIGN, section 6).
    batch_records: Count = 1_000
    #: How long a fetch may wait at the broker for records.
    fetch_wait_ms: Count = 5
    #: A worker that sends no heartbeat of the group for this long is taken for dead and its partitions move; a restart on the
    #: embedded broker waits as long. Apache Kafka allows 6 to 1800.
    session_timeout_s: Annotated[float, Meta(ge=1)] = 10.0
    #: Broker clock against this machine's, at most: an idle tick T fires only when a fetch begun after T + this was empty.
    clock_skew_s: Annotated[float, Meta(ge=0)] = 1.0
    #: Arrival times come from the header cw_arrival_ts and idle ticks from the playback's clock.
    playback: bool = False
    #: Wait for the broker and its topics at the start at most; 0: for ever. Readiness says meanwhile what is missing.
    broker_timeout_s: Annotated[float, Meta(ge=0)] = 120.0
    #: Wait for the registry (start to high water) at most; 0: do not start without an answer, wait for ever.
    registry_timeout_s: Annotated[float, Meta(ge=0)] = 120.0
    #: Changes of the registry are collected this long before the stages switch.
    registry_settle_s: Positive = 1.0
    #: Address of /metrics, /healthz, /readyz and /incidents; anything but loopback is a decision.
    web_host: str = "127.0.0.1"
    web_port: Port = 6066
    #: Time between heartbeat records, and how long one may be away before the process ends itself.
    heartbeat_every_s: Positive = 2.0
    heartbeat_limit_s: Positive = 60.0
    #: Deliveries waiting in the outbox of one partition before intake pauses.
    outbox_deliveries: Count = 10_000
    #: First and longest pause between attempts of one delivery; jitter of ± 50 % is added.
    outbox_retry_first_s: Positive = 0.1
    outbox_retry_longest_s: Positive = 30.0
    #: Closed incidents get a tombstone in city.incidents after so many days (of the log's own time).
    tombstone_after_days: Positive = 30.0
    #: Print incidents on standard output.
    terminal: bool = False
    #: The least severe lines of the worker's log.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    #: Tables [gate], [detect] and [incident] of the file: settings of the quality gate and the two stages.
    gate: dict[str, Any] = {}
    detect: dict[str, Any] = {}
    incident: dict[str, Any] = {}


def load(path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from defaults, file and environment. Raises :class:`Mend` with the key, where it stands and the nearest name."""
    values: dict[str, Any] = {}
    chosen = path or environ.get("CITYWATCH_SETTINGS")
    if chosen:
        values |= _from_file(Path(chosen))
    values |= _from_environment(environ)
    return _convert(values, str(chosen) if chosen else "environment")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise Mend(f"cannot be read ({error.strerror})", where=str(path), mend="name an existing TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise Mend(f"is no TOML: {error}", where=str(path), mend="mend that line") from None
    for key in found:
        if key not in Settings.__struct_fields__:
            raise _unknown(key, str(path), Settings.__struct_fields__)
    _convert(found, str(path))
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    hints = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in ELSEWHERE:
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key not in hints or hints[key] == dict[str, Any]:
            simple = [PREFIX + name.upper() for name in hints if hints[name] != dict[str, Any]]
            raise _unknown(variable, "environment", [*simple, *ELSEWHERE])
        try:
            # strict=False: numbers and booleans arrive as text here.
            values[key] = msgspec.convert(environ[variable], get_type_hints(Settings, include_extras=True)[key], strict=False)
        except msgspec.ValidationError as error:
            raise Mend(f"{environ[variable]!r}: {error}", where=variable, mend="see docs/settings or unset it") from None
    return values


def _convert(values: dict[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise Mend(str(error), where=where, mend="correct the value or leave the key out for its default") from None


def _unknown(key: str, where: str, known: Any) -> Mend:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)
    return Mend(f"{key!r} is no setting", where=where, mend=f"did you mean {near[0]!r}?")


T = TypeVar("T")


def part(kind: type[T], values: Mapping[str, Any], table: str, **overrides: Any) -> T:
    """One of the rooms' own settings types (dataclass or Struct) from a table of the file, unknown keys refused alike."""
    names = [*get_type_hints(kind)]
    for key in values:
        if key not in names:
            raise _unknown(key, f"[{table}]", names)
    try:
        return msgspec.convert({**overrides, **values}, kind)
    except msgspec.ValidationError as error:
        raise Mend(str(error), where=f"[{table}]", mend="correct the value or leave the key out for its default") from None

"""One record at a time: bytes to a record of any type, or the cause why not; and records to bytes.

The batch decoder (:mod:`streams.codec`) comes here only with what the plain decoder refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import orjson

from streams.asset_words import free_fields
from streams.event_time import epoch_ms
from streams.records import (
    IDENTIFIER_PATTERN,
    Asset,
    Feedback,
    HotlineCall,
    InputRecord,
    Mute,
    Reading,
    VehicleFix,
    VideoEvent,
)
from streams.unreadable import Cause, cause_of

#: Stream → record type. ``group`` is the internal topic of grouped sensors' readings.
STREAMS: dict[str, type[InputRecord]] = {
    "sensor": Reading,
    "group": Reading,
    "vehicle": VehicleFix,
    "video": VideoEvent,
    "hotline": HotlineCall,
}
#: Streams in which one value may be an array of records.
ARRAY_STREAMS = frozenset({"sensor", "group", "vehicle"})
MAX_BYTES = 1 << 20

#: Fields that are identifiers, by stream.
IDENTIFIERS: dict[str, tuple[str, ...]] = {
    "sensor": ("sensor_id", "metric"),
    "group": ("sensor_id", "metric"),
    "vehicle": ("vehicle_id",),
    "video": ("event_id", "camera_id", "kind"),
    "hotline": ("call_id", "line"),
}
_STREAM_IDENTIFIERS = tuple(sorted({field for fields in IDENTIFIERS.values() for field in fields}))
IDENTIFIER: Final = re.compile(IDENTIFIER_PATTERN)
#: What a decoder may raise for the bytes of a log.
UNREADABLE: Final = (msgspec.DecodeError, ValueError, TypeError, RecursionError)

#: Plain decoder of one record, by stream.
ONE = {stream: msgspec.json.Decoder(kind).decode for stream, kind in STREAMS.items()}
_MANY = {stream: msgspec.json.Decoder(list[kind]).decode for stream, kind in STREAMS.items() if stream in ARRAY_STREAMS}  # type: ignore[valid-type]
_PARTS = msgspec.json.Decoder(list[msgspec.Raw]).decode

T = TypeVar("T", bound=msgspec.Struct)


def single(stream: str, value: bytes) -> Any | Cause:
    """One record of a stream, or why it is none."""
    try:
        return ONE[stream](value)
    except UNREADABLE as error:
        if isinstance(error, msgspec.ValidationError) or not _has_bare_literal(value):
            return cause_of(error)
        tree = _loads(value)
        return tree if isinstance(tree, Cause) else _converted(stream, tree)


def _has_bare_literal(value: bytes) -> bool:
    """``NaN`` and ``Infinity``, which JSON does not know but Python and JavaScript write: read here, judged by the gate."""
    return b"NaN" in value or b"Infinity" in value


def _loads(value: bytes) -> Any | Cause:
    try:
        return json.loads(value.decode("utf-8"))
    except RecursionError as error:
        return cause_of(error)
    except UnicodeDecodeError as error:
        return cause_of(error)
    except ValueError as error:
        return Cause("malformed_json", detail=str(error)[:300])


def _converted(stream: str, tree: Any) -> Any | Cause:
    try:
        record = msgspec.convert(tree, STREAMS[stream])
        encode(record)  # the lenient reader lets half surrogates through, which nothing behind it could write
    except UnicodeError as error:
        return Cause("malformed_json", detail=str(error)[:300])
    except UNREADABLE as error:
        return cause_of(error)
    return record


def elements(stream: str, value: bytes) -> list[tuple[bytes | None, Any | Cause]] | Cause:
    """An array's elements, each (its bytes, its record or why it has none); bytes are there only for the bad ones."""
    try:
        records = _MANY[stream](value)
        return [(None, record) for record in records] or Cause("empty_array", detail="an array must hold at least one record")
    except UNREADABLE:
        pass  # one bad element spoils them all here: each is looked at by itself, and says what is wrong with it
    parts: Any
    try:
        parts = _PARTS(value)
    except UNREADABLE as error:
        parts = _loads(value) if _has_bare_literal(value) else cause_of(error)
        if isinstance(parts, Cause):
            return parts
        if not isinstance(parts, list) or not parts:
            return cause_of(error)
    found: list[tuple[bytes | None, Any | Cause]] = []
    for part in parts:
        if isinstance(part, msgspec.Raw):
            held = bytes(part)
            found.append((held, single(stream, held)))
        else:
            found.append((json.dumps(part).encode(), _converted(stream, part)))
    return found


def element(value: bytes, n: int) -> bytes | None:
    """Bytes of one element of an array; None where the array is not JSON."""
    try:
        return bytes(_PARTS(value)[n])
    except (*UNREADABLE, IndexError):
        return None


# --- records of the other topics, and back to bytes ------------------------------------------------------------------------


_DECODERS: dict[type[Any], Callable[[bytes], Any]] = {}


def decode_record(kind: type[T], value: bytes) -> T | Cause:
    """One record of any type (registry, mutes, feedback, signals, incidents …), times in milliseconds; or why not."""
    if len(value) > MAX_BYTES:
        return Cause("oversized", detail=f"{len(value)} bytes, at most {MAX_BYTES}")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind).decode
    try:
        record: T = decoder(value)
    except UNREADABLE as error:
        return cause_of(error)
    for field in ("asset_id", "kind", "mute_id", "incident_id", *_STREAM_IDENTIFIERS):
        text = getattr(record, field, None)
        if isinstance(text, str) and not text.isprintable() and not IDENTIFIER.fullmatch(text):
            return Cause("bad_identifier", f"$.{field}", "expected 1 to 128 printable characters")
    timed: list[tuple[str, Any]] = [("$", record)] if isinstance(record, Feedback | Mute | InputRecord) else []
    if isinstance(record, Asset):
        free_fields(record, value)
        timed = [(f"$.periods[{i}]", period) for i, period in enumerate(record.periods)]
    for path, holder in timed:
        for field in ("ts", "end_ts", "deadline", "from_", "to"):
            given = getattr(holder, field, None)
            if given is None:
                continue
            try:
                setattr(holder, field, epoch_ms(given))
            except (ValueError, OverflowError) as error:
                reason = "number_out_of_range" if isinstance(error, OverflowError) else "bad_timestamp"
                return Cause(reason, f"{path}.{field.rstrip('_')}", str(error))
    return record


def encode(record: msgspec.Struct) -> bytes:
    """JSON of any record, as the contract writes it; non-finite numbers become null."""
    # Copied, for orjson leaves 4 kB of room behind what it writes, and much of this is kept (registry, outbox).
    return b"%b" % orjson.dumps(record, default=msgspec.to_builtins)

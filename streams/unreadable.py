"""Why a record could not be read: a closed list of reasons, the JSON path, and the dead letter that carries both."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.batch import RawBatch
from streams.records import DeadLetter

REASONS: Final = frozenset(
    {
        "malformed_json",  # not JSON, or cut off
        "invalid_utf8",
        "too_deep",  # nested deeper than the parser's stack
        "oversized",  # more than 1 MiB
        "tombstone",  # a null value in a topic that knows none
        "not_an_object",  # JSON, but neither an object nor (where allowed) an array of objects
        "empty_array",
        "missing_field",
        "wrong_type",
        "unknown_value",  # not one of the words of a closed list
        "unknown_crs",
        "bad_identifier",  # empty, longer than 128 characters, or not printable
        "bad_timestamp",  # text that is not RFC 3339 with an offset
        "number_out_of_range",  # beyond a double, 64 bits, or the field's bounds
        "bad_envelope",  # a CloudEvents envelope without usable data, or in batch mode
    }
)

#: Bytes of the raw record that a dead letter keeps (before base64); enough to see and to resubmit any ordinary record.
RAW_LIMIT = 4096
_DETAIL_LIMIT = 300

_PLACE = re.compile(r"^(?P<what>.*) - at `(?P<path>.*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_BOUND = re.compile(r"^Expected `(?:int|float|int \| str)[^`]*` (?:<=|>=|<|>) ")


@dataclass(slots=True, frozen=True)
class Cause:
    """Why one record could not be read: a word of :data:`REASONS`, where (``$.value``), and the decoder's sentence."""

    reason: str
    path: str = "$"
    detail: str = ""

    def within(self, place: str) -> Cause:
        """The same cause in an enclosing document; ``place`` is the path of the part (``$[3]``, ``$.data``)."""
        return Cause(self.reason, place + self.path[1:], self.detail)


def cause_of(error: Exception) -> Cause:
    """Name what a decoder said.

    >>> cause_of(msgspec.ValidationError("Expected `float`, got `str` - at `$.value`"))
    Cause(reason='wrong_type', path='$.value', detail='Expected `float`, got `str`')
    """
    detail = str(error)[:_DETAIL_LIMIT]
    if isinstance(error, RecursionError):
        return Cause("too_deep", detail=detail)
    if isinstance(error, UnicodeError):
        return Cause("invalid_utf8", detail=detail)
    if not isinstance(error, msgspec.ValidationError):
        return Cause("malformed_json", detail=detail)
    place = _PLACE.match(str(error))
    what, path = (place["what"], place["path"]) if place else (str(error), "$")
    what = what[:_DETAIL_LIMIT]
    if missing := _MISSING.search(what):
        return Cause("missing_field", f"{path}.{missing['name']}", what)
    if what.startswith("Invalid enum value"):
        return Cause("unknown_crs" if path.endswith(".crs") else "unknown_value", path, what)
    if what.startswith("Number out of range") or _BOUND.match(what):
        return Cause("number_out_of_range", path, what)
    if what.startswith("Expected `str` of length") or "matching regex" in what:
        return Cause("bad_identifier", path, what)
    if what.startswith("Expected `object`") and path == "$":
        return Cause("not_an_object", path, what)
    return Cause("wrong_type", path, what)


def dead_letter(raw: RawBatch, row: int, cause: Cause, *, part: int = 0, value: bytes | None = None) -> DeadLetter:
    """The dead letter of record ``row`` (``value``: the bytes of its element ``part``, where only that one is meant)."""
    held = raw.values[row] if value is None else value
    key = raw.keys[row]
    return DeadLetter(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offsets[row],
        n=part,
        reason=cause.reason,
        path=cause.path,
        detail=cause.detail,
        key=None if key is None else key[:RAW_LIMIT].decode("utf-8", "replace"),
        raw=base64.b64encode((held or b"")[:RAW_LIMIT]).decode("ascii"),
        truncated=held is not None and len(held) > RAW_LIMIT,
        arrival_ts=raw.arrivals[row],
    )

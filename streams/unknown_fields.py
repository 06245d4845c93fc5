"""How many records of a batch carry fields the contract does not know. They are left out, and counted.

msgspec skips unknown fields without a word, and asking it to refuse them would cost a second pass over every batch that has
one. Counting colons is 20 times cheaper than reading the keys and proves in the common case that there are none:

Every key of an object is followed by exactly one colon, so a batch has at least as many colons as keys. Each readable record
has each required key. If, after taking those away, and one for every optional field that is not null or whose ``"name":``
occurs, no colon is left, then every colon belongs to a known key. ``"name":`` cannot stand inside a string unless a backslash
does, and a known name nested inside an unknown field still leaves that field's own colon over. Only when something is left (an
unknown field, an identifier or text with a colon, a space before a colon) are the keys themselves read, by orjson.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from streams.row_fields import RowFields

_COLON = ord(":")


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[int, tuple[str, ...], tuple[bytes, ...], tuple[bytes, ...], frozenset[str]]:
    """Number of required fields; of the optional ones the names of those that default to null, the needles of the others, and
    all needles; all names as they are written."""
    fields = msgspec.structs.fields(kind)
    optional = [f for f in fields if not f.required]
    null = tuple(f.name for f in optional if f.default is None)
    needles = {f.name: f'"{f.encode_name}":'.encode() for f in optional}
    others = tuple(needle for name, needle in needles.items() if name not in null)
    return len(fields) - len(optional), null, others, tuple(needles.values()), frozenset(f.encode_name for f in fields)


class Census(NamedTuple):
    """What the keys of a batch's records are."""

    #: Records with an unknown field.
    unknown: int
    #: Every key is that of a required field, or of one that is null by default and has a value: no other was even written.
    plain: bool


def census(kind: type[msgspec.Struct], rows: RowFields, blob: bytes, values: Iterable[bytes]) -> Census:
    """``rows`` are the fields of the readable records, ``values`` the raw values of these (empty for the others), ``blob`` is
    all of them."""
    required, null, others, needles, names = _fields(kind)
    count = len(rows.rows)
    # numpy counts a byte three times as fast as bytes.count.
    over = left = int(np.count_nonzero(np.frombuffer(blob, dtype=np.uint8) == _COLON)) - required * count
    # A value that is there was written under its name; the lists are drawn for the gate anyway.
    for name in null:
        if left == 0:
            break
        left -= count - rows[name].count(None)
    if left == 0:
        return Census(0, plain=True)
    if _all_known(blob, over, left, others, needles):
        return Census(0, plain=False)
    return Census(_count(values, names), plain=False)


def _all_known(blob: bytes, over: int, left: int, others: Iterable[bytes], needles: Iterable[bytes]) -> bool:
    """Whether known keys account for every colon: the ``over`` beside required keys, ``left`` of them beside values too."""
    if b"\\" in blob:
        return False
    for needle in others:
        left -= blob.count(needle)
        if left == 0:
            return True
    left = over
    # Devices of a kind send the same fields: those of the first record are looked for first, and usually suffice.
    first = blob[:2048]
    for needle in sorted(needles, key=lambda name: name not in first):
        left -= blob.count(needle)
        if left == 0:
            return True
    return False


def _count(values: Iterable[bytes], names: frozenset[str]) -> int:
    readable = [value for value in values if value]
    known = names.issuperset
    try:
        # Each value is known to be one JSON document, so joining them cannot deceive.
        trees = orjson.loads(b"[" + b",".join(readable) + b"]")
        return sum([not known(tree) if type(tree) is dict else _unknown_among(tree, names) for tree in trees])
    except ValueError:
        return sum(_unknown_in(value, names) for value in readable)


def _unknown_in(value: bytes, names: frozenset[str]) -> int:
    try:
        tree: Any = orjson.loads(value)
    except ValueError:
        try:  # bare NaN, or bytes in an unknown field that are not UTF-8
            tree = json.loads(value.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return 1
    return _unknown_among(tree if isinstance(tree, list) else [tree], names)


def _unknown_among(tree: Any, names: frozenset[str]) -> int:
    """Of an array's elements; of an envelope's data that is no object nothing is known."""
    return sum(isinstance(item, dict) and not names.issuperset(item) for item in tree) if isinstance(tree, list) else 0

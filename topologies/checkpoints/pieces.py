"""A state tree as msgpack in pieces: small things encoded, arrays as they lie in memory, put together a little at a time.

A partition of a large city is tens of megabytes of state, nearly all of it arrays. Encoded in one call, each of several copies
of that held the interpreter, and alerts waited for it (benchmarks/growth.py tells how long). Pieces are views of the captured
arrays, and whoever puts them together (:meth:`Pieces.into`) lets other threads go on after every quarter of a megabyte.

The bytes are those that msgpack has for the tree; arrays and what msgpack does not know (tuples, sets, dicts of other keys than
text, integers above 64 bits) stand in extensions, numbered here for :mod:`topologies.checkpoints.format`, which reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import numpy as np

ARRAY, TUPLE, PAIRS, SET, BIG = 1, 2, 3, 4, 5
#: Kinds of dtypes that may stand in a checkpoint: plain numbers, truth values, text and bytes of fixed width.
KINDS = frozenset("biufSU")
#: Bytes copied before other threads are let go on.
STEP = 1 << 18

_TEXT = {str}
_SCALARS = {str, int, float, bool, bytes, type(None)}
_encoder = msgspec.msgpack.Encoder()

Buffer = bytes | memoryview


class Pieces:
    """The encoded tree: ``len`` of it in bytes."""

    def __init__(self, tree: Any) -> None:
        """Raises TypeError where the tree holds what a checkpoint cannot."""
        self._pieces: list[Buffer] = []
        self._size = 0
        self._put(tree)

    def __len__(self) -> int:
        return self._size

    def into(self, room: memoryview) -> None:
        """Copy all of it to the beginning of ``room``."""
        at = 0
        for piece in _joined(self._pieces):
            for start in range(0, len(piece), STEP):
                part = piece[start : start + STEP]
                room[at : at + len(part)] = part
                at += len(part)

    def _add(self, piece: Buffer) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def _put(self, value: Any) -> None:
        if isinstance(value, dict):
            self._dict(value)
        elif isinstance(value, list):
            if all_scalars(value):
                self._add(_encoder.encode(value))
            else:
                self._list(value)
        elif isinstance(value, tuple):
            self._extension(TUPLE, list(value))
        elif isinstance(value, set | frozenset):
            # Sorted, so that equal states are equal bytes.
            self._extension(SET, sorted(value, key=repr))
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, np.generic):
            self._put(value.item())
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            self._add(_encoder.encode(msgspec.msgpack.Ext(BIG, str(value).encode())))
        elif value is None or isinstance(value, str | bytes | bool | int | float):
            self._add(_encoder.encode(value))
        elif isinstance(value, msgspec.Struct):
            self._put(msgspec.to_builtins(value))
        else:
            raise TypeError(f"a {type(value).__name__} cannot stand in a checkpoint; snapshots hold plain values and arrays")

    def _dict(self, value: dict[Any, Any]) -> None:
        if not set(map(type, value)) <= _TEXT:
            self._extension(PAIRS, [[key, item] for key, item in value.items()])
        elif all_scalars(value.values()):
            self._add(_encoder.encode(value))
        else:
            self._add(_head(len(value), 0x80, _MAP))
            for key, item in value.items():
                self._add(_encoder.encode(key))
                self._put(item)

    def _list(self, value: Collection[Any]) -> None:
        self._add(_head(len(value), 0x90, _LIST))
        for item in value:
            self._put(item)

    def _extension(self, code: int, items: list[Any]) -> None:
        inner = Pieces(items)
        self._add(_extension_head(code, len(inner)))
        for piece in inner._pieces:
            self._add(piece)

    def _array(self, value: np.ndarray[Any, Any]) -> None:
        """[dtype, shape, bytes] in an extension."""
        if value.dtype.kind not in KINDS:
            raise TypeError(f"an array of {value.dtype} cannot stand in a checkpoint")
        dtype = value.dtype.newbyteorder("<")
        flat = np.ascontiguousarray(value, dtype=dtype).reshape(-1)
        size = flat.nbytes
        body = memoryview(flat.view(np.uint8).data) if size else b""
        before = b"".join((b"\x93", _encoder.encode(dtype.str), _encoder.encode(list(value.shape)), _long_head(size, _BIN)))
        self._add(_extension_head(ARRAY, len(before) + size))
        self._add(before)
        self._add(body)


#: msgpack's marks by the bytes of the count behind them; of extensions of a few sizes, by the size.
_MAP, _LIST, _BIN, _EXTENSION = {2: 0xDE, 4: 0xDF}, {2: 0xDC, 4: 0xDD}, {1: 0xC4, 2: 0xC5, 4: 0xC6}, {1: 0xC7, 2: 0xC8, 4: 0xC9}
_FIXED = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}


def _head(count: int, short: int, marks: dict[int, int]) -> bytes:
    """Of a map or a list: fifteen things and fewer stand in the mark itself."""
    return bytes((short | count,)) if count <= 15 else _long_head(count, marks)


def _long_head(count: int, marks: dict[int, int]) -> bytes:
    """The narrowest mark for the count, and the count."""
    for width, mark in marks.items():
        if count < 1 << (8 * width):
            return bytes((mark,)) + count.to_bytes(width, "big")
    raise TypeError(f"{count} things or bytes are too many for one checkpoint")


def _extension_head(code: int, size: int) -> bytes:
    if size in _FIXED:
        return bytes((_FIXED[size], code))
    return _long_head(size, _EXTENSION) + bytes((code,))


def _joined(pieces: Iterable[Buffer]) -> Iterable[Buffer]:
    """The same bytes, small neighbours together."""
    small: list[Buffer] = []
    size = 0
    for piece in pieces:
        if len(piece) >= STEP // 4:
            if small:
                yield b"".join(small)
                small, size = [], 0
            yield piece
            continue
        small.append(piece)
        size += len(piece)
        if size >= STEP:
            yield b"".join(small)
            small, size = [], 0
    if small:
        yield b"".join(small)


def all_scalars(values: Collection[Any]) -> bool:
    """Whether all stand in msgpack as they are: tables of a hundred thousand entries are looked at in C, not one by one."""
    kinds = set(map(type, values))
    if not kinds <= _SCALARS:
        return False
    if int not in kinds:
        return True
    whole = values if kinds == {int} else [value for value in values if type(value) is int]
    return min(whole) >= -(2**63) and max(whole) < 2**64

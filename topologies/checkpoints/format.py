"""Checkpoints as bytes: msgpack of plain values and named typed arrays, behind a magic word, a format number and a checksum.

Never pickle: whoever can write to a shared store could then run code here. An array travels as (dtype, shape, bytes) in a
msgpack extension; only the plain numeric, boolean and fixed-width text dtypes are accepted, and the byte count must match.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import numpy as np

from streams.errors import Mend
from topologies.checkpoints import upgrades
from topologies.checkpoints.protocol import REBUILD, Checkpoint, ShardKey
from topologies.checkpoints.upgrades import FORMAT, OLDEST

MAGIC = b"citywatch-checkpoint\x00"
_NUMBER_AT, _CHECKSUM_BYTES = len(MAGIC), 4

_ARRAY, _TUPLE, _PAIRS, _SET, _BIG = 1, 2, 3, 4, 5
_KINDS = frozenset("biufSU")
_TEXT = {str}
_SCALARS = {str, int, float, bool, bytes, type(None)}


def _plain(value: Any) -> Any:
    """The tree with arrays, tuples, sets and dicts of other keys than text wrapped, so that they come back as they were."""
    if isinstance(value, dict):
        if set(map(type, value)) <= _TEXT:
            return value if _all_scalars(value.values()) else {key: _plain(item) for key, item in value.items()}
        return msgspec.msgpack.Ext(_PAIRS, _encoder.encode([[_plain(k), _plain(v)] for k, v in value.items()]))
    if isinstance(value, list):
        return value if not value or _all_scalars(value) else [_plain(item) for item in value]
    if isinstance(value, tuple):
        return msgspec.msgpack.Ext(_TUPLE, _encoder.encode([_plain(item) for item in value]))
    if isinstance(value, set | frozenset):
        # Sorted, so that equal states are equal bytes.
        return msgspec.msgpack.Ext(_SET, _encoder.encode(sorted((_plain(item) for item in value), key=repr)))
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(_BIG, str(value).encode())
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.to_builtins(value))
    raise TypeError(f"a {type(value).__name__} cannot stand in a checkpoint; snapshots hold plain values and arrays")


def _all_scalars(values: Collection[Any]) -> bool:
    """Whether all stand in msgpack as they are: tables of a hundred thousand entries are looked at in C, not one by one."""
    kinds = set(map(type, values))
    if not kinds <= _SCALARS:
        return False
    if int not in kinds:
        return True
    whole = values if kinds == {int} else [value for value in values if type(value) is int]
    return min(whole) >= -(2**63) and max(whole) < 2**64


def _array(value: np.ndarray[Any, Any]) -> msgspec.msgpack.Ext:
    if value.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {value.dtype} cannot stand in a checkpoint")
    dtype = value.dtype.newbyteorder("<")
    body = np.ascontiguousarray(value, dtype=dtype).tobytes()
    return msgspec.msgpack.Ext(_ARRAY, _encoder.encode([dtype.str, list(value.shape), body]))


def _extension(code: int, data: memoryview) -> Any:
    if code == _BIG:
        return int(bytes(data))
    inner = _decoder.decode(data)
    if code == _TUPLE:
        return tuple(inner)
    if code == _PAIRS:
        return dict(inner)
    if code == _SET:
        return set(inner)
    if code == _ARRAY:
        name, shape, body = inner
        dtype = np.dtype(name)
        if dtype.kind not in _KINDS or math.prod(shape) * dtype.itemsize != len(body):
            raise ValueError(f"array of {name} and shape {shape} with {len(body)} bytes")
        return np.frombuffer(body, dtype=dtype).reshape(shape).copy()
    raise ValueError(f"extension {code}")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ext_hook=_extension)


@functools.cache
def writer() -> str:
    """Who writes here, as every checkpoint says."""
    try:
        return f"citywatch {version('citywatch')}"
    except PackageNotFoundError:
        return "citywatch from a folder"


def encode(checkpoint: Checkpoint, number: int = FORMAT) -> bytes:
    """As format ``number``: this version's, or an older one that its :mod:`~topologies.checkpoints.upgrades` lead back to.

    Raises TypeError where a snapshot holds what the format does not know: an error of the program, not of its input.
    """
    tree = {
        "key": list(checkpoint.key),
        "cluster_id": checkpoint.cluster_id,
        "partition_count": checkpoint.partition_count,
        "generation": checkpoint.generation,
        "mark": checkpoint.mark,
        "rule_fingerprint": checkpoint.rule_fingerprint,
        "registry_revision": checkpoint.registry_revision,
        "written_at": checkpoint.written_at,
        "written_by": writer(),
        "state": checkpoint.state,
        "outbox": checkpoint.outbox,
        "marks": checkpoint.marks,
    }
    tree = upgrades.down(tree, FORMAT, number)
    body = _encoder.encode({name: _plain(value) for name, value in tree.items()})
    checksum = zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") if number >= upgrades.CHECKED else b""
    return b"".join((MAGIC, number.to_bytes(2, "big"), checksum, body))


def decode(value: bytes, where: str = "checkpoint") -> Checkpoint:
    """Of this version's format or an older one. Raises :class:`Mend` for foreign bytes, an unknown format, or damage."""
    number = format_of(value, where)
    if not OLDEST <= number <= FORMAT:
        younger = "start the version that wrote it; while versions are mixed, the newer one needs checkpoint_format = "
        raise Mend(
            f"has format {number}, this version reads {OLDEST} to {FORMAT}",
            where=where,
            mend=f"{younger}{FORMAT}; or {REBUILD}" if number > FORMAT else f"use the version that wrote it, or {REBUILD}",
        )
    body = memoryview(value)[_NUMBER_AT + 2 :]
    try:
        if number >= upgrades.CHECKED:
            checksum, body = body[:_CHECKSUM_BYTES], body[_CHECKSUM_BYTES:]
            if zlib.crc32(body) != int.from_bytes(checksum, "big"):
                raise ValueError("its checksum does not fit its bytes")
        tree = upgrades.up(_decoder.decode(body), number, FORMAT)
        tree["key"] = ShardKey(*tree["key"])
        return Checkpoint(**tree)
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise Mend(f"is damaged ({error})", where=where, mend=REBUILD) from None


def format_of(value: bytes, where: str = "checkpoint") -> int:
    """The number in front. Raises :class:`Mend` for foreign bytes."""
    if not value.startswith(MAGIC):
        raise Mend("is not a citywatch checkpoint", where=where, mend="set CITYWATCH_NAMESPACE to one that nothing else uses")
    return int.from_bytes(value[_NUMBER_AT : _NUMBER_AT + 2], "big")

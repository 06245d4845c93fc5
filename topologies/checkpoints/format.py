"""Checkpoints as bytes: msgpack of plain values and named typed arrays, behind a magic word, a format number and a checksum.

Never pickle: whoever can write to a shared store could then run code here. An array travels as (dtype, shape, bytes) in a
msgpack extension; only the plain numeric, boolean and fixed-width text dtypes are accepted, and the byte count must match.
"""

from __future__ import annotations

import functools
import math
import zlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import numpy as np

from streams.errors import Mend
from topologies.checkpoints import upgrades
from topologies.checkpoints.pieces import ARRAY, BIG, KINDS, PAIRS, SET, TUPLE, Pieces
from topologies.checkpoints.protocol import REBUILD, Checkpoint, ShardKey
from topologies.checkpoints.upgrades import FORMAT, OLDEST

MAGIC = b"citywatch-checkpoint\x00"
_NUMBER_AT, _CHECKSUM_BYTES = len(MAGIC), 4


def _extension(code: int, data: memoryview) -> Any:
    if code == BIG:
        return int(bytes(data))
    inner = _decoder.decode(data)
    if code == TUPLE:
        return tuple(inner)
    if code == PAIRS:
        return dict(inner)
    if code == SET:
        return set(inner)
    if code == ARRAY:
        name, shape, body = inner
        dtype = np.dtype(name)
        if dtype.kind not in KINDS or math.prod(shape) * dtype.itemsize != len(body):
            raise ValueError(f"array of {name} and shape {shape} with {len(body)} bytes")
        return np.frombuffer(body, dtype=dtype).reshape(shape).copy()
    raise ValueError(f"extension {code}")


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
    return bytes(Encoder().encode(checkpoint, number))


class Encoder:
    """Encodes one checkpoint after the other in the same memory: each is good until the next is asked for.

    Tens of megabytes that are asked for and given back every few seconds cost the system time of their own, and alerts wait.
    """

    def __init__(self) -> None:
        self._room = np.empty(0, dtype=np.uint8)

    def encode(self, checkpoint: Checkpoint, number: int = FORMAT) -> memoryview:
        """See :func:`encode`. Other threads go on meanwhile."""
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
        body = Pieces(upgrades.down(tree, FORMAT, number))
        checked = number >= upgrades.CHECKED
        before = _NUMBER_AT + 2 + (_CHECKSUM_BYTES if checked else 0)
        size = before + len(body)
        if size > len(self._room):
            self._room = np.empty(size + size // 8, dtype=np.uint8)
        value = self._room.data[:size]
        value[: _NUMBER_AT + 2] = MAGIC + number.to_bytes(2, "big")
        body.into(value[before:])
        if checked:
            value[_NUMBER_AT + 2 : before] = zlib.crc32(value[before:]).to_bytes(_CHECKSUM_BYTES, "big")
        return value


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

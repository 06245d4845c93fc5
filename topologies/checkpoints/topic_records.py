"""What stands in the checkpoint topic: per shard one head, and the value behind it in parts no record of which is too large.

``<namespace>:<group>:<stage>/<topic>/<partition>#head`` says who owns the shard and which value holds; ``…#0``, ``…#1`` … are
its parts. A head and the parts it names are written in one transaction, so a reader of committed records never sees half of
one. A claim replaces the head alone. Parts of an older, longer value are tombstoned in the same transaction; one that is
met all the same carries another version and is ignored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from streams.errors import Mend
from topologies.checkpoints.protocol import ShardKey, Value

#: Bytes of one part: below the 1,048,588 that brokers, copies and clients allow where nobody changed a setting.
PART_BYTES = 1_000_000
VERSION_HEADER = "cw_version"
_HEAD = "head"


class Head(msgspec.Struct, frozen=True):
    """``version`` is empty where the shard was claimed and nothing was written yet; ``mark`` is the value's."""

    generation: int = 0
    mark: int = 0
    version: str = ""
    parts: int = 0
    size: int = 0
    sha256: str = ""


#: Of a shard that was never claimed.
NOBODY = Head()


@dataclass(frozen=True, slots=True)
class Place:
    """Whose record: ``part`` is None for the head."""

    shard: str
    part: int | None


def record_key(prefix: str, shard: str, part: int | None) -> str:
    """
    >>> record_key("citywatch:east", "detect/city.sensor.readings/2", 0)
    'citywatch:east:detect/city.sensor.readings/2#0'
    """
    return f"{prefix}:{shard}#{_HEAD if part is None else part}"


def place_of(prefix: str, key: bytes | None) -> Place | None:
    """None for another namespace's or group's record.

    >>> place_of("a:b", b"a:b:controls/city.mutes/0#head")
    Place(shard='controls/city.mutes/0', part=None)
    >>> place_of("a:b", b"a:c:controls/city.mutes/0#head") is None
    True
    """
    text = (key or b"").decode("utf-8", "replace")
    if not text.startswith(f"{prefix}:"):
        return None
    shard, _, part = text[len(prefix) + 1 :].rpartition("#")
    if not shard or not (part == _HEAD or part.isdigit()):
        return None
    return Place(shard, None if part == _HEAD else int(part))


def shard_key(text: str) -> ShardKey:
    """
    >>> shard_key("detect/city.sensor.readings/2").partition
    2
    """
    stage, rest = text.split("/", 1)
    topic, partition = rest.rsplit("/", 1)
    return ShardKey(stage, topic, int(partition))


def cut(value: Value) -> list[bytes]:
    """Parts of a value; an empty one has none."""
    return [bytes(value[start : start + PART_BYTES]) for start in range(0, len(value), PART_BYTES)]


def head_of(generation: int, mark: int, version: str, value: Value) -> Head:
    return Head(generation, mark, version, -(-len(value) // PART_BYTES), len(value), hashlib.sha256(value).hexdigest())


def encode_head(head: Head) -> bytes:
    return msgspec.json.encode(head)


def decode_head(value: bytes, where: str) -> Head:
    """Raises :class:`Mend` for what is no head."""
    try:
        return msgspec.json.decode(value, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Mend(
            f"the head of {where} cannot be read ({error})",
            where="checkpoint topic",
            mend="use the version that wrote it, or `citywatch worker --rebuild-from TIME`",
        ) from None


def join(head: Head, parts: list[bytes], where: str) -> bytes:
    """The value of a head. Raises :class:`Mend` where it is not what was written."""
    value = b"".join(parts)
    if len(parts) != head.parts or len(value) != head.size or hashlib.sha256(value).hexdigest() != head.sha256:
        raise Mend(
            f"{where} is damaged: {len(parts)} of {head.parts} parts, {len(value)} of {head.size} bytes",
            where="checkpoint topic",
            mend="run `citywatch worker --rebuild-from TIME` to re-decide from the retained log",
        )
    return value

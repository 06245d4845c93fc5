"""The incident stage's state as bytes, and what makes a saved one unusable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streams.errors import Mend

#: Raised whenever the tree changes so that an older stage or a newer one could not read it.
FORMAT = 4

_PARTS = ("city", "marks", "progress", "mutes", "outages", "bursts", "casebook")


def to_bytes(snapshot: Mapping[str, Any]) -> bytes:
    """msgpack (never pickle: the store is shared, D4)."""
    return msgspec.msgpack.encode(snapshot)


def from_bytes(data: bytes) -> dict[str, Any]:
    try:
        tree = msgspec.msgpack.decode(data)
    except msgspec.DecodeError as error:
        raise Mend(f"the incident stage's state cannot be read: {error}", "checkpoint", _REBUILD) from None
    checked(tree)
    assert isinstance(tree, dict)
    return tree


def checked(tree: Any) -> None:
    """Raises :class:`Mend` where the tree is not a state of this format."""
    if not isinstance(tree, Mapping) or any(part not in tree for part in _PARTS):
        raise Mend("the incident stage's state lacks parts", "checkpoint", _REBUILD)
    if tree.get("format") != FORMAT:
        raise Mend(
            f"the incident stage's state has format {tree.get('format')!r}, this version reads {FORMAT}", "checkpoint", _REBUILD
        )


_REBUILD = "start with `citywatch worker --rebuild-from TIME`; incidents come out identical"

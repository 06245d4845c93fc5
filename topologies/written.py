"""Parts of a state as bytes, each encoded anew only after it has changed: what a checkpoint costs follows the change.

Ten thousand open incidents took half a second to encode, on the event loop's core, every few seconds; between two checkpoints a
few dozen of them change. The bytes are msgpack of the struct as it stands, so a kept encoding and a fresh one are the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

K = TypeVar("K", bound=Hashable)

_encode = msgspec.msgpack.Encoder().encode


class Touched(Generic[K]):
    """For structs that change in place: whoever may change one says so beforehand or afterwards, once or often.

    >>> held = {"a": [1], "b": [2]}
    >>> kept = Touched(held)
    >>> kept.touch("a"); kept.touch("b"); kept.bytes() == [b"\\x91\\x01", b"\\x91\\x02"]
    True
    >>> held["a"].append(3); kept.touch("a"); kept.settle(); kept.bytes() == [b"\\x92\\x01\\x03", b"\\x91\\x02"]
    True
    """

    def __init__(self, held: Mapping[K, Any]) -> None:
        self._held = held
        self._kept: dict[K, bytes] = {}
        self._touched: dict[K, None] = {}

    def touch(self, key: K) -> None:
        self._touched[key] = None

    def settle(self) -> None:
        """Encode what was touched: called after every batch it keeps a checkpoint from having to do all of it at once."""
        held, kept = self._held, self._kept
        for key in self._touched:
            one = held.get(key)
            if one is None:
                kept.pop(key, None)
            else:
                kept[key] = _encode(one)
        self._touched.clear()

    def bytes(self) -> list[bytes]:
        """Everything held, in the order in which it is held."""
        self.settle()
        return list(map(self._kept.__getitem__, self._held))


class Unchanged(Generic[K]):
    """For structs whose fields are replaced, never changed in place: the fields themselves tell whether one is as it was."""

    def __init__(self) -> None:
        self._kept: dict[K, tuple[tuple[Any, ...], bytes]] = {}

    def bytes(self, held: Iterable[tuple[K, tuple[Any, ...], Any]]) -> list[bytes]:
        """For each (key, fields, struct), in order; what is not among them is forgotten.

        >>> kept = Unchanged()
        >>> kept.bytes([("a", (1, "x"), [1, "x"])]) == kept.bytes([("a", (1, "x"), "not looked at")])
        True
        """
        before, after = self._kept, {}
        found = []
        for key, fields, struct in held:
            known = before.get(key)
            # Tuples compare what is the same object without looking into it.
            if known is None or known[0] != fields:
                known = (fields, _encode(struct))
            after[key] = known
            found.append(known[1])
        self._kept = after
        return found

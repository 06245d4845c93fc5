"""Byte strings as they stand in one buffer: a text is cut out when somebody looks at it, which of most nobody ever does.

What was fetched from a log, or read from a file, holds the values of a thousand records side by side. To make an object of each
of them, and to join them again for the scan of their JSON (:mod:`streams.scan`), was a large part of what a reading cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from streams.batch import Int64

#: Behind the last text stands so much that whoever scans it may look ahead: more than the longest name of a field.
PAD = b"\n" * 64
_NOWHERE = -1


class Packed(Sequence[bytes | None]):
    """Text i are ``sizes[i]`` bytes of ``data`` from ``starts[i]`` on, or None where its size is negative.

    >>> texts = Packed.of([b"ab", None, b"c"])
    >>> len(texts), texts[0], texts[1], list(texts[1:])
    (3, b'ab', None, [None, b'c'])
    """

    __slots__ = ("data", "sizes", "starts")

    def __init__(self, data: bytes, starts: Int64, sizes: Int64) -> None:
        self.data, self.starts, self.sizes = data, starts, sizes

    @classmethod
    def of(cls, texts: Sequence[bytes | None]) -> Packed:
        """The texts of a list, side by side."""
        sizes: Int64 = np.fromiter((_NOWHERE if text is None else len(text) for text in texts), np.int64, len(texts))
        return cls(b"".join([*filter(None, texts), PAD]), _begins(sizes), sizes)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> Packed: ...
    def __getitem__(self, at: int | slice) -> bytes | Packed | None:
        if isinstance(at, slice):
            return Packed(self.data, self.starts[at], self.sizes[at])
        begin, size = int(self.starts[at]), int(self.sizes[at])
        return None if size < 0 else self.data[begin : begin + size]

    def __iter__(self) -> Iterator[bytes | None]:
        data = self.data
        for begin, size in zip(self.starts.tolist(), self.sizes.tolist(), strict=True):
            yield None if size < 0 else data[begin : begin + size]

    def take(self, rows: NDArray[np.integer]) -> Packed:
        return Packed(self.data, self.starts[rows], self.sizes[rows])

    def without(self, rows: NDArray[np.bool_]) -> Packed:
        """Those of ``rows`` as empty texts."""
        return Packed(self.data, self.starts, np.where(rows, 0, self.sizes))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Packed | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Packed({list(self)!r})"


def _begins(sizes: Int64) -> Int64:
    taken = np.maximum(sizes, 0)
    begins: Int64 = np.cumsum(taken) - taken
    return begins

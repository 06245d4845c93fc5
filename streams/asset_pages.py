"""A city's assets as they were written: JSON that is seldom asked for and looks all alike, packed.

They lie in the order of their ids in pages of some dozens, each of them compressed; so they weigh a tenth, a text is found by
opening one page, and a change of some copies the list of pages and packs those again that it meets.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter

import msgspec

#: Texts of a page as it is packed, and the most there may be before it is cut: more weigh less and take longer to look through.
_PAGE, _MOST = 64, 128


class _Named(msgspec.Struct):
    asset_id: str


_named = msgspec.json.Decoder(_Named).decode


def _id_of(text: bytes) -> str:
    return _named(text).asset_id


class AssetPages:
    """A value: :meth:`changed` gives another one. A text is an asset's JSON in one line."""

    def __init__(self) -> None:
        #: The first id of each page, ascending, and the pages.
        self._firsts: list[str] = []
        self._pages: list[bytes] = []

    def get(self, name: str) -> bytes | None:
        return next(self.some([name]), None)

    def some(self, names: Iterable[str]) -> Iterator[bytes]:
        """The texts there are of these ids, which ascend: a page is opened once for all of it."""
        for place, wanted in groupby(names, self._page_of):
            page = dict(self._open(place))
            yield from (page[name] for name in wanted if name in page)

    def lines(self) -> Iterator[bytes]:
        """All texts in the order of their ids."""
        for page in self._pages:
            yield from zlib.decompress(page).split(b"\n")

    def changed(self, texts: Iterable[tuple[str, bytes | None]]) -> AssetPages:
        """The pages with these texts, and without those that are None; in ascending order of ids, each once.

        They are packed as they come: a city's texts are never there all at once.
        """
        found = AssetPages()
        kept = 0
        for place, new in groupby(texts, lambda entry: self._page_of(entry[0])):
            found._keep(self, kept, place)
            kept = place + 1
            found._pack(_merged(self._open(place), new))
        found._keep(self, kept, len(self._pages))
        return found

    def _page_of(self, name: str) -> int:
        return max(bisect_right(self._firsts, name) - 1, 0)

    def _open(self, place: int) -> list[tuple[str, bytes]]:
        if place >= len(self._pages):
            return []
        return [(_id_of(line), line) for line in zlib.decompress(self._pages[place]).split(b"\n")]

    def _keep(self, other: AssetPages, first: int, end: int) -> None:
        self._firsts += other._firsts[first:end]
        self._pages += other._pages[first:end]

    def _pack(self, texts: Iterator[tuple[str, bytes]]) -> None:
        waiting: list[tuple[str, bytes]] = []
        for entry in texts:
            waiting.append(entry)
            if len(waiting) > _MOST:
                self._append(waiting[:_PAGE])
                del waiting[:_PAGE]
        if waiting:
            self._append(waiting)

    def _append(self, entries: list[tuple[str, bytes]]) -> None:
        # Its own name, not the caller's, which may lie in the midst of much that is about to be forgotten and hold it all.
        self._firsts.append(_id_of(entries[0][1]))
        self._pages.append(zlib.compress(b"\n".join(text for _, text in entries), 1))


def _merged(old: Iterable[tuple[str, bytes]], new: Iterable[tuple[str, bytes | None]]) -> Iterator[tuple[str, bytes]]:
    """Both in order; where they have the same id, the new one."""
    both: Iterable[tuple[str, bytes | None]] = merge(old, new, key=itemgetter(0))
    for _, same in groupby(both, itemgetter(0)):
        # The merge is stable: of two the new one comes last.
        *_, (name, text) = same
        if text is not None:
            yield name, text

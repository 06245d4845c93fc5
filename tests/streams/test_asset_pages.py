"""streams.asset_pages: a registry's texts, packed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams import asset_pages
from streams.asset_pages import AssetPages


def text(name: str, said: int) -> bytes:
    # The name of another one stands in it, and must not be taken for its own.
    return b'{"asset_id":"%s","n":%d,"inside":{"asset_id":"a1"}}' % (name.encode(), said)


NAMES = st.integers(0, 400).map(lambda n: f"a{n}")
CHANGE = st.dictionaries(NAMES, st.none() | st.integers(0, 9), max_size=300)


@given(st.lists(CHANGE, max_size=5))
def test_pages_hold_what_a_table_would(changes: list[dict[str, int | None]]) -> None:
    pages, table = AssetPages(), dict[str, bytes]()
    for change in changes:
        told = {name: None if said is None else text(name, said) for name, said in change.items()}
        before, lines = pages, list(pages.lines())
        pages = pages.changed(sorted(told.items()))
        assert list(before.lines()) == lines  # a value
        table = {name: line for name, line in (table | told).items() if line is not None}
        assert list(pages.lines()) == [table[name] for name in sorted(table)]
        assert all(pages.get(name) == table.get(name) for name in [*change, "a", "a7", "z"])


def test_a_page_is_never_too_long_to_look_through() -> None:
    pages = AssetPages()
    for first in range(0, 1000, 7):
        names = [f"a{number * 7919 % 1009:04d}" for number in range(first, first + 7)]
        pages = pages.changed((name, text(name, 0)) for name in sorted(names))
    sizes = [len(pages._open(place)) for place in range(len(pages._pages))]
    assert sum(sizes) == 1001 and max(sizes) <= asset_pages._MOST


def test_a_change_of_one_packs_one_page_again() -> None:
    names = [f"a{number:04d}" for number in range(1000)]
    pages = AssetPages().changed((name, text(name, 0)) for name in names)
    changed = pages.changed([("a0500", text("a0500", 1))])
    assert sum(one is not other for one, other in zip(pages._pages, changed._pages, strict=True)) == 1


def test_what_looks_alike_weighs_little() -> None:
    names = [f"a{number:04d}" for number in range(1000)]
    pages = AssetPages().changed((name, text(name, 0)) for name in names)
    assert sum(map(len, pages._pages)) < 0.2 * sum(len(text(name, 0)) for name in names)

"""Memory by slot: it holds what was put into it, begins with a line of the cache, and fetching changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from streams import slot_memory
from streams.series import grown
from streams.slot_memory import LINE, fetch, padded, room

KIND = np.dtype([("a", np.float64), ("b", np.int64)])
#: Of the heap, and of a map of its own.
ROWS = (1, 1_000, 200_000)


@pytest.mark.parametrize("rows", ROWS)
def test_room_begins_with_a_line_and_can_be_written(rows: int) -> None:
    found = room((rows,), KIND)
    found["a"], found["b"] = 1.5, np.arange(rows)
    assert found.ctypes.data % LINE == 0 and found.shape == (rows,)
    assert (found["a"] == 1.5).all() and found["b"].tolist() == list(range(rows))


@pytest.mark.parametrize("rows", ROWS)
def test_what_grows_keeps_what_it_had(rows: int) -> None:
    before = room((rows, 2), np.dtype(np.int32))
    before[...] = np.arange(2 * rows).reshape(rows, 2)
    after = grown(before, rows + 5, -1)
    assert (after[:rows] == before).all() and (after[rows:] == -1).all() and len(after) >= rows + 5


def test_room_outlives_whoever_made_it() -> None:
    part = room((200_000,), KIND)["b"][-3:]
    part[:] = 1, 2, 3
    assert [room((200_000,), KIND).nbytes, *part.tolist()] == [200_000 * KIND.itemsize, 1, 2, 3]


@pytest.mark.parametrize("size", range(1, 200))
def test_a_padded_record_lies_in_as_few_lines_as_it_fills(size: int) -> None:
    whole = padded(size)
    lines = [(number * whole % LINE + size - 1) // LINE + 1 for number in range(LINE)]
    assert whole >= size and max(lines) == -(-size // LINE)


@pytest.mark.parametrize("rows", ROWS)
def test_fetching_changes_nothing(rows: int) -> None:
    records = room((rows,), KIND)
    records["a"], records["b"] = 0.5, 7
    before = records.copy()
    fetch(records, np.array([0, rows - 1, 0], dtype=np.int32))
    assert (records == before).all()


def test_where_there_are_no_large_pages_it_is_an_array_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(slot_memory.mmap, "MADV_HUGEPAGE", raising=False)
    found = room((200_000,), KIND)
    found["b"] = 3
    assert found["b"].sum() == 600_000

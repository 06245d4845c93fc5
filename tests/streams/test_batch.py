"""streams.batch: cutting and taking rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.batch import Batch, RawBatch, rounds


def batch(*slots: int) -> Batch:
    n = len(slots)
    whole = np.arange(n, dtype=np.int64)
    return Batch(
        "sensor",
        np.array(slots, dtype=np.int32),
        whole * 10,
        whole * 100,
        whole,
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=np.bool_),
        [f"r{i}" for i in range(n)],
        {"value": whole.astype(np.float64)},
    )


def test_a_cut_keeps_the_lists_parallel() -> None:
    raw = RawBatch("t", 1, [5, 6, 7], [50, 60, 70], [b"a", None, b"c"], [None, b"k", None], [[], [("h", b"1")], []])
    assert raw.cut(1, 3) == RawBatch("t", 1, [6, 7], [60, 70], [None, b"c"], [b"k", None], [[("h", b"1")], []])


def test_taking_by_mask_keeps_columns_and_records_together() -> None:
    taken = batch(4, 5, 6).take(np.array([True, False, True]))
    assert (taken.slot.tolist(), list(taken.records), taken.columns["value"].tolist()) == ([4, 6], ["r0", "r2"], [0.0, 2.0])


def test_taking_may_rename_the_slots() -> None:
    assert batch(4, 5, 6).take(np.array([2, 0]), np.array([0, 1], dtype=np.int32)).slot.tolist() == [0, 1]


@given(st.lists(st.integers(0, 5), max_size=40))
def test_rounds_show_every_row_once_and_no_slot_twice(slots: list[int]) -> None:
    slot = np.array(slots, dtype=np.int32)
    pieces = rounds(slot)
    assert sorted(row for piece in pieces for row in piece.tolist()) == list(range(len(slots)))
    assert all(len(set(slot[piece].tolist())) == len(piece) for piece in pieces)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_rounds_keep_the_order_of_every_slot(slots: list[int]) -> None:
    slot = np.array(slots, dtype=np.int32)
    shown = [row for piece in rounds(slot) for row in piece.tolist()]
    for one in set(slots):
        rows = [row for row in shown if slots[row] == one]
        assert rows == sorted(rows)

"""Slot records: the state of compiled detectors, where all numbers of one slot lie side by side.

A compiled loop takes row after row, and of each row all columns of one slot. From forty arrays it would fetch forty places of
memory a row, and being handed them costs a microsecond for every four; one array of records is one argument and one place.
Everything else sees columns, as everywhere: they are views into the records, and snapshots are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Columns
from streams.batch import Int32
from streams.series import grown
from streams.slot_memory import fetch, padded, room

_AT_ONCE = 256


class SlotRecords(Columns):
    """Columns whose arrays are the fields of one array of records.

    >>> state = SlotRecords(mean=(np.float64, 0.5), seen=(np.int32, 0, (2,)))
    >>> state.grow(2); state["seen"][1] = 3, 4
    >>> [(float(one["mean"]), one["seen"].tolist()) for one in state.records[:2]]
    [(0.5, [0, 0]), (0.5, [3, 4])]
    """

    def __init__(self, **kinds: tuple[Any, Any] | tuple[Any, Any, tuple[int, ...]]) -> None:
        super().__init__(**kinds)
        columns = [(name, array.dtype, array.shape[1:]) for name, array in self._arrays.items()]
        # The widest numbers first: aligned, and without gaps.
        columns.sort(key=lambda column: -column[1].itemsize)
        self._dtype = _padded(np.dtype(columns, align=True))
        #: One record, of a slot nothing is known of; shape (1,).
        self.blank: NDArray[Any] = np.empty(1, self._dtype)
        for name, kind in kinds.items():
            self.blank[name] = kind[1]
        self._take(room((0,), self._dtype))

    def _take(self, records: NDArray[Any]) -> None:
        #: One record a slot; another array after the state has grown or was restored.
        self.records: NDArray[Any] = records
        self._arrays = {name: records[name] for name in self._kinds}

    def near(self, slot: Int32) -> NDArray[Any]:
        """The records, for a compiled loop over these slots."""
        fetch(self.records, slot)
        return self.records

    def grow(self, size: int) -> None:
        if size <= self.size:
            return
        self.size = size
        if len(self.records) < size:
            # As bytes: numpy would copy records field by field.
            wide = self._dtype.itemsize
            held, blank = self.records.view(np.uint8).reshape(-1, wide), self.blank.view(np.uint8)
            self._take(grown(held, size, blank).reshape(-1).view(self._dtype))

    def restore(self, saved: Mapping[str, Any]) -> None:
        columns = self._taken(saved)
        records = room((self.size,), self._dtype)
        # Some records at a time: one column of all would fetch every line of a large city's state once for each column.
        for first in range(0, self.size, _AT_ONCE):
            piece = records[first : first + _AT_ONCE]
            for name, column in columns.items():
                piece[name] = column[first : first + _AT_ONCE]
        self._take(records)


def _padded(kind: np.dtype[Any]) -> np.dtype[Any]:
    """The same fields at the same places, and no record in more lines of the cache than it fills."""
    fields = {name: (field[0], field[1]) for name, field in (kind.fields or {}).items()}
    layout: Any = {"names": list(fields), "itemsize": padded(kind.itemsize)}
    layout["formats"], layout["offsets"] = zip(*fields.values(), strict=True)
    found: np.dtype[Any] = np.dtype(layout)
    return found

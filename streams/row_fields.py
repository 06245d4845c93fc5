"""Fields of a batch's records, each drawn once, however many look at it: as lists, as columns, as what is told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.batch import Bool, Float64


class RowFields(dict[str, list[Any]]):
    """``fields["unit"]`` is the list of the rows' units, made when it is first asked for. The rows are of one type.

    Whoever changes the records drops what does not hold any more (``pop``).
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__()
        self.rows = rows
        self._distinct: dict[str, set[Any]] = {}

    def __missing__(self, name: str) -> list[Any]:
        if not self.rows:
            return self.setdefault(name, [])
        self[name] = found = _drawer(type(self.rows[0]), name)(self.rows)  # type: ignore[arg-type]
        return found

    def distinct(self, name: str) -> set[Any]:
        """The different values of a field; identifiers and units of a batch are few, and most often one."""
        found = self._distinct.get(name)
        if found is None:
            values = self[name]
            alike = bool(values) and values.count(values[0]) == len(values)
            found = self._distinct[name] = set(values[:1] if alike else values)
        return found

    def numbers(self, name: str) -> tuple[Float64, Bool | None]:
        """A numeric field as a column, NaN where it is absent; and which rows sent no finite number, None where none did."""
        given = self[name]
        if given and given[0] is None and given.count(None) == len(given):
            return np.full(len(given), np.nan), None
        column = np.array(given, dtype=np.float64)  # None becomes NaN
        wrong = ~np.isfinite(column)
        if not np.count_nonzero(wrong):
            return column, None
        return column, wrong & np.array([value is not None for value in given], dtype=np.bool_)

    def coded(self, name: str, codes: dict[Any, float]) -> Float64:
        """A field of words as a column of their codes, NaN where a word has none."""
        nan = float("nan")
        if codes.keys().isdisjoint(self.distinct(name)):
            return np.full(len(self.rows), nan)
        return np.array([codes.get(word, nan) for word in self[name]])

    def take(self, index: NDArray[np.intp]) -> RowFields:
        """Those of the rows at ``index``."""
        return RowFields([self.rows[i] for i in index.tolist()])

    def convert(self, row: int, value: float, unit: str | None) -> None:
        """A reading's value in another unit."""
        self.rows[row].value, self.rows[row].unit = value, unit


@cache
def _drawer(kind: type, name: str) -> Callable[[Sequence[Any]], list[Any]]:
    """Draws one field of records of one type.

    Each has code of its own, in which the interpreter soon reads the field by its place in the record, which
    ``operator.attrgetter`` cannot. The name is that of a field, so nothing else is evaluated.
    """
    if name not in kind.__struct_fields__:  # type: ignore[attr-defined]
        raise AttributeError(f"{kind.__name__} has no field {name!r}")
    drawer: Callable[[Sequence[Any]], list[Any]] = eval(f"lambda rows: [row.{name} for row in rows]")
    return drawer

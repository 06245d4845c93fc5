"""Fields of a row: templates become text, numbers become floats, in the words of the mapping."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from replay.importer.mapping import Number, Numeric, SourceSpec

Row = dict[str, Any]
_FIELD = re.compile(r"\{([^{}]+)\}")


class NoValue(Exception):
    """The named reason why a cell gives no value: missing, not_a_number, no_column."""


class Cells:
    """Reads cells of a row as the source spec says (missing texts, decimal comma)."""

    def __init__(self, spec: SourceSpec) -> None:
        self._missing = frozenset(text.lower() for text in spec.missing)
        self._comma = spec.decimal == ","

    def text(self, row: Row, column: str) -> str:
        """The cell as text, empty where it is missing."""
        cell = row.get(column)
        if cell is None:
            return ""
        if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
            cell = int(cell)
        text = str(cell).strip()
        return "" if text.lower() in self._missing else text

    def number(self, row: Row, column: str) -> float:
        """The cell as a finite float. Raises :class:`NoValue`."""
        cell = row.get(column)
        if isinstance(cell, float | int) and not isinstance(cell, bool):
            number = float(cell)
        else:
            text = "" if cell is None else str(cell).strip()
            try:
                number = float(text.replace(",", ".") if self._comma else text)
            except ValueError:
                raise NoValue("missing" if text.lower() in self._missing else "not_a_number") from None
        if not math.isfinite(number):
            # A NaN in a table is the way of many programs to say that there was nothing.
            raise NoValue("missing" if math.isnan(number) else "not_a_number")
        return number

    def template(self, text: str) -> Callable[[Row], str]:
        """A function of the row; a template without fields is a constant.

        >>> from replay.importer.mapping import SourceSpec
        >>> Cells(SourceSpec("csv")).template("PRSA-{station}")({"station": "Dongsi"})
        'PRSA-Dongsi'
        """
        if "{" not in text:
            return lambda row: text
        return lambda row: _FIELD.sub(lambda field: self.text(row, field[1]), text).strip()

    def numeric(self, what: Numeric | None) -> Callable[[Row], float | None]:
        """A function of the row that is None where the cell gives no value."""
        if what is None:
            return lambda row: None
        if isinstance(what, float | int):
            constant = float(what)
            return lambda row: constant
        spec = Number(column=what) if isinstance(what, str) else what

        def read(row: Row) -> float | None:
            column = first_of(spec.column, row)
            try:
                return None if column is None else self.number(row, column) * spec.scale + spec.offset
            except NoValue:
                return None

        return read


def first_of(column: str | list[str], row: Row) -> str | None:
    """The first of the names that the row has."""
    if isinstance(column, str):
        return column if column in row else None
    return next((name for name in column if name in row), None)

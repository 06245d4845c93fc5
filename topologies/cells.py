"""A city in square cells: what lies near a point is found by nine of them, however much there is elsewhere."""

from __future__ import annotations

from math import cos, floor, radians, sqrt
from typing import Generic, TypeVar

from streams.geography import METRES_PER_DEGREE

K = TypeVar("K")
V = TypeVar("V")

#: Row and column.
Cell = tuple[int, int]


def metres_between(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Distance on the local tangent plane: within 0.1 % of the great circle below 20 km, where families live.

    >>> round(metres_between(31.82, 117.22, 31.821, 117.22))
    111
    """
    if lat1 == lat2 and lon1 == lon2:
        return 0.0  # sensors do not move: most questions are about one place
    x = (lon2 - lon1) * cos(radians((lat1 + lat2) / 2))
    y = lat2 - lat1
    return sqrt(x * x + y * y) * METRES_PER_DEGREE


def to_decimetre(metres: float) -> float:
    """``round(metres, 1)`` without writing the number down, as long as it does not lie half way between two tenths.

    >>> to_decimetre(12.34), to_decimetre(0.25)
    (12.3, 0.2)
    """
    tenths = metres * 10.0
    nearest = floor(tenths + 0.5)
    return nearest / 10.0 if -0.499 < tenths - nearest < 0.499 else round(metres, 1)


class Grid(Generic[V]):
    """Square cells of at least ``size_m`` with one thing in each that is not empty.

    They are kept row by row, so that looking into a row in which nothing is costs one look-up.

    >>> grid: Grid[str] = Grid(300.0)
    >>> cell = grid.of(31.82, 117.22)
    >>> grid.put(cell, "here"); grid.near(31.8215, 117.22), grid.near(31.84, 117.22)
    (['here'], [])
    >>> grid.remove(cell); grid.get(cell) is None
    True
    """

    def __init__(self, size_m: float) -> None:
        self._height = max(size_m, 1.0) / METRES_PER_DEGREE
        #: Degrees of longitude of a cell, by row.
        self._widths: dict[int, float] = {}
        #: By row: how wide a cell is, and what is in those that are not empty.
        self._rows: dict[int, tuple[float, dict[int, V]]] = {}

    def of(self, lat: float, lon: float) -> Cell:
        """The cell of a point; it and its neighbours hold everything within ``size_m`` of the point."""
        row = floor(lat / self._height)
        return row, floor(lon / (self._widths.get(row) or self._width(row)))

    def _width(self, row: int) -> float:
        """Wide enough at the row's edge nearer to the pole."""
        edge = min(89.0, max(abs(row), abs(row + 1)) * self._height)
        width = self._widths[row] = self._height / cos(radians(edge))
        return width

    def _columns(self, row: int) -> dict[int, V]:
        found = self._rows.get(row)
        if found is None:
            found = self._rows[row] = (self._width(row), {})
        return found[1]

    def get(self, cell: Cell) -> V | None:
        row, column = cell
        return self._rows[row][1].get(column) if row in self._rows else None

    def put(self, cell: Cell, thing: V) -> None:
        row, column = cell
        self._columns(row)[column] = thing

    def remove(self, cell: Cell) -> None:
        row, column = cell
        columns = self._rows[row][1]
        del columns[column]
        if not columns:
            del self._rows[row]

    def near(self, lat: float, lon: float) -> list[V]:
        """What is in the cell of the point and in its eight neighbours, by row and column."""
        found: list[V] = []
        rows = self._rows
        middle = floor(lat / self._height)
        for row in (middle - 1, middle, middle + 1):
            if row in rows:
                width, columns = rows[row]
                here = floor(lon / width)
                if here - 1 in columns:
                    found.append(columns[here - 1])
                if here in columns:
                    found.append(columns[here])
                if here + 1 in columns:
                    found.append(columns[here + 1])
        return found


class Names(Grid[dict[str, int]]):
    """Who is in which cell, and how often."""

    def count(self, lat: float, lon: float, name: str, by: int) -> None:
        row, column = self.of(lat, lon)
        columns = self._columns(row)
        tally(columns, column, name, by)
        if not columns:
            del self._rows[row]


def tally(table: dict[K, dict[str, int]], key: K, name: str, by: int) -> None:
    """Count ``name`` under ``key`` up or down; what has come to nothing leaves the table."""
    names = table.setdefault(key, {})
    count = names.get(name, 0) + by
    if count > 0:
        names[name] = count
    else:
        names.pop(name, None)
        if not names:
            del table[key]

"""Areas cut into the cells of a grid, for all areas at once.

A cell lies wholly inside an area, or wholly outside, or the area's border runs through it. Of the last, only what a ray to the
east meets before it leaves the cell is kept: the border pieces up to the cell's *east line*, and upright pieces of that line
where it runs inside the area. Both end at the very same points, so pieces and uprights are closed rings, and whether a ray
crosses an odd number of them says whether a point is inside, with holes and several parts and without a word about them.

The uprights say of every other cell whether it is full: where a whole side lies inside and no border passes, all of it does. So
nothing is clipped polygon by polygon; a few dozen numpy steps cut thousands of areas in the time shapely clips a dozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from streams.batch import Bool, Float64

Index = NDArray[np.int64]

#: A cell's border pieces are listed by strips of its height, so that a ray meets few of them that lie above or below it.
STRIPS = 4
#: Cells are this much larger than they are, so that rounding in a point's cell never meets the line where a piece was cut.
OVERLAP = 1e-6
#: Degrees east per degree north of a border piece that is all but flat: more would only overflow.
STEEPEST = 1e300


class Frame(NamedTuple):
    """Where a grid lies: its south-west corner and the size of a cell in degrees, and how many cells it has."""

    west: float
    south: float
    width: float
    height: float
    columns: int
    rows: int

    @property
    def cells(self) -> int:
        return self.columns * self.rows


class Cells(NamedTuple):
    """What is known of each cell, in the order of the areas.

    ``full_area[full_from[c]:full_from[c + 1]]`` are the areas that cover cell ``c``; ``edges[edge_from[s]:edge_from[s + 1]]``
    the border pieces of strip ``s``: x at the lower end, low, high (degrees), degrees east per degree north, area. Both have
    an empty cell behind the last, for points outside of the grid.
    """

    full_from: Index
    full_area: NDArray[np.int32]
    edge_from: Index
    edges: Float64


class _Borders(NamedTuple):
    """Straight pieces of the areas' rings, from (x1, y1) to (x2, y2)."""

    x1: Float64
    y1: Float64
    x2: Float64
    y2: Float64
    area: Index


def cut(areas: Sequence[Any], frame: Frame) -> Cells:
    """Cut polygonal geometries (lon/lat degrees; valid; empty ones hold nothing) at the lines of ``frame``."""
    borders = _borders(areas)
    pieces = _Pieces(borders, frame)
    uprights = _Uprights(pieces, frame)
    touched = np.unique(np.concatenate([pieces.touched(), uprights.partly]))
    full = np.setdiff1d(uprights.whole, touched, assume_unique=False)
    cell = full % frame.cells if frame.cells else full
    full_area = full // max(frame.cells, 1)

    strip, edges = _joined(pieces.listed(), uprights.listed(touched))
    order = np.lexsort((edges[:, 4], strip))
    by_cell = np.lexsort((full_area, cell))
    return Cells(
        _starts(cell, frame.cells), full_area[by_cell].astype(np.int32), _starts(strip, frame.cells * STRIPS), edges[order]
    )


def _borders(areas: Sequence[Any]) -> _Borders:
    parts, of_area = shapely.get_parts(np.array([*areas, None], dtype=object)[:-1], return_index=True)
    parts, deeper = shapely.get_parts(parts, return_index=True)
    rings, of_part = shapely.get_rings(parts, return_index=True)
    points, of_ring = shapely.get_coordinates(rings, return_index=True)
    same = of_ring[1:] == of_ring[:-1]
    area = of_area[deeper[of_part[of_ring[:-1][same]]]] if len(points) else np.empty(0, np.int64)
    ends = np.hstack([points[:-1], points[1:]])[same] if len(points) else np.empty((0, 4))
    x1, y1, x2, y2 = ends.T
    return _Borders(x1, y1, x2, y2, area.astype(np.int64))


class _Pieces:
    """Border pieces cut at the lines between columns: one for every column that a piece passes."""

    def __init__(self, borders: _Borders, frame: Frame) -> None:
        self.frame = frame
        x1, y1, x2, y2 = borders[:4]
        first, last = _span(np.minimum(x1, x2), np.maximum(x1, x2), frame.west, frame.width, frame.columns, 2 * OVERLAP)
        which, self.column = expand(first, last - first + 1)
        x1, y1, x2, y2 = (part[which] for part in (x1, y1, x2, y2))
        self.area = borders.area[which]
        self.east = frame.west + (self.column + 1 + OVERLAP) * frame.width
        west = frame.west + (self.column - OVERLAP) * frame.width
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rise = (y2 - y1) / (x2 - x1)
            self.slope = np.clip((x2 - x1) / (y2 - y1), -STEEPEST, STEEPEST)
            low, high = np.minimum(y1, y2), np.maximum(y1, y2)
            at_east = np.clip(y1 + (self.east - x1) * rise, low, high)
            at_west = np.clip(y1 + (west - x1) * rise, low, high)
        out1, out2 = x1 > self.east, x2 > self.east
        self.crosses = out1 != out2
        self.at_east = at_east
        # Up to the east line; a ray meets nothing behind it.
        x1, y1 = np.where(out1, self.east, x1), np.where(out1, at_east, y1)
        x2, y2 = np.where(out2, self.east, x2), np.where(out2, at_east, y2)
        self.low, self.high = np.minimum(y1, y2), np.maximum(y1, y2)
        self.x_low = np.where(y1 < y2, x1, x2)
        # What lies west of the column is west of each of its points: a ray from there meets only the rest.
        far1, far2 = x1 < west, x2 < west
        y1, y2 = np.where(far1, at_west, y1), np.where(far2, at_west, y2)
        self.here = ~(out1 & out2) & ~(far1 & far2)
        self.from_y, self.to_y = np.minimum(y1, y2), np.maximum(y1, y2)

    def touched(self) -> Index:
        """(area, cell) of every cell that the border passes."""
        frame = self.frame
        here = self.here
        first, last = _span(self.from_y[here], self.to_y[here], frame.south, frame.height, frame.rows, OVERLAP)
        which, row = expand(first, last - first + 1)
        return self.area[here][which] * frame.cells + row * frame.columns + self.column[here][which]

    def listed(self) -> tuple[Index, Float64]:
        """Strip, and what is kept, of every piece in every strip that it passes."""
        frame = self.frame
        # A level piece is met by no ray: its ends belong to its neighbours.
        here = self.here & (self.low < self.high)
        height, rows = frame.height / STRIPS, frame.rows * STRIPS
        first, last = _span(self.from_y[here], self.to_y[here], frame.south, height, rows, OVERLAP * STRIPS)
        which, level = expand(first, last - first + 1)
        kept = (self.x_low[here], self.low[here], self.high[here], self.slope[here], self.area[here].astype(np.float64))
        return level * frame.columns + self.column[here][which], np.stack(kept, axis=1)[which]


class _Uprights:
    """Where the east line of a column runs inside an area: between one crossing of its border and the next."""

    def __init__(self, pieces: _Pieces, frame: Frame) -> None:
        self.frame = frame
        crosses = pieces.crosses
        area, column, y, east = pieces.area[crosses], pieces.column[crosses], pieces.at_east[crosses], pieces.east[crosses]
        order = np.lexsort((y, column, area))
        # Rings are closed: they cross a line an even number of times.
        self.area, self.column, self.east = area[order][::2], column[order][::2], east[order][::2]
        self.low, self.high = y[order][::2], y[order][1::2]
        first, last = _span(self.low, self.high, frame.south, frame.height, frame.rows, OVERLAP)
        which, row = expand(first, last - first + 1)
        key = self.area[which] * frame.cells + row * frame.columns + self.column[which]
        whole = (self.low[which] <= frame.south + (row - OVERLAP) * frame.height) & (
            self.high[which] >= frame.south + (row + 1 + OVERLAP) * frame.height
        )
        #: (area, cell) of the cells whose east side lies wholly inside, and of those where only a part does.
        self.whole, self.partly = key[whole], key[~whole]
        self._which, self._row, self._key = which, row, key

    def listed(self, touched: Index) -> tuple[Index, Float64]:
        """Strip, and what is kept, of the uprights in the cells that a border passes; ``touched`` ascends."""
        frame = self.frame
        wanted = _among(self._key, touched)
        which, row = self._which[wanted], self._row[wanted]
        first, last = _span(
            self.low[which], self.high[which], frame.south, frame.height / STRIPS, frame.rows * STRIPS, OVERLAP * STRIPS
        )
        first, last = np.maximum(first, row * STRIPS), np.minimum(last, row * STRIPS + STRIPS - 1)
        part, level = expand(first, np.maximum(last - first + 1, 0))
        which = which[part]
        kept = (self.east[which], self.low[which], self.high[which], np.zeros(len(which)), self.area[which].astype(np.float64))
        return level * frame.columns + self.column[which], np.stack(kept, axis=1)


def _joined(*listed: tuple[Index, Float64]) -> tuple[Index, Float64]:
    return np.concatenate([strip for strip, _ in listed]), np.concatenate([kept for _, kept in listed])


def _span(low: Float64, high: Float64, origin: float, size: float, count: int, slack: float) -> tuple[Index, Index]:
    """First and last of ``count`` cells that each range touches or comes near."""
    first = np.clip(np.floor((low - origin) / size - slack), 0, max(count - 1, 0))
    last = np.clip(np.floor((high - origin) / size + slack), 0, max(count - 1, 0))
    return first.astype(np.int64), last.astype(np.int64)


def _among(keys: Index, ascending: Index) -> Bool:
    at = np.minimum(np.searchsorted(ascending, keys), max(len(ascending) - 1, 0))
    found: Bool = ascending[at] == keys if len(ascending) else np.zeros(len(keys), dtype=np.bool_)
    return found


def _starts(cell: Index, cells: int) -> Index:
    """Where each cell's entries begin (``cells`` + 2 long: the empty outer cell too)."""
    return np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=cells + 1))]).astype(np.int64)


def expand(start: Index, count: Index) -> tuple[Index, Index]:
    """For ranges [start, start+count): the number of the range, and the position, of every element."""
    which = np.arange(len(count)).repeat(count)
    shift = start + count - count.cumsum()
    return which, np.arange(len(which)) + shift.take(which)

"""Which areas hold which points: a grid of full and edge cells, tested by a ray cast.

Each area is cut at the lines of one grid, once (:mod:`detectors.fence_cells`). A cell lies wholly inside an area (then its
points need no test), or the area's border runs through it; then the cell keeps the few border pieces that a ray to the east
meets before it leaves the cell. So the test's cost is independent of how many vertices the whole area has.

Points are asked for by a compiled loop (:mod:`detectors.fence_rays`), or by the numpy steps below, which say the same.
Agrees with ``shapely.contains_xy`` except within about a millimetre of a border, where either answer is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from detectors.fence_cells import STRIPS, Frame, Index, cut, expand
from detectors.fence_rays import hits
from streams.batch import Bool, Float64
from streams.compiled import AVAILABLE

__all__ = ["FenceGrid", "Index"]

#: Bounds of memory and of building time, not of correctness: cells of the grid, and (cell, area) pairs aimed at per area.
MAX_CELLS = 1 << 20
PAIRS_PER_FENCE = 144


class FenceGrid:
    """Index of polygonal geometries (lon/lat degrees); area ``i`` is ``areas[i]``; empty ones hold no point.

    >>> grid = FenceGrid([shapely.box(0, 0, 2, 2).difference(shapely.box(0.5, 0.5, 1, 1)), shapely.box(1, 1, 3, 3)])
    >>> point, area = grid.query(np.array([0.2, 0.7, 1.5, 9.0]), np.array([0.2, 0.7, 1.5, 9.0]))
    >>> list(zip(point.tolist(), area.tolist()))
    [(0, 0), (2, 0), (2, 1)]
    """

    def __init__(self, areas: Sequence[Any]) -> None:
        self.areas = len(areas)
        self._area_bits = self.areas.bit_length()
        self.frame = _lay(areas)
        self._cells = cut(areas, self.frame)
        nowhere, none = np.empty(0), np.empty(0, dtype=np.int64)
        self._last: tuple[tuple[Float64, Float64], tuple[Index, Index]] = (nowhere, nowhere), (none, none)
        self._ask(nowhere, nowhere)  # compiles now what the first fix would wait for

    def _place(self, lon: Float64, lat: Float64) -> tuple[Index, Index]:
        """Number of each point's cell, and of its strip: strips are counted as cells are, in a grid so many times as high.
        The one behind the last, which is empty, for points outside of the grid and for NaN."""
        west, south, width, height, columns, rows = self.frame
        x, y = (lon - west) / width, (lat - south) / height
        within = (x >= 0) & (x <= columns) & (y >= 0) & (y <= rows)
        x, y = np.where(within, x, 0.0), np.where(within, y, 0.0)
        # A point on the grid's own east or north line belongs to the last cell.
        column = np.minimum(x.astype(np.int64), columns - 1)
        level = np.minimum((y * STRIPS).astype(np.int64), rows * STRIPS - 1)
        cell = np.where(within, level // STRIPS * columns + column, columns * rows)
        return cell, np.where(within, level * columns + column, columns * rows * STRIPS)

    def query(self, lon: Float64, lat: Float64) -> tuple[Index, Index]:
        """Every (point, area) with the point inside the area: two index arrays, by point, then area; not to be changed."""
        lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        # Several rules ask the same of the same fixes, one after the other: looking is two hundred times quicker than asking.
        asked, answer = self._last
        if np.array_equal(lon, asked[0]) and np.array_equal(lat, asked[1]):
            return answer
        answer = self._ask(lon, lat)
        self._last = (lon.copy(), lat.copy()), answer
        return answer

    def _ask(self, lon: Float64, lat: Float64) -> tuple[Index, Index]:
        if AVAILABLE:
            return hits(lon, lat, self.frame, STRIPS, self._cells)
        return self._ask_in_numpy(lon, lat)

    def _ask_in_numpy(self, lon: Float64, lat: Float64) -> tuple[Index, Index]:
        cell, strip = self._place(lon, lat)
        hit = np.concatenate([self._covering(cell), self._crossing(lon, lat, strip)])
        hit.sort(kind="stable")  # two runs in order: a merge
        return hit >> self._area_bits, hit & ((1 << self._area_bits) - 1)

    def _hits(self, point: Index, area: NDArray[Any]) -> Index:
        """Pairs of point and area as one number each, which sorts and compares as the pairs do."""
        hits: Index = (point << self._area_bits) | area.astype(np.int64)
        return hits

    def _covering(self, cell: Index) -> Index:
        """Hits of the areas that cover each point's cell."""
        start = self._cells.full_from[cell]
        point, at = expand(start, self._cells.full_from[cell + 1] - start)
        return self._hits(point, self._cells.full_area[at])

    def _crossing(self, lon: Float64, lat: Float64, strip: Index) -> Index:
        """Hits of a ray cast to the east over the border pieces of each point's strip: where it crosses an odd number."""
        start = self._cells.edge_from[strip]
        point, edge = expand(start, self._cells.edge_from[strip + 1] - start)
        x, low, high, slope, area = self._cells.edges.take(edge, axis=0).T
        y = lat[point]
        # The half-open range [low, high) counts a vertex once; horizontal pieces were left out for it.
        crossed = ((low <= y) & (y < high) & (lon[point] < x + (y - low) * slope)).nonzero()[0]
        return _odd(self._hits(point[crossed], area[crossed]))

    def inside(self, lon: Float64, lat: Float64) -> Bool:
        """Whether each point is in any area."""
        held = np.zeros(len(lon), dtype=np.bool_)
        held[self.query(lon, lat)[0]] = True
        return held


def _odd(hits: Index) -> Index:
    """Which hits stand there an odd number of times; equal ones stand together."""
    if not len(hits):
        return hits
    border = np.ones(len(hits) + 1, dtype=np.bool_)
    np.not_equal(hits[1:], hits[:-1], out=border[1:-1])
    bounds = border.nonzero()[0]
    odd: Index = hits[bounds[:-1][(bounds[1:] - bounds[:-1]) & 1 == 1]]
    return odd


def _lay(areas: Sequence[Any]) -> Frame:
    """Origin, size and number of cells: square in metres, about PAIRS_PER_FENCE cells to an area's bounding box."""
    boxes = shapely.bounds(np.array(list(areas), dtype=object)) if len(areas) else np.empty((0, 4))
    boxes = boxes[~np.isnan(boxes).any(axis=1)]
    if not len(boxes):
        return Frame(0.0, 0.0, 1.0, 1.0, 0, 0)
    west, south = boxes[:, 0].min(), boxes[:, 1].min()
    east, north = boxes[:, 2].max(), boxes[:, 3].max()
    squeeze = max(0.05, math.cos(math.radians(float(np.clip((south + north) / 2, -85, 85)))))
    span_x, span_y = max(float(east - west), 1e-6) * squeeze, max(float(north - south), 1e-6)
    covered = float(np.sum((boxes[:, 2] - boxes[:, 0]) * squeeze * (boxes[:, 3] - boxes[:, 1])))
    side = math.sqrt(max(covered / (PAIRS_PER_FENCE * len(boxes)), span_x * span_y / MAX_CELLS, 1e-14))
    side = max(side, span_x / 8192, span_y / 8192)
    columns, rows = max(1, math.ceil(span_x / side)), max(1, math.ceil(span_y / side))
    return Frame(float(west), float(south), side / squeeze, side, columns, rows)

"""Which areas hold which points: a grid of full and edge cells, tested by a ray cast.

Each area is cut at the lines of one grid by shapely, once. A cell lies wholly inside an area (then its points need no test), or
the area's border runs through it; then the cell keeps the few border pieces of the area *clipped to the cell*, and a ray
to the east over those pieces alone decides. Clipping makes holes and several parts right without a word about them, and makes
the test's cost independent of how many vertices the whole area has.

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

from detectors.compiled import AVAILABLE
from detectors.fence_rays import hits
from streams.batch import Bool, Float64

#: Bounds of memory and of building time, not of correctness: cells of the grid, and (cell, area) pairs aimed at per area.
MAX_CELLS = 1 << 20
PAIRS_PER_FENCE = 144
#: A cell's border pieces are listed by strips of its height, so that a ray meets few of them that lie above or below it.
STRIPS = 4
#: Cells are clipped this much larger than they are, so that rounding in the cell's number never meets the piece's edge.
OVERLAP = 1e-6
#: Degrees east per degree north of a border piece that is all but flat: more would only overflow.
STEEPEST = 1e300
#: An area is halved until vertices x cells is below this; then all of its cells are clipped in one vectorised call.
CLIP_WORK = 60_000

Index = NDArray[np.int64]


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
        self._lay(areas)
        builder = _Cutter(self)
        for number, area in enumerate(areas):
            if not area.is_empty:
                builder.cut(number, area)
        builder.finish()
        nowhere = np.empty(0)
        self._last: tuple[tuple[Float64, Float64], tuple[Index, Index]] = (nowhere, nowhere), (_NONE, _NONE)
        self._ask(nowhere, nowhere)  # compiles now what the first fix would wait for

    def _lay(self, areas: Sequence[Any]) -> None:
        """Origin, size and number of cells: square in metres, about PAIRS_PER_FENCE cells to an area's bounding box."""
        boxes = shapely.bounds(np.array(list(areas), dtype=object)) if len(areas) else np.empty((0, 4))
        boxes = boxes[~np.isnan(boxes).any(axis=1)]
        if not len(boxes):
            self.west = self.south = 0.0
            self.width = self.height = 1.0
            self.columns = self.rows = 0
            return
        west, south = boxes[:, 0].min(), boxes[:, 1].min()
        east, north = boxes[:, 2].max(), boxes[:, 3].max()
        squeeze = max(0.05, math.cos(math.radians(float(np.clip((south + north) / 2, -85, 85)))))
        span_x, span_y = max(float(east - west), 1e-6) * squeeze, max(float(north - south), 1e-6)
        covered = float(np.sum((boxes[:, 2] - boxes[:, 0]) * squeeze * (boxes[:, 3] - boxes[:, 1])))
        side = math.sqrt(max(covered / (PAIRS_PER_FENCE * len(boxes)), span_x * span_y / MAX_CELLS, 1e-14))
        side = max(side, span_x / 8192, span_y / 8192)
        self.columns, self.rows = max(1, math.ceil(span_x / side)), max(1, math.ceil(span_y / side))
        self.width, self.height = side / squeeze, side
        self.west, self.south = float(west), float(south)

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    def cell_of(self, lon: Float64, lat: Float64) -> Index:
        """Number of each point's cell; ``self.cells``, which is empty, for points outside the grid and for NaN."""
        return self._place(lon, lat)[0]

    def _place(self, lon: Float64, lat: Float64) -> tuple[Index, Index]:
        """Number of each point's cell, and of its strip: strips are counted as cells are, in a grid so many times as high."""
        x, y = (lon - self.west) / self.width, (lat - self.south) / self.height
        within = (x >= 0) & (x <= self.columns) & (y >= 0) & (y <= self.rows)
        all_within = bool(within.all())
        if not all_within:
            x, y = np.where(within, x, 0.0), np.where(within, y, 0.0)
        # A point on the grid's own east or north line belongs to the last cell.
        column = np.minimum(x.astype(np.int64), self.columns - 1)
        level = np.minimum((y * STRIPS).astype(np.int64), self.rows * STRIPS - 1)
        cell, strip = level // STRIPS * self.columns + column, level * self.columns + column
        if not all_within:
            cell, strip = np.where(within, cell, self.cells), np.where(within, strip, self.cells * STRIPS)
        return cell, strip

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
            box = (self.west, self.south, self.width, self.height)
            shape = (self.columns, self.rows, STRIPS)
            return hits(lon, lat, box, shape, (self._full_from, self._full_area), (self._edge_from, self._edges))
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
        start = self._full_from[cell]
        point, at = _expand(start, self._full_from[cell + 1] - start)
        return self._hits(point, self._full_area[at])

    def _crossing(self, lon: Float64, lat: Float64, strip: Index) -> Index:
        """Hits of a ray cast to the east over the border pieces of each point's strip: where it crosses an odd number."""
        start = self._edge_from[strip]
        point, edge = _expand(start, self._edge_from[strip + 1] - start)
        x, low, high, slope, area = self._edges.take(edge, axis=0).T
        y = lat[point]
        # The half-open range [low, high) counts a vertex once; horizontal pieces were left out for it.
        crossed = ((low <= y) & (y < high) & (lon[point] < x + (y - low) * slope)).nonzero()[0]
        return _odd(self._hits(point[crossed], area[crossed]))

    def inside(self, lon: Float64, lat: Float64) -> Bool:
        """Whether each point is in any area."""
        held = np.zeros(len(lon), dtype=np.bool_)
        held[self.query(lon, lat)[0]] = True
        return held

    def _keep(self, full: list[Index], full_area: list[Index], cells: Index, areas: Index, edges: Float64, pair: Index) -> None:
        self._full_from, order = _by_cell(np.concatenate([*full, _NONE]), self.cells)
        self._full_area = np.concatenate([*full_area, _NONE])[order].astype(np.int32)
        order = np.lexsort((areas[pair], cells[pair]))
        pair = pair[order]
        x1, y1, x2, y2 = edges[order].T
        # What runs along the line where a cell was clipped in the west lies behind every point of the cell.
        met = np.flatnonzero(np.maximum(x1, x2) > self.west + (cells[pair] % max(self.columns, 1) - OVERLAP / 2) * self.width)
        pair, x1, y1, x2, y2 = pair[met], x1[met], y1[met], x2[met], y2[met]
        low, high = np.minimum(y1, y2), np.maximum(y1, y2)
        with np.errstate(over="ignore"):
            slope = np.clip((x2 - x1) / (y2 - y1), -STEEPEST, STEEPEST)
        listed, strip = self._strips(cells[pair], low, high)
        self._edge_from, by_strip = _by_cell(strip, self.cells * STRIPS)
        # Row by row: what is known of a piece lies in one line of the processor's cache.
        pieces = np.stack([np.where(y1 < y2, x1, x2), low, high, slope, areas[pair]], axis=1)
        self._edges = pieces[listed[by_strip]]

    def _strips(self, cell: Index, low: Float64, high: Float64) -> tuple[Index, Index]:
        """Every (border piece, strip) where the piece reaches into the strip of its cell, or comes near it."""
        row, column = np.divmod(cell, max(self.columns, 1))
        first, last = (
            np.clip(np.floor(((edge - self.south) / self.height - row) * STRIPS + slack), 0, STRIPS - 1).astype(np.int64)
            for edge, slack in ((low, -OVERLAP * STRIPS), (high, OVERLAP * STRIPS))
        )
        listed, level = _expand(row * STRIPS + first, last - first + 1)
        return listed, level * self.columns + column[listed]


_NONE: Index = np.empty(0, dtype=np.int64)


def _by_cell(cell: Index, cells: int) -> tuple[Index, Index]:
    """Start of each cell's entries (``cells`` + 2 long: the empty outer cell too) and the order that groups them."""
    order = np.argsort(cell, kind="stable")
    return np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=cells + 1))]).astype(np.int64), order


def _expand(start: Index, count: Index) -> tuple[Index, Index]:
    """For ranges [start, start+count): the number of the range, and the position, of every element."""
    which = np.arange(len(count)).repeat(count)
    shift = start + count - count.cumsum()
    return which, np.arange(len(which)) + shift.take(which)


def _odd(hits: Index) -> Index:
    """Which hits stand there an odd number of times; equal ones stand together."""
    if not len(hits):
        return hits
    border = np.ones(len(hits) + 1, dtype=np.bool_)
    np.not_equal(hits[1:], hits[:-1], out=border[1:-1])
    bounds = border.nonzero()[0]
    odd: Index = hits[bounds[:-1][(bounds[1:] - bounds[:-1]) & 1 == 1]]
    return odd


class _Cutter:
    """Cuts areas at the lines of a grid and hands it the cells."""

    def __init__(self, grid: FenceGrid) -> None:
        self.grid = grid
        self.full: list[Index] = []
        self.full_area: list[Index] = []
        self.cells: list[Index] = []
        self.areas: list[Index] = []
        self.edges: list[Float64] = []
        self.pairs: list[Index] = []
        self.held = 0

    def cut(self, number: int, area: Any) -> None:
        grid = self.grid
        west, south, east, north = area.bounds
        todo = [
            (
                area,
                min(max(int((west - grid.west) / grid.width), 0), grid.columns - 1),
                min(max(int((south - grid.south) / grid.height), 0), grid.rows - 1),
                min(int((east - grid.west) / grid.width), grid.columns - 1) + 1,
                min(int((north - grid.south) / grid.height), grid.rows - 1) + 1,
            )
        ]
        while todo:
            piece, left, low, right, top = todo.pop()
            cells = (right - left) * (top - low)
            if piece.is_empty or cells <= 0:
                continue
            if cells > 1 and shapely.get_num_coordinates(piece) * cells > CLIP_WORK:
                if piece.covers(self._box(left, low, right, top)):
                    self._fill(number, left, low, right, top)
                    continue
                middle = (left + right) // 2, (low + top) // 2
                halves = (
                    [(left, low, middle[0], top), (middle[0], low, right, top)]
                    if right - left >= top - low
                    else [(left, low, right, middle[1]), (left, middle[1], right, top)]
                )
                todo += [(piece.intersection(self._box(*half)), *half) for half in halves]
            else:
                self._leaf(number, piece, left, low, right, top)

    def _box(self, left: Any, low: Any, right: Any, top: Any) -> Any:
        grid = self.grid
        return shapely.box(
            grid.west + (left - OVERLAP) * grid.width,
            grid.south + (low - OVERLAP) * grid.height,
            grid.west + (right + OVERLAP) * grid.width,
            grid.south + (top + OVERLAP) * grid.height,
        )

    def _fill(self, number: int, left: int, low: int, right: int, top: int) -> None:
        cell = (np.arange(low, top)[:, None] * self.grid.columns + np.arange(left, right)[None, :]).ravel()
        self.full.append(cell)
        self.full_area.append(np.full(len(cell), number))

    def _leaf(self, number: int, piece: Any, left: int, low: int, right: int, top: int) -> None:
        row, column = (a.ravel() for a in np.mgrid[low:top, left:right])
        boxes = self._box(column, row, column + 1, row + 1)
        shapely.prepare(piece)
        met = shapely.intersects(piece, boxes)
        row, column, boxes = row[met], column[met], boxes[met]
        covered = shapely.covers(piece, boxes)
        cell = row * self.grid.columns + column
        self.full.append(cell[covered])
        self.full_area.append(np.full(int(covered.sum()), number))
        cell, boxes = cell[~covered], boxes[~covered]
        if not len(cell):
            return
        parts, of_box = shapely.get_parts(shapely.intersection(piece, boxes), return_index=True)
        areal = shapely.get_dimensions(parts) == 2
        rings, of_part = shapely.get_rings(parts[areal], return_index=True)
        points, of_ring = shapely.get_coordinates(rings, return_index=True)
        if not len(points):
            return
        box = of_box[areal][of_part]
        same = (of_ring[1:] == of_ring[:-1]) & (points[1:, 1] != points[:-1, 1])
        self.edges.append(np.hstack([points[:-1], points[1:]])[same])
        self.pairs.append(self.held + box[of_ring[:-1][same]])
        self.cells.append(cell)
        self.areas.append(np.full(len(cell), number))
        self.held += len(cell)

    def finish(self) -> None:
        self.grid._keep(
            self.full,
            self.full_area,
            np.concatenate([*self.cells, _NONE]),
            np.concatenate([*self.areas, _NONE]),
            np.concatenate([*self.edges, np.empty((0, 4))]),
            np.concatenate([*self.pairs, _NONE]),
        )

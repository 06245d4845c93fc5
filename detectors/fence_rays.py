"""Which areas hold which points, one point after the other: :meth:`detectors.fence_grid.FenceGrid.query` compiled.

A point falls into one strip of one cell. The areas that cover the cell hold it; of the others, those whose border pieces a ray
to the east crosses an odd number of times. Both lists stand in the order of the areas, so one merge gives the hits in order.
Sums, products and comparisons are those of the numpy way, so that both say the same of every point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.fence_cells import Cells, Frame
from streams.compiled import compiled

Floats = NDArray[np.float64]
Numbers = NDArray[Any]


@compiled
def hits(lon: Floats, lat: Floats, frame: Frame, strips: int, cells: Cells) -> tuple[Numbers, Numbers]:
    """(point, area) of every hit, by point, then area; ``strips``: of a cell."""
    west, south, width, height, columns, rows = frame
    full_from, full_area, edge_from, edges = cells
    n = len(lon)
    cell, strip = np.empty(n, np.int64), np.empty(n, np.int64)
    room = 0
    for i in range(n):
        x, y = (lon[i] - west) / width, (lat[i] - south) / height
        if 0 <= x <= columns and 0 <= y <= rows:
            level = min(int(y * strips), rows * strips - 1)
            column = min(int(x), columns - 1)
            cell[i], strip[i] = level // strips * columns + column, level * columns + column
        else:
            cell[i], strip[i] = columns * rows, columns * rows * strips
        room += full_from[cell[i] + 1] - full_from[cell[i]] + edge_from[strip[i] + 1] - edge_from[strip[i]]
    point, area = np.empty(room, np.int64), np.empty(room, np.int64)
    found = 0
    for i in range(n):
        covering, last = full_from[cell[i]], full_from[cell[i] + 1]
        piece, end = edge_from[strip[i]], edge_from[strip[i] + 1]
        while piece < end:
            crossed, odd = edges[piece, 4], False
            while piece < end and edges[piece, 4] == crossed:
                low, high = edges[piece, 1], edges[piece, 2]
                # The half-open range [low, high) counts a vertex once; horizontal pieces were left out for it.
                if low <= lat[i] < high and lon[i] < edges[piece, 0] + (lat[i] - low) * edges[piece, 3]:
                    odd = not odd
                piece += 1
            if odd:
                while covering < last and full_area[covering] < crossed:
                    point[found], area[found] = i, full_area[covering]
                    covering, found = covering + 1, found + 1
                point[found], area[found] = i, int(crossed)
                found += 1
        while covering < last:
            point[found], area[found] = i, full_area[covering]
            covering, found = covering + 1, found + 1
    return point[:found], area[:found]

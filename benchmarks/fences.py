"""Points a second against 2,000 fences of 30 vertices, in batches of 1,000: the index of the geofence detector.

The fences, and the comparison with shapely's STRtree, are those of :mod:`benchmarks.fence_speed`; here the rounds are kept.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import shapely

from benchmarks.fence_speed import stars
from benchmarks.tables import Table, spread
from detectors.fence_grid import FenceGrid

GOAL = 2_000_000
#: The city's box of ``stars``: longitude, latitude.
BOX = ((117.0, 117.63), (31.6, 32.14))
LAYOUTS = (("apart", 0.0), ("touching", 0.4), ("overlapping", 1.5))


def measure(*, fences: int, vertices: int, batch: int, batches: int, rounds: int) -> Table:
    """The table of fences; raises RuntimeError where the index and the tree disagree about a point."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    for name, overlap in LAYOUTS:
        rng = np.random.default_rng(7)
        shapes = stars(fences, vertices, overlap, rng)
        grid, tree = FenceGrid(shapes), shapely.STRtree(shapes)
        lon, lat = rng.uniform(*BOX[0], batch * batches), rng.uniform(*BOX[1], batch * batches)
        cuts = [slice(i * batch, (i + 1) * batch) for i in range(batches)]
        few = cuts[: max(1, batches // 20)]
        grid.query(lon[cuts[0]], lat[cuts[0]])  # nobody waits for a compiler in the rounds
        rates, trees = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            for cut in cuts:
                grid.query(lon[cut], lat[cut])
            rates.append(len(lon) / (time.perf_counter() - began))
            began = time.perf_counter()
            for cut in few:
                tree.query(shapely.points(lon[cut], lat[cut]), predicate="intersects")
            trees.append(len(few) * batch / (time.perf_counter() - began))
        ours = {tuple(pair) for pair in np.transpose(grid.query(lon[few[0]], lat[few[0]])).tolist()}
        theirs = {
            tuple(pair) for pair in tree.query(shapely.points(lon[few[0]], lat[few[0]]), predicate="intersects").T.tolist()
        }
        if ours != theirs:
            raise RuntimeError(f"fences {name}: index and STRtree differ in {len(ours ^ theirs)} of {len(theirs)} hits")
        median = statistics.median(rates)
        rows.append(
            [
                name,
                *spread(rates),
                f"{statistics.median(trees):,.0f}",
                f"{median / statistics.median(trees):.1f}",
                f"{len(ours):,}",
            ]
        )
        figures[name] = {"rates": rates, "strtree": trees, "hits": len(ours)}
    slowest = min(statistics.median(one["rates"]) for one in figures.values())
    return Table(
        f"Fences: {fences:,} of {vertices} vertices, batches of {batch:,} points",
        ["fences lie", "points/s, median", "min", "max", "shapely STRtree", "times", "hits compared"],
        rows,
        [
            f"{rounds} rounds, one core. Goal: ≥ {GOAL:,} points/s: "
            + ("met." if slowest >= GOAL else "MISSED in the slowest row.")
        ],
        figures,
    )

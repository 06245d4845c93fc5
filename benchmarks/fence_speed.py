"""Points per second of the fence index, beside shapely's STRtree: ``python -m benchmarks.fence_speed [--fences 2000]``.

Fences are stars of ``--vertices`` corners, laid over a city of 60 x 60 km without (``--overlap 0``) or with overlaps; points
are uniform over the city's box, the worst case for an index that skips empty ground. Batches of ``--batch`` points.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import shapely

from detectors.fence_grid import FenceGrid


def stars(count: int, vertices: int, overlap: float, rng: np.random.Generator) -> list[shapely.Polygon]:
    """Star-shaped polygons on a jittered lattice of 117.0–117.63 E, 31.6–32.14 N; ``overlap`` stretches their radius."""
    side = int(np.ceil(np.sqrt(count)))
    step = 0.54 / side
    fences = []
    for number in range(count):
        x, y = 117.0 + (number % side + 0.5) * step * 1.17, 31.6 + (number // side + 0.5) * step
        angle = np.sort(rng.uniform(0, 2 * np.pi, vertices))
        radius = step / 2 * (1 + overlap) * rng.uniform(0.5, 1.0, vertices)
        fences.append(shapely.Polygon(np.c_[x + 1.17 * radius * np.cos(angle), y + radius * np.sin(angle)]))
    return [shapely.make_valid(fence) for fence in fences]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fences", type=int, default=2000)
    parser.add_argument("--vertices", type=int, default=30)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{args.fences} fences of {args.vertices} vertices, batches of {args.batch}; median of {args.rounds}")
    print(f"{'fences':>12} {'build s':>8} {'grid points/s':>14} {'STRtree points/s':>17} {'times':>6} {'differ':>7}")
    for name, overlap in (("apart", 0.0), ("touching", 0.4), ("overlapping", 1.5)):
        rng = np.random.default_rng(7)
        fences = stars(args.fences, args.vertices, overlap, rng)
        begun = time.perf_counter()
        grid = FenceGrid(fences)
        built = time.perf_counter() - begun
        lon = rng.uniform(117.0, 117.63, args.batch * args.batches)
        lat = rng.uniform(31.6, 32.14, args.batch * args.batches)
        cuts = [slice(i * args.batch, (i + 1) * args.batch) for i in range(args.batches)]
        rates = []
        for _ in range(args.rounds):
            begun = time.perf_counter()
            for cut in cuts:
                grid.query(lon[cut], lat[cut])
            rates.append(len(lon) / (time.perf_counter() - begun))
        tree = shapely.STRtree(fences)
        few = cuts[: max(1, args.batches // 20)]
        begun = time.perf_counter()
        for cut in few:
            tree.query(shapely.points(lon[cut], lat[cut]), predicate="intersects")
        slow = len(few) * args.batch / (time.perf_counter() - begun)
        ours = {tuple(pair) for pair in np.transpose(grid.query(lon[few[0]], lat[few[0]])).tolist()}
        found = tree.query(shapely.points(lon[few[0]], lat[few[0]]), predicate="intersects")
        theirs = {tuple(pair) for pair in found.T.tolist()}
        rate = statistics.median(rates)
        print(f"{name:>12} {built:8.1f} {rate:14,.0f} {slow:17,.0f} {rate / slow:6.1f} {len(ours ^ theirs):7d}")


if __name__ == "__main__":
    main()

"""The plots of docs/performance.md: readings a second by engine, latencies by percentile, cost against the city's size.

Drawn by the commands that measure, with ``--write``; matplotlib is one of the packages for developers and loaded only then.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.picture import INK, MARK, REST, bare, png


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def engines(rates: Mapping[str, Sequence[float]], ours: str) -> bytes:
    """Bars of the medians with minimum and maximum, the fastest above; a logarithmic axis, for a hundredfold lies between."""
    plt = _pyplot()
    names = sorted(rates, key=lambda name: statistics.median(rates[name]))
    figure, axes = plt.subplots(figsize=(8.2, 0.5 + 0.3 * len(names)), layout="constrained")
    for place, name in enumerate(names):
        median = statistics.median(rates[name])
        axes.barh(place, median, color=MARK if name == ours else INK, height=0.6)
        axes.hlines(place, min(rates[name]), max(rates[name]), color="black", linewidth=0.8)
        # Behind the line: a short bar has no room for it.
        axes.annotate(f" {median:,.0f}", (max(rates[name]), place), ha="left", va="center", fontsize=6)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlim(min(map(min, rates.values())) / 2, max(map(max, rates.values())) * 2)
    axes.set_xlabel("readings/s, median; line: minimum to maximum", fontsize=7)
    bare(axes)
    return png(figure)


def latencies(paths: Mapping[str, Sequence[float]]) -> bytes:
    """Milliseconds by percentile, the rarest spread out: half of the axis is the slowest in a hundred."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8.2, 2.9), layout="constrained")
    shares = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
    for number, (name, values) in enumerate(paths.items()):
        found = np.sort(np.array(values, dtype=np.float64))
        # How many are as slow or slower: the last one is one of n.
        rest = 1.0 - np.arange(len(found)) / len(found)
        keep = np.unique(np.geomspace(1, len(found), 400).astype(int)) - 1
        color, style = (MARK if number % 2 == 0 else REST), ("-" if number < 2 else "--")
        axes.plot(1 / rest[::-1][keep], found[::-1][keep], color=color, linestyle=style, linewidth=1.0, label=name)
    axes.set_xscale("log")
    axes.set_xticks([1 / (1 - share / 100) for share in shares], [f"p{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ms", fontsize=7)
    axes.legend(fontsize=6, frameon=False)
    bare(axes)
    return png(figure)


def growth(figures: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Microseconds a reading against sensors, partitions and batch size; figures of :mod:`benchmarks.growth`."""
    plt = _pyplot()
    figure, every = plt.subplots(1, 3, figsize=(8.2, 2.4), layout="constrained")
    for axes, axis in zip(every, ("sensors", "partitions", "batch"), strict=True):
        for rules, color in (("four", INK), ("five", MARK)):
            costs = {int(value): found for value, found in figures[f"{rules} {axis}"].items()}
            at, found = list(costs), list(costs.values())
            axes.plot(at, [statistics.median(one) for one in found], color=color, marker=".", label=f"{rules} detectors")
            axes.vlines(at, [min(one) for one in found], [max(one) for one in found], color=color, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{value:,}" for value in at])
        axes.minorticks_off()
        if axis == "batch":
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("readings a batch" if axis == "batch" else axis, fontsize=7)
        bare(axes)
    every[0].set_ylabel("µs/reading", fontsize=7)
    every[0].legend(fontsize=6, frameon=False)
    return png(figure)

"""Draws the plots of docs/detectors.md from the real recordings.

    python -m benchmarks.plots [--data ../shared/data] [--out docs/plots] [--only NAME …]

Each plot has the readings of one entity above, with what reaches the bound marked, and the detector's measure below. Pictures
are palette PNGs of a few kilobytes; what is drawn is listed in benchmarks/plot_figures.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.picture import INK, MARK, REST, bare, png
from benchmarks.plot_figures import FIGURES, Figure
from benchmarks.plot_play import Told, play

#: More points than this are drawn as the lowest and highest of each stretch: the eye sees the same, the picture is smaller.
_POINTS = 1500


def draw(told: Told, figure: Figure) -> bytes:
    """The picture as PNG."""
    fig, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8.2, 2.9), height_ratios=(1.2, 1), layout="constrained")
    at, value = _thinned(np.array(told.at), np.array(told.value))
    above.plot(_dates(at), value, color=INK, linewidth=0.6)
    said_at, measure = np.array(told.said_at), np.array(told.measure)
    known = ~np.isnan(measure)
    said_at, measure = said_at[known], measure[known]
    if figure.bound is not None:
        beyond = said_at[measure >= figure.bound]
        above.vlines(_dates(_every(beyond)), 0, 1, transform=above.get_xaxis_transform(), color=MARK, linewidth=0.6, alpha=0.5)
        below.axhline(figure.bound, color=REST, linestyle="--", linewidth=0.7)
    said_at, measure = _thinned(said_at, measure)
    style: dict[str, Any] = {"linewidth": 0.7} if len(measure) > 60 else {"linewidth": 0.7, "marker": ".", "markersize": 3}
    below.plot(_dates(said_at), measure, color=MARK, **style)
    above.set_title(f"{figure.detector}: {figure.title}", fontsize=8, loc="left")
    above.set_ylabel(figure.value, fontsize=7)
    below.set_ylabel(figure.measure, fontsize=7)
    for axis in (above, below):
        bare(axis)
    locator = mdates.AutoDateLocator()
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    below.xaxis.get_offset_text().set_fontsize(6)
    return png(fig)


def _dates(ms: Any) -> Any:
    return np.asarray(ms, dtype="int64").astype("datetime64[ms]")


def _every(at: Any) -> Any:
    """At most as many marks as the picture has columns."""
    return at[:: max(len(at) // _POINTS, 1)]


def _thinned(at: Any, value: Any) -> tuple[Any, Any]:
    known = ~np.isnan(value)
    at, value = at[known], value[known]
    if len(at) <= 2 * _POINTS:
        return at, value
    pieces = np.array_split(np.arange(len(at)), _POINTS)
    keep = np.unique([i for piece in pieces for i in (piece[value[piece].argmin()], piece[value[piece].argmax()])])
    return at[keep], value[keep]


def main(words: list[str] | None = None) -> int:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data", help="the recordings (%(default)s)")
    parser.add_argument("--out", type=Path, default=root / "docs" / "plots", help="where the pictures go (%(default)s)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this detector's (may be given several times)")
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES:
        if given.only and figure.detector not in given.only:
            continue
        told = play(
            figure.detector,
            figure.params,
            figure.rows(given.data),
            show=figure.show,
            shown=figure.shown,
            stream=figure.stream,
            prepare=figure.prepare,
            **figure.facts,
        )
        picture = draw(told, figure)
        (given.out / f"{figure.detector}.png").write_bytes(picture)
        said = np.array(told.measure)
        beyond = int((said >= figure.bound).sum()) if figure.bound is not None else 0
        print(
            f"{figure.detector:20} {len(told.at):>7,} rows, {beyond:>6,} beyond the bound, {len(picture):>6,} bytes",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The score of the Numenta Anomaly Benchmark, computed here: a small scorer for fixed flags and for a swept threshold.

Lavin and Ahmad, *Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark*, 2015. The first flag in a
window gains by how early it is (a sigmoid over the window), a flag outside loses by how far behind the last window it is, a
missed window costs one. The first 15 % of a file, at most 750 rows, do not count. 0 is a detector that says nothing, 100 one
that flags the first row of every window and nothing else.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Weights of a hit, of a false flag and of a missed window.
PROFILES = {"standard": (1.0, 0.11, 1.0), "low FP": (1.0, 0.22, 1.0), "low FN": (1.0, 0.11, 2.0)}
_PROBATION, _PROBATION_ROWS = 0.15, 750


@dataclass(slots=True, frozen=True)
class File:
    """One series: name as category/file, epoch ms, values, the windows as first and last row."""

    name: str
    stamps: list[str]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    windows: list[tuple[int, int]]

    @property
    def category(self) -> str:
        return self.name.split("/")[0]

    @property
    def probation(self) -> int:
        return int(min(_PROBATION * len(self.value), _PROBATION_ROWS))


@dataclass(slots=True, frozen=True)
class Tally:
    """What flags of some files add up to: summed gains of false flags (negative) and of hits, hits, windows, false flags."""

    false_gain: float
    hit_gain: float
    hits: int
    windows: int
    false: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.false_gain + other.false_gain,
            self.hit_gain + other.hit_gain,
            self.hits + other.hits,
            self.windows + other.windows,
            self.false + other.false,
        )

    def score(self, profile: str) -> float:
        """0 to 100, below 0 where false flags outweigh the hits; NaN without a window."""
        hit, false, miss = PROFILES[profile]
        if not self.windows:
            return float("nan")
        raw = self.false_gain * false + self.hit_gain * hit - miss * (self.windows - self.hits)
        nothing = -miss * self.windows
        return 100.0 * (raw - nothing) / (hit * self.windows - nothing)


def read(root: Path) -> list[File]:
    """The files under ``root``/data that ``root``/files.txt lists, or all that labels/combined_windows.json names."""
    windows = json.loads((root / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    listed = root / "files.txt"
    names = listed.read_text(encoding="utf-8").split() if listed.exists() else sorted(windows)
    return [_file(root, name, windows[name]) for name in names if (root / "data" / name).exists()]


def _file(root: Path, name: str, windows: Sequence[tuple[str, str]]) -> File:
    with (root / "data" / name).open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    stamps = [row["timestamp"] for row in rows]
    ts = np.array([_ms(stamp) for stamp in stamps], dtype=np.int64)
    first: dict[int, int] = {}
    for row, at in enumerate(ts.tolist()):
        first.setdefault(at, row)
    return File(
        name, stamps, ts, np.array([float(row["value"]) for row in rows]), [(first[_ms(a)], first[_ms(b)]) for a, b in windows]
    )


def _ms(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp[:26]).replace(tzinfo=UTC).timestamp() * 1000)


def _sigmoid(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 well before 0, −1 well behind it."""
    return np.where(position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0)


def gains(file: File) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(unweighted gain of a flag in each row, window of each row or −1)."""
    rows = np.arange(len(file.value))
    gain, window = np.full(len(rows), -1.0), np.full(len(rows), -1)
    best = float(_sigmoid(np.array([-1.0]))[0])
    for k, (first, last) in enumerate(file.windows):
        width = float(last - first + 1)
        inside = rows[first : last + 1]
        window[inside] = k
        gain[inside] = _sigmoid(-(last - inside + 1) / width) / best
        end = file.windows[k + 1][0] if k + 1 < len(file.windows) else len(rows)
        behind = rows[last + 1 : end]
        gain[behind] = _sigmoid((behind - last) / (width - 1.0))
    return gain, window


def tally(file: File, flagged: Sequence[int]) -> Tally:
    """What these flagged rows of a file are worth."""
    gain, window = gains(file)
    rows = np.array([row for row in flagged if row >= file.probation], dtype=np.int64)
    outside = rows[window[rows] < 0] if len(rows) else rows
    best: dict[int, float] = {}
    for row in rows[window[rows] >= 0].tolist() if len(rows) else ():
        best[int(window[row])] = max(best.get(int(window[row]), -2.0), float(gain[row]))
    return Tally(float(gain[outside].sum()), sum(best.values()), len(best), len(file.windows), len(outside))


def total(tallies: Sequence[Tally]) -> Tally:
    return sum(tallies, Tally(0.0, 0.0, 0, 0, 0))

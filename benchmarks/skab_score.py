"""SKAB's two scores, as its leaderboard counts them: outliers by row, change points by windows of 60 s.

Outliers: one confusion table over all test rows of all files. Change points: each true one owns the 60 s after it (a window
that would reach into the next is followed by one that begins where it ends); the first detection in a window earns 1 at its
left edge, falling along a tanh to -0.11 at its right edge; a window without one costs 1, a detection outside all windows 0.11;
0 is what no detection at all would get, 100 what perfect ones would: Numenta's scoring (Lavin and Ahmad, 2015), SKAB's windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streams.batch import Bool, Int64

WINDOW_S = 60
#: Gain of a detection at the left edge, cost of one outside and gain at the right edge, cost of a missed change.
HIT, FALSE, MISSED = 1.0, -0.11, -1.0
#: The gain is read from a table of so many steps, which rounds it in the third digit; kept, so that scores agree.
_STEPS = 1000


@dataclass(frozen=True)
class Marks:
    """One file's test rows: time (s), truth and detections."""

    group: str
    time: Int64
    anomaly: Bool
    changepoint: Bool
    flagged: Bool
    changed: Bool


@dataclass(frozen=True)
class Score:
    """F1; false alarm and missing alarm rate in percent; change-point score, windows missed of all, and false detections."""

    f1: float
    far: float
    mar: float
    change: float
    missed: int
    windows: int
    false: int


def score(files: Iterable[Marks]) -> Score:
    """Of all files together."""
    files = list(files)
    hits = sum(int((f.anomaly & f.flagged).sum()) for f in files)
    false = sum(int((~f.anomaly & f.flagged).sum()) for f in files)
    missed = sum(int((f.anomaly & ~f.flagged).sum()) for f in files)
    quiet = sum(int((~f.anomaly & ~f.flagged).sum()) for f in files)
    changes = [_changes(f) for f in files]
    gained, lost, windows, outside = (sum(part[i] for part in changes) for i in range(4))
    worst, best = MISSED * windows, HIT * windows
    return Score(
        f1=hits / (hits + (missed + false) / 2) if hits else 0.0,
        far=100 * false / max(false + quiet, 1),
        mar=100 * missed / max(missed + hits, 1),
        change=100 * (gained - worst) / (best - worst) if windows else 0.0,
        missed=int(lost),
        windows=int(windows),
        false=int(outside),
    )


def _changes(file: Marks) -> tuple[float, int, int, int]:
    """Sum of gains and costs, windows missed, windows, detections outside."""
    told = file.time[file.changed]
    windows = [[int(t), int(t) + WINDOW_S] for t in file.time[file.changepoint]]
    for before, after in itertools.pairwise(windows):
        if before[1] >= after[0]:
            after[0] = before[1]
    gained, missed, inside = 0.0, 0, np.zeros(len(told), dtype=np.bool_)
    for left, right in windows:
        within = (told >= left) & (told <= right)
        inside |= within
        if within.any():
            gained += _gain((int(told[within][0]) - left) / (right - left) if right > left else 1.0)
        else:
            gained += MISSED
            missed += 1
    outside = int((~inside).sum())
    return gained + FALSE * outside, missed, len(windows), outside


def _gain(share: float) -> float:
    """Of a detection at ``share`` of its window."""
    x = np.linspace(-np.pi / 2, np.pi / 2, _STEPS)[min(int(share * _STEPS), _STEPS - 1)]
    half = (HIT - FALSE) / 2
    return float(half * -np.tanh(x) / np.tanh(np.pi / 2) + half + FALSE)


def first_and_last(flagged: Bool) -> Bool:
    """Change points of a detector that only flags: where its flag turns."""
    out: Bool = np.diff(flagged.astype(np.int8), prepend=0) != 0
    return out

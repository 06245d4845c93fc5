"""The Numenta Anomaly Benchmark: the default detector at its built-in threshold beside river's models and an EWMA z-score.

``run(data_dir, out_dir)`` reads ``data_dir`` (data/<category>/*.csv, labels/combined_windows.json, and files.txt where only
some files are to be scored), shows every series to the detector one reading at a time, writes one result file per series in
the benchmark's layout, and prints the table. Our threshold is fixed; the peers are scored twice, both times at the threshold
that is best for them on these very files: as they are, and with one flag per episode and a hundred rows of silence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import detectors  # noqa: F401  (registers the house's detectors)
from benchmarks.detection_peers import PEERS
from benchmarks.nab_score import PROFILES, File, Tally, read, tally, total
from detectors.base import registered
from detectors.series import Series
from streams.batch import Batch

OURS = "unusual"
FLAG_AT = 0.5
_SILENCE = 100
_SWEEP = 60


def scores(file: File, detector: str = OURS) -> NDArray[np.float64]:
    """Score of every reading, each shown alone and in its order; a time before the newest counts as the newest (D8)."""
    kind = registered()[detector]
    model = kind(kind.Params(), [Series(file.name, "value")])
    model.grow(1)
    model.changed([0])
    found = np.zeros(len(file.value))
    zero, never = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.bool_)
    onward = np.maximum.accumulate(file.ts)
    for i in range(len(found)):
        ts = onward[i : i + 1]
        told = model.measure(Batch("sensor", zero, ts, ts, ts, zero, never, [None], {"value": file.value[i : i + 1]}))
        if told.score is not None and told.score[0] == told.score[0]:
            found[i] = told.score[0]
    return found


def write(out_dir: Path, detector: str, file: File, found: NDArray[np.float64]) -> None:
    """The benchmark's layout: timestamp, value, anomaly_score, label (1 inside a window)."""
    path = out_dir / file.category / f"{detector}_{file.name.split('/')[1]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = np.zeros(len(found), dtype=np.int64)
    for first, last in file.windows:
        inside[first : last + 1] = 1
    with path.open("w", encoding="utf-8", newline="") as sink:
        rows = csv.writer(sink)
        rows.writerow(["timestamp", "value", "anomaly_score", "label"])
        rows.writerows(
            zip(file.stamps, file.value.tolist(), (f"{score:.6g}" for score in found.tolist()), inside.tolist(), strict=True)
        )


def flagged(found: NDArray[np.float64], bound: float, silence: int = 0) -> list[int]:
    """Rows at or above the bound; with ``silence``, none within so many rows after a flag."""
    rows: list[int] = []
    for row in np.flatnonzero(found >= bound).tolist():
        if not silence or not rows or row - rows[-1] > silence:
            rows.append(row)
    return rows


def best(files: Sequence[File], found: Sequence[NDArray[np.float64]], silence: int) -> Tally:
    """Tally at the one threshold for all files that scores best in the standard profile."""
    every = np.concatenate([scored[file.probation :] for file, scored in zip(files, found, strict=True)])
    bounds = np.unique(np.quantile(every, 1.0 - np.geomspace(2e-5, 0.05, _SWEEP)))
    tallies = [
        total([tally(file, flagged(scored, float(bound), silence)) for file, scored in zip(files, found, strict=True)])
        for bound in bounds
    ]
    return max(tallies, key=lambda one: one.score("standard"))


def run(data_dir: Path, out_dir: Path) -> None:
    """Score everything, write the result files, print the tables. Raises OSError where there is no data."""
    files = read(data_dir)
    ours = [scores(file) for file in files]
    for file, found in zip(files, ours, strict=True):
        write(out_dir, OURS, file, found)
    mine = [tally(file, flagged(found, FLAG_AT)) for file, found in zip(files, ours, strict=True)]
    lines = [
        f"NAB, {len(files)} files, {total(mine).windows} windows",
        "",
        *_head(),
        _row(f"{OURS} (threshold fixed)", total(mine)),
    ]
    for name, peer in PEERS.items():
        theirs = [peer(file.value) for file in files]
        lines.append(_row(f"{name}, best threshold", best(files, theirs, 0)))
        lines.append(_row(f"{name}, best threshold, one flag per episode", best(files, theirs, _SILENCE)))
    lines += ["", f"{OURS} by category", "", *_head()]
    for category in sorted({file.category for file in files}):
        lines.append(_row(category, total([one for file, one in zip(files, mine, strict=True) if file.category == category])))
    print("\n".join(lines))


def _head() -> Iterable[str]:
    names = " | ".join(PROFILES)
    return (f"| detector | {names} | windows hit | false flags |", "|---|--:|--:|--:|--:|--:|")


def _row(name: str, one: Tally) -> str:
    cells = " | ".join("–" if (score := one.score(profile)) != score else f"{score:.1f}" for profile in PROFILES)
    return f"| {name} | {cells} | {one.hits} of {one.windows} | {one.false} |"

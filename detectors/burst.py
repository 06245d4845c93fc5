"""Burst of reports: more calls of one category in one place than the place is used to.

Lives in the incident stage (D7: counting per area needs the whole city), so it is no :class:`detectors.base.Detector`: the
stage calls :meth:`BurstCounter.on_report` for every report and :meth:`BurstCounter.advance` as its clock moves on.

The area is the cell of a report with its eight neighbours (a happening at a cell's corner is not cut in four). What is usual is
the area's own rate of reports, forgotten exponentially over ``memory_s``, on top of a small rate every place is granted. It is
a burst when at least ``min_count`` different witnesses report within ``window_s`` and a Poisson process of the usual rate would
do so with a probability below ``chance``. A report counts as usual only when it has left the window, and not at all if it was
part of a burst: a burst does not become its own excuse, unless it has lasted ``adopt_after_s`` and is the new normal.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from streams.geography import METRES_PER_DEGREE

Cell = tuple[int, int]


class BurstSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``granted_per_day``: reports a day that are usual for any area, before it has been seen for long.

    ``max_reports`` bounds the reports a category keeps in its window; beyond it the oldest is let go and counted.
    """

    window_s: float = 1800.0
    cell_m: float = 500.0
    min_count: int = 3
    chance: float = 1e-4
    memory_s: float = 14 * 86_400.0
    granted_per_day: float = 0.5
    adopt_after_s: float = 86_400.0
    max_reports: int = 20_000

    def __post_init__(self) -> None:
        if not (self.window_s > 0 and self.cell_m > 0 and self.memory_s > self.window_s and self.granted_per_day > 0):
            raise ValueError("`window_s`, `cell_m`, `granted_per_day` must be above 0 and `memory_s` above `window_s`")
        if not (self.min_count >= 2 and 0 < self.chance < 1 and self.max_reports >= self.min_count):
            raise ValueError("`min_count` must be 2 or more and within `max_reports`, `chance` between 0 and 1")


@dataclass(frozen=True, slots=True)
class Burst:
    """``count`` witnesses (centre ``lat``/``lon``) where ``expected`` were usual; ``score`` is −log10 of the chance.

    ``burst_id`` stays the same from raised to cleared: category, cell and time of the report that decided it.
    """

    burst_id: str
    phase: Literal["raised", "updated", "cleared"]
    category: str
    ts: int
    lat: float
    lon: float
    count: int
    expected: float
    score: float


@dataclass(slots=True)
class _Report:
    ts: int
    cell: Cell
    lat: float
    lon: float
    witness: str
    flagged: bool = False


@dataclass(slots=True)
class _Open:
    burst_id: str
    cell: Cell
    lat: float
    lon: float
    since: int


def tail(count: int, mean: float) -> float:
    """Probability that a Poisson variable of this mean is ``count`` or more.

    >>> round(tail(3, 0.1), 7), tail(0, 5.0)
    (0.0001547, 1.0)
    """
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    # Summed from the count upwards, so that small tails are not lost as 1 minus nearly 1.
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, k = 0.0, count
    while term > total * 1e-12 or k < mean:
        total += term
        k += 1
        term *= mean / k
    return min(1.0, total)


class BurstCounter:
    """Counts reports per category and area; time is that of the reports and of :meth:`advance`, never a clock's.

    >>> counter = BurstCounter(BurstSettings(window_s=600, min_count=3))
    >>> [counter.on_report(t * 60_000, "gas", 31.82, 117.22, witness=str(t)) for t in range(2)]
    [None, None]
    >>> burst = counter.on_report(180_000, "gas", 31.82, 117.22, witness="c")
    >>> burst.phase, burst.count
    ('raised', 3)
    >>> [burst.phase for burst in counter.advance(3_600_000)]
    ['cleared']
    """

    def __init__(self, settings: BurstSettings | None = None) -> None:
        self.settings = settings or BurstSettings()
        self.now = 0
        #: Reports let go because a category had too many in its window.
        self.overflowed = 0
        self._since: int | None = None
        self._swept = 0
        self._reports: dict[str, deque[_Report]] = {}
        self._near: dict[tuple[str, Cell], deque[_Report]] = {}
        self._usual: dict[tuple[str, Cell], tuple[float, int]] = {}
        self._open: dict[str, list[_Open]] = {}

    def on_report(self, ts: int, category: str, lat: float, lon: float, witness: str | None = None) -> Burst | None:
        """One report; a burst if the area now has one (``raised`` the first time, ``updated`` after).

        ``ts`` in epoch milliseconds; a report older than the window, or without a position, is not counted. Reports without a
        ``witness`` are taken to come from different people.
        """
        if not (math.isfinite(lat) and math.isfinite(lon) and abs(lat) <= 90 and abs(lon) <= 180):
            return None
        window = self.settings.window_s * 1000
        if ts < self.now - window:
            return None
        self.now = max(self.now, ts)
        self._since = ts if self._since is None else self._since
        self._age(category)
        report = _Report(
            ts, self._cell(lat, lon), lat, lon, witness or f"#{ts}/{lat}/{lon}/{len(self._reports.get(category, ()))}"
        )
        self._reports.setdefault(category, deque()).append(report)
        self._near.setdefault((category, report.cell), deque()).append(report)
        if len(self._reports[category]) > self.settings.max_reports:
            self.overflowed += 1
            self._leave(category, self._reports[category].popleft())
        return self._judge(category, report)

    def advance(self, now: int) -> list[Burst]:
        """Time has come to ``now``: bursts that are none any more, in the order they were raised."""
        self.now = max(self.now, now)
        cleared = []
        if self.now - self._swept > self.settings.memory_s * 1000:
            # What is swept is too little to be seen in any answer; state is bounded by the cells of about ten memories.
            self._usual = {key: usual for key, usual in self._usual.items() if self._known(*usual)}
            self._swept = self.now
        for category in sorted({*self._reports, *self._open}):
            self._age(category)
            for burst in list(self._open.get(category, ())):
                count, expected, chance, _ = self._measure(category, burst.cell)
                # Left at the root of the chance it is raised at, so that it does not flicker about one number.
                if count < self.settings.min_count or chance >= math.sqrt(self.settings.chance):
                    self._open[category].remove(burst)
                    cleared.append(self._burst(burst, "cleared", category, count, expected, chance))
        return cleared

    def due(self) -> int | None:
        """Earliest time at which :meth:`advance` could clear a burst; None if none is open."""
        oldest = [
            self._reports[category][0].ts for category, bursts in self._open.items() if bursts and self._reports.get(category)
        ]
        pending = any(bursts and not self._reports.get(category) for category, bursts in self._open.items())
        if pending:
            return self.now
        return min(oldest) + math.floor(self.settings.window_s * 1000) + 1 if oldest else None

    def _cell(self, lat: float, lon: float) -> Cell:
        """Cells of equal metres: a row's width in degrees is that of its own latitude, rounded to whole degrees."""
        size = self.settings.cell_m / METRES_PER_DEGREE
        return math.floor(lat / size), math.floor(lon * max(0.01, math.cos(math.radians(round(lat)))) / size)

    def _age(self, category: str) -> None:
        """Let go of what has left the window; what was no burst becomes usual."""
        reports = self._reports.get(category)
        start = self.now - self.settings.window_s * 1000
        while reports and reports[0].ts < start:
            self._leave(category, reports.popleft())
        if reports is not None and not reports:
            del self._reports[category]

    def _leave(self, category: str, report: _Report) -> None:
        key = (category, report.cell)
        near = self._near[key]
        near.remove(report)
        if not near:
            del self._near[key]
        if not report.flagged:
            rate, at = self._usual.get(key, (0.0, report.ts))
            self._usual[key] = (self._faded(rate, at, report.ts) + 1.0, max(at, report.ts))

    def _faded(self, weight: float, at: int, now: int) -> float:
        return weight * math.exp(-max(0, now - at) / (self.settings.memory_s * 1000))

    def _known(self, weight: float, at: int) -> bool:
        """Whether a cell's past still counts: more than a ten-thousandth of a report is left of it."""
        return self._faded(weight, at, self.now) > 1e-4

    def _measure(self, category: str, cell: Cell) -> tuple[int, float, float, list[_Report]]:
        """Witnesses in the area, how many are usual in a window, the chance of as many, and the reports."""
        settings = self.settings
        around = [(category, (cell[0] + i, cell[1] + j)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        reports = [report for key in around for report in self._near.get(key, ())]
        count = len({report.witness for report in reports})
        weight = sum(self._faded(*self._usual[key], self.now) for key in around if key in self._usual)
        seen_s = max(0.0, (self.now - (self._since if self._since is not None else self.now)) / 1000.0)
        # Weights decay with memory_s, so they stand for this much time; short histories stand for less.
        stands_for = settings.memory_s * (1.0 - math.exp(-seen_s / settings.memory_s))
        rate = settings.granted_per_day / 86_400.0 + weight / max(stands_for, settings.window_s)
        expected = rate * settings.window_s
        return count, expected, tail(count, expected), reports

    def _judge(self, category: str, report: _Report) -> Burst | None:
        count, expected, chance, reports = self._measure(category, report.cell)
        known = next(
            (
                b
                for b in self._open.get(category, ())
                if max(abs(b.cell[0] - report.cell[0]), abs(b.cell[1] - report.cell[1])) <= 1
            ),
            None,
        )
        if known is None and (count < self.settings.min_count or chance >= self.settings.chance):
            return None
        phase: Literal["raised", "updated"] = "updated"
        if known is None:
            phase = "raised"
            known = _Open(
                f"{category}:{report.cell[0]}:{report.cell[1]}:{report.ts}", report.cell, report.lat, report.lon, report.ts
            )
            self._open.setdefault(category, []).append(known)
        else:
            count, expected, chance, reports = self._measure(category, known.cell)
        if self.now - known.since <= self.settings.adopt_after_s * 1000:
            for each in (*reports, report):
                each.flagged = True
        known.lat = math.fsum(each.lat for each in reports) / len(reports) if reports else report.lat
        known.lon = math.fsum(each.lon for each in reports) / len(reports) if reports else report.lon
        return self._burst(known, phase, category, count, expected, chance)

    def _burst(
        self,
        known: _Open,
        phase: Literal["raised", "updated", "cleared"],
        category: str,
        count: int,
        expected: float,
        chance: float,
    ) -> Burst:
        score = min(300.0, -math.log10(chance)) if chance > 0 else 300.0
        return Burst(known.burst_id, phase, category, self.now, known.lat, known.lon, count, expected, max(0.0, score))

    def snapshot(self) -> dict[str, Any]:
        """State as numbers, text and lists (msgpack); cells that have been quiet for ten memories are left out."""
        return {
            "now": self.now,
            "since": self._since,
            "overflowed": self.overflowed,
            "reports": [
                [category, r.ts, r.lat, r.lon, r.witness, r.flagged]
                for category, reports in self._reports.items()
                for r in reports
            ],
            "usual": [
                [category, *cell, weight, at]
                for (category, cell), (weight, at) in self._usual.items()
                if self._known(weight, at)
            ],
            "open": [
                [category, b.burst_id, *b.cell, b.lat, b.lon, b.since]
                for category, bursts in self._open.items()
                for b in bursts
            ],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over a snapshot of the same settings."""
        self.__init__(self.settings)  # type: ignore[misc]
        self.now, self._since, self.overflowed = saved["now"], saved["since"], saved["overflowed"]
        for category, ts, lat, lon, witness, flagged in saved["reports"]:
            report = _Report(ts, self._cell(lat, lon), lat, lon, witness, flagged)
            self._reports.setdefault(category, deque()).append(report)
            self._near.setdefault((category, report.cell), deque()).append(report)
        self._usual = {(category, (i, j)): (weight, at) for category, i, j, weight, at in saved["usual"]}
        for category, burst_id, i, j, lat, lon, since in saved["open"]:
            self._open.setdefault(category, []).append(_Open(burst_id, (i, j), lat, lon, since))

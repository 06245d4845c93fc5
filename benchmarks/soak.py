"""Weeks of a city in one process: whether its memory and its state stop growing.

    python -m benchmarks.soak [--weeks 6] [--bag DIR] [--json FILE] [--write docs/reliability.md]

A simulated city (:mod:`benchmarks.soak_feed`) is written to a bag by another process and replayed through the stages that a
worker runs, with the rulebook that ships. Once a simulated day resident memory is looked at, and what checkpoints would hold.
From the end of the second week on neither may grow: two weeks are what the longest of the memories take to fill (day profiles,
ids of calls, the last that was heard of strangers). A run that grows ends with 2. ``--quick`` is a smoke run of two days.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine
from benchmarks.load_watch import resident, slope
from benchmarks.soak_feed import DAY_MS, START, Soak, write
from benchmarks.tables import Table, answer, deliver, output_options, tell
from detectors.rulebook import RuleBook
from replay.bag import Bag
from replay.run import Run
from replay.stages import StageSettings
from streams.errors import Mend
from streams.gate import GateSettings
from topologies.checkpoints import Checkpoint, ShardKey, encode
from topologies.incident_settings import IncidentSettings
from topologies.settings import Settings

COMMAND = "python -m benchmarks.soak"
FULL = Soak(42.0, sensors=600, vehicles=100, cameras=80, hazards=1, strangers=60)
QUICK = Soak(2.0, sensors=120, vehicles=12, cameras=12, hazards=0, strangers=20)
#: Nothing is held against a run before; and so much, by its slope, may memory and state grow from there to the end.
FILLED_DAYS, FLAT = 14.0, 0.05
_HELD = {"resident": "resident memory", "state": "state"}
#: Ids of events and of calls that are remembered a partition: as shipped it would take these rates months to fill them.
IDS = 8_192
#: So early a day is taken to be over: the last of the recording is not.
_LAST_MS = 60_000


class Sample(NamedTuple):
    """At the end of ``day``: ``resident`` bytes, ``state`` bytes of the checkpoints by stage, and what is known and open."""

    day: float
    records: int
    incidents: int
    resident: float
    detect: int
    incident: int
    series: int
    open: int

    @property
    def state(self) -> int:
        return self.detect + self.incident


@dataclass
class Seen:
    samples: list[Sample]
    seconds: float

    def growth(self, what: str, since: float) -> float:
        """By the slope, from ``since`` to the end, as a share of the median of that time."""
        late = [one for one in self.samples if one.day >= since]
        values = [float(getattr(one, what)) for one in late]
        if len(values) < 2:
            return 0.0
        days = [one.day for one in late]
        return slope(days, values) * (days[-1] - days[0]) / statistics.median(values)


def size(stage: str, state: dict[str, object]) -> int:
    return len(encode(Checkpoint(ShardKey(stage, "soak", 0), "", 1, 1, 0, state)))


def watch(bag: Path) -> Iterator[Sample]:
    """Replay the bag, and look once a simulated day."""
    at: list[int] = [0, 0]

    def progress(records: int, horizon: int) -> None:
        at[:] = records, horizon

    own = Settings(gate={stream: {"remember_ids": IDS} for stream in ("video", "hotline")})
    run = Run(Bag(bag), RuleBook.default(), StageSettings(own), progress=progress)
    day = 0
    for _ in run.revisions():
        while at[1] - START >= (day + 1) * DAY_MS - _LAST_MS:
            day += 1
            yield look(run, day, at[0])


def look(run: Run, day: float, records: int) -> Sample:
    detect = [stage.snapshot() for stage in run.detect_stages()]
    incident = [stage.snapshot() for stage in run.incident_stages()]
    return Sample(
        day, records, run.summary.incidents, resident(os.getpid()),
        sum(size("detect", one) for one in detect), sum(size("incident", one) for one in incident),
        sum(stage.shard.entities for stage in run.detect_stages()),
        sum(len(stage.open_incidents()) for stage in run.incident_stages()),
    )  # fmt: skip


def measure(bag: Path) -> Seen:
    began = time.monotonic()
    samples = []
    for one in watch(bag):
        samples.append(one)
        tell(f"day {one.day:g}: {one.records:,} records, {one.resident / 1e6:.0f} MB, state {one.detect / 1e3:,.0f} kB "
             f"and {one.incident / 1e3:,.0f} kB, {one.series:,} known, {one.open} open")  # fmt: skip
    return Seen(samples, time.monotonic() - began)


def table(seen: Seen, soak: Soak) -> Table:
    step = 7 if soak.days >= 14 else 1
    shown = Table(
        "Weeks in one process",
        ["end of day", "records", "incidents", "known", "open", "resident", "detect state", "incident state"],
    )
    for one in seen.samples:
        if one.day % step == 0:
            shown.rows.append([
                f"{one.day:g}", f"{one.records:,}", f"{one.incidents:,}", f"{one.series:,}", f"{one.open:,}",
                f"{one.resident / 1e6:.0f} MB", f"{one.detect / 1e3:,.0f} kB", f"{one.incident / 1e3:,.0f} kB",
            ])  # fmt: skip
    if seen.samples[-1].day > FILLED_DAYS:
        grown = ", ".join(f"{label} {seen.growth(what, FILLED_DAYS):+.1%}" for what, label in _HELD.items())
        shown.notes.append(f"Growth from day {FILLED_DAYS:g} to the end, by slope (to reach: at most {FLAT:.0%}): {grown}.")
    shown.notes.append(
        f"{soak.sensors:,} sensors, {soak.vehicles:,} vehicles and {soak.cameras:,} cameras that the registry knows; every day "
        f"{soak.strangers:,} sensors and {soak.strangers // 10:,} vehicles that nobody knows and that never come again; "
        f"replayed in {seen.seconds:,.0f} s."
    )
    shown.notes.append(
        f"Ids of events and calls are remembered to be known again: here the last {IDS:,} of a partition, which fill within a "
        f"week (as shipped {GateSettings().remember_ids:,}). Ids of closed incidents are remembered too, up to "
        f"{IncidentSettings().max_remembered:,}."
    )
    shown.figures = {"soak": soak.__dict__, "seconds": seen.seconds, "samples": [one._asdict() for one in seen.samples]}
    return shown


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of two days of a small town")
    parser.add_argument("--weeks", type=float, default=FULL.days / 7, help="(%(default)g)")
    parser.add_argument("--bag", type=Path, metavar="DIR", help="keep the bag there, and use it where it is there already")
    output_options(parser)
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    given = parse(words)
    soak = QUICK if given.quick else replace(FULL, days=7.0 * given.weeks)

    def work() -> None:
        facts = machine.facts()
        with tempfile.TemporaryDirectory(prefix="citywatch-soak-") as folder:
            bag = given.bag or Path(folder) / "soak.bag"
            if not bag.exists():
                # What it takes to make a city must not count for the one that watches it.
                writer = multiprocessing.get_context("spawn").Process(target=_write, args=(bag, soak))
                writer.start()
                writer.join()
                if writer.exitcode:
                    raise Mend("was not written", str(bag), "see above")
            if Bag(bag).manifest.origin != soak.origin:
                raise Mend("holds another city", str(bag), "name a directory that does not exist yet")
            seen = measure(bag)
        deliver(given, facts, [table(seen, soak)], COMMAND)
        if grows := [label for what, label in _HELD.items() if seen.growth(what, FILLED_DAYS) > FLAT]:
            raise Mend(f"{' and '.join(grows)} grow", mend="what is kept must be bounded, and the bound be reached by then")

    return answer("soak", work)


def _write(bag: Path, soak: Soak) -> None:
    total = write(bag, soak, lambda day: tell(f"day {day:g} written"))
    tell(f"{bag}: {total:,} records")


if __name__ == "__main__":
    sys.exit(main())

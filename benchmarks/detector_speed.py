"""What every registered detector costs: microseconds per row and bytes per entity, alone and with ladder and alarm.

    python -m benchmarks.detector_speed [--only NAME …] [--write docs/detectors.md]

Batches of 1,000 rows of 1,000 entities (river's models: fewer) with ordinary values of its stream; the median over the batches,
in processor time, so that what else runs on the machine does not count. Bytes are those of a snapshot, divided by the entities.
The design's target for the cheap detectors is 0.6 us a row with ladder and alarm, and 512 bytes an entity together.
The default detector is then measured in a shard of 10,000 sensors (:mod:`benchmarks.detector_shard`), and with one series, its
readings one at a time and a thousand together, as ``citywatch score`` shows them from a pipe and from a file.
``--write`` puts the numbers into the sections of the page, into the lines that begin with "- **Cost:**", and what they were
measured on into the line "Measured on:".
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import detectors  # noqa: F401  (registers the house's detectors)
from benchmarks import detector_shard, machine
from benchmarks.detector_rows import batches
from benchmarks.detector_shard import Shard
from detectors.alarm import Alarm
from detectors.base import Detector, registered
from detectors.fences import FenceSet
from detectors.ladder import Ladder
from detectors.rule import Rung
from detectors.scoring import DEFAULT_DETECTOR, readings
from detectors.series import Series
from streams.batch import Batch, rounds


@dataclass(frozen=True)
class Setup:
    """Parameters to measure with, and how much of it: a detector that is not listed is measured with its defaults."""

    params: dict[str, Any] = field(default_factory=dict)
    slots: int = 1000
    batches: int = 300


SETUPS: dict[str, Setup] = {
    "accumulation": Setup({"window_s": 3600.0}),
    "alarm_bits": Setup({"bits": ["sos"]}),
    "dark_lamps": Setup({"metric": "ch4"}, slots=200),
    "dumping": Setup({"kinds": ["school"]}),
    "geofence": Setup({"kinds": ["school"], "mode": "inside"}),
    "group_deviation": Setup(slots=20, batches=700),
    "lexicon": Setup({"concept": "gas_smell"}, batches=60),
    "lid_open": Setup({"above_kmh": 10.0}),
    "neighbour_drift": Setup(slots=200),
    "overspeed": Setup(),
    "rate_of_change": Setup({"window_s": 600.0}),
    "river_model": Setup(slots=20, batches=700),
    "video_persistence": Setup({"window_s": 60.0}),
}


@dataclass(frozen=True)
class Cost:
    """``alone`` and ``whole`` in microseconds a row, ``bytes`` an entity; ``shard`` of the default detector."""

    alone: float
    whole: float
    bytes: float
    shard: Shard | None = None

    def __str__(self) -> str:
        per_s = 1e6 / self.whole
        shard = f"; {self.shard}" if self.shard else ""
        return (
            f"{_microseconds(self.alone)} us a reading, {_microseconds(self.whole)} with ladder and alarm "
            f"({per_s:,.0f} readings/s on one core); {self.bytes:,.0f} bytes an entity{shard}"
        )


def _microseconds(number: float) -> str:
    """Two decimals, or two digits of what is smaller: no cost reads as none."""
    return f"{number:.2f}" if number >= 0.1 else f"{number:.2g}"


def fences() -> FenceSet:
    """A hundred squares of 300 m on a grid over the area the vehicles drive in."""
    polygons = []
    for i in range(100):
        lat, lon = 31.80 + 0.005 * (i // 10), 117.20 + 0.005 * (i % 10)
        polygons.append([[[lon, lat], [lon + 0.003, lat], [lon + 0.003, lat + 0.003], [lon, lat + 0.003], [lon, lat]]])
    return FenceSet.from_geojson({"type": "MultiPolygon", "coordinates": polygons}, fence_kind="school")


def build(name: str, setup: Setup, stream: str) -> tuple[Detector[Any], Alarm]:
    kind = registered()[name]
    series = [
        Series(f"s{i}", "ch4", stream=stream, registered=True, interval_s=10.0, limits={"high": 5.0})
        for i in range(setup.slots)
    ]
    detector = kind(msgspec.convert(setup.params, kind.Params), series)
    if hasattr(detector, "attach"):
        detector.attach(fences())
    alarm = Alarm(Ladder([Rung(4, 1e6, clear=1e5)], "above", series))
    detector.grow(setup.slots)
    detector.changed(range(setup.slots))
    alarm.grow(setup.slots)
    return detector, alarm


def measure(name: str) -> Cost:
    setup = SETUPS.get(name, Setup())
    stream = next(one for one in ("sensor", "group", "vehicle", "video", "hotline") if one in registered()[name].streams)
    detector, alarm = build(name, setup, stream)
    alone, whole = [], []
    for batch in batches(stream, setup.slots, setup.batches):
        took, told_took = 0.0, 0.0
        for piece in rounds(batch.slot):
            # As the runner does: a batch without repeated slots is not copied.
            part = batch if len(piece) == len(batch) else batch.take(piece)
            begun = time.process_time()
            told = detector.measure(part)
            done = time.process_time()
            alarm.step(part.slot, told.measure, part.ts)
            took, told_took = took + done - begun, told_took + time.process_time() - done
        due = detector.due()
        if due is not None and due <= int(batch.arrival[-1]):
            begun = time.process_time()
            detector.tick(int(batch.arrival[-1]) // 1000 * 1000)
            took += time.process_time() - begun
        alone.append(took * 1e6 / len(batch))
        whole.append((took + told_took) * 1e6 / len(batch))
    warm = setup.batches // 4
    size = sum(_weight(part) for part in detector.snapshot().values())
    return Cost(statistics.median(alone[warm:]), statistics.median(whole[warm:]), size / setup.slots)


def in_one_shard(name: str = DEFAULT_DETECTOR, sensors: int = detector_shard.SENSORS) -> Shard:
    detector, alarm = build(name, Setup(slots=sensors), "sensor")

    def show(batch: Batch) -> None:
        alarm.step(batch.slot, detector.measure(batch).measure, batch.ts)

    return detector_shard.measure(show, lambda: sum(map(_weight, detector.snapshot().values())), sensors)


def of_one_series(fetch: int, name: str = DEFAULT_DETECTOR, rounds: int = 5, rows: int = 2000) -> float:
    """Microseconds a reading of one series, ``fetch`` of them together; median of the rounds, each of so many rows."""
    detector, _ = build(name, Setup(slots=1), "sensor")
    value = np.random.default_rng(1).normal(10.0, 1.0, (rounds + 1) * rows).round(3)
    took = []
    for first in range(0, len(value), rows):
        parts = [
            readings("sensor", range(at * 10_000, (at + fetch) * 10_000, 10_000), value[at : at + fetch].tolist(), "s")
            for at in range(first, first + rows, fetch)
        ]
        begun = time.process_time()
        for part in parts:
            detector.measure(part)
        took.append((time.process_time() - begun) * 1e6 / rows)
    # The first round is the warm-up.
    return statistics.median(took[1:])


def _weight(part: Any) -> int:
    return part.nbytes if isinstance(part, np.ndarray) else len(msgspec.msgpack.encode(part))


def write(page: Path, costs: dict[str, Cost], facts: dict[str, str]) -> None:
    """Every section "### `name`" of the page gets its numbers, the head of the page what they were measured on."""
    text = page.read_text("utf-8")
    told = "; ".join(f"{label} {value}" for label, value in facts.items())
    text = re.sub(r"^Measured on:[^\n]*", lambda _: f"Measured on: {told}.", text, count=1, flags=re.MULTILINE)
    for name, cost in costs.items():
        pattern = rf"(### `{name}`\n(?:(?!\n### ).)*?\n- \*\*Cost:\*\*)[^\n]*"
        text = re.sub(pattern, lambda found, cost=cost: f"{found[1]} {cost}.", text, flags=re.DOTALL)
    page.write_text(text, "utf-8")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this detector (may be given several times)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the numbers into the sections of this page")
    given = parser.parse_args(words)
    unknown = sorted(set(given.only or ()) - set(registered()))
    if unknown:
        parser.error(f"no detector {', '.join(unknown)}; there are {', '.join(sorted(registered()))}")
    facts = machine.facts()
    for label, value in facts.items():
        print(f"{label}: {value}")
    costs: dict[str, Cost] = {}
    print(f"{'detector':20} {'us a row':>9} {'with alarm':>11} {'bytes':>8}")
    for name in given.only or sorted(registered()):
        cost = costs[name] = measure(name)
        print(f"{name:20} {cost.alone:9.3f} {cost.whole:11.3f} {cost.bytes:8.0f}", flush=True)
    if DEFAULT_DETECTOR in costs:
        shard = in_one_shard()
        costs[DEFAULT_DETECTOR] = replace(costs[DEFAULT_DETECTOR], shard=shard)
        print(*(f"{DEFAULT_DETECTOR}: {line}" for line in shard.lines()), sep="\n")
        for fetch in (1, 1000):
            took = of_one_series(fetch)
            print(f"{DEFAULT_DETECTOR}: one series, {fetch:,} at a time: {_microseconds(took)} us a reading (median of 5)")
    if given.write:
        write(given.write, costs, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast the incident stage takes signals: 10,000 open incidents, then 20,000 more signals, each kind by itself.

    python -m benchmarks.incident_speed

Prints microseconds of processor time per signal; the target is 50 (20,000 signals a second on one core). Then what a
checkpoint costs: encoding everything for the first time, encoding what a batch changed (both between batches), and the capture
on the event loop and the writing beside it, which come every few seconds.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from streams.records import Control, Signal, Source
from tests.acceptance.timeline import CITY, Timeline, alarm, call, update
from topologies.checkpoints import Checkpoint, ShardKey, decode, encode
from topologies.incident import IncidentStage

OPEN, MORE = 10_000, 20_000


class Rate(NamedTuple):
    """One kind of signals: of how many a second of processor time the stage decided what, and how many revisions it told."""

    what: str
    signals: int
    took: float
    revisions: int


def main() -> None:
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)  # as the worker does once warm
    city, spots, found = play(OPEN, MORE)
    for one in found:
        print(
            f"{one.what:52} {one.took / one.signals * 1e6:7.1f} us/signal  {one.signals / one.took:9,.0f} signals/s  "
            f"{one.revisions:6} revisions"
        )
    checkpoint(city, spots)


def play(open_: int, more: int) -> tuple[Timeline, list[tuple[float, float]], list[Rate]]:
    """``open_`` incidents are opened, then each kind of ``more`` signals meets them all."""
    drawn = random.Random(7)
    city = Timeline()
    spots = [(2000.0 * (i % 100), 2000.0 * (i // 100)) for i in range(open_)]
    opening = [city.record(i / 1000, alarm("gas-well", f"W{i}", at=spot, raised=0)) for i, spot in enumerate(spots)]
    found = [rate("open an incident each", city.stage, opening)]
    shuffled = [drawn.randrange(open_) for _ in range(more)]
    standing = [city.record(20 + n / 1000, update("gas-well", f"W{i}", at=spots[i], raised=0)) for n, i in enumerate(shuffled)]
    found.append(rate("repeat a standing alarm", city.stage, standing))
    near = [(spots[i][0] + drawn.uniform(-100, 100), spots[i][1] + drawn.uniform(-100, 100)) for i in shuffled]
    calls = [city.record(60 + n / 1000, call("gas-smell-call", f"c{n}", f"p{n}", at=at)) for n, at in enumerate(near)]
    found.append(rate("join by place, a new witness each", city.stage, calls))
    mixed = [
        city.record(90 + n / 1000, update("gas-well", f"W{i}", at=spots[i], raised=0, level=3 if n % 10 else 2))
        if n % 3
        else city.record(90 + n / 1000, call("gas-smell-call", f"d{n}", f"q{n % 500}", at=near[n]))
        for n, i in enumerate(shuffled)
    ]
    found.append(rate("a storm: two thirds known alarms, one third calls", city.stage, mixed))
    return city, spots, found


def checkpoint(city: Timeline, spots: list[tuple[float, float]]) -> None:
    def timed(call: Callable[[], Any]) -> tuple[float, Any]:
        began = time.process_time()
        found = call()
        return (time.process_time() - began) * 1000, found

    whole, _ = timed(city.stage.settle)
    again = [city.record(200 + n / 1000, update("gas-well", f"W{n}", at=spots[n], raised=0, level=2)) for n in range(500)]
    city.stage.process(again)
    some, _ = timed(city.stage.settle)
    captured, state = timed(city.stage.snapshot)
    key = ShardKey("incident", "city.signals", 0)
    wrote, data = timed(lambda: encode(Checkpoint(key, "cluster", 1, 1, 0, {"cities": {CITY: state}})))
    saved = decode(data).state["cities"][CITY]
    restored, _ = timed(lambda: IncidentStage.restore(saved, city.book, city.assets))
    print(
        f"checkpoint of {len(city.stage.open_incidents())} open: {len(data) / 1e6:.1f} MB; first encoding {whole:.1f} ms, "
        f"of 500 changed {some:.1f} ms; capture {captured:.1f} ms, writing {wrote:.1f} ms; restored in {restored:.0f} ms"
    )


def rate(what: str, stage: IncidentStage, records: list[Signal | Control]) -> Rate:
    tick = Control(
        control="tick", city=CITY, arrival_ts=records[-1].arrival_ts, source=Source("city.progress", 0, records[-1].arrival_ts)
    )
    began = time.process_time()
    revisions = 0
    for start in range(0, len(records), 500):
        revisions += len(stage.process(records[start : start + 500]).incidents)
    revisions += len(stage.process([tick]).incidents)
    return Rate(what, len(records), time.process_time() - began, revisions)


if __name__ == "__main__":
    main()

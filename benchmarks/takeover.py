"""A worker dies, or is asked to stop, and another takes over the state of 100,000 sensors: how long nothing is decided.

    python -m benchmarks.takeover [--sensors 100000] [--rounds 5] [--json FILE] [--write docs/reliability.md]

Two ``citywatch worker`` with the rulebook that ships share a group on Apache Kafka; every sensor is heard of several times
before the first of them is killed. Looked at is the other one: when it *notices* (its ``/readyz`` is 503; until then the group
waits for the dead one's session), when it has *loaded* the checkpoints of all partitions (200 again), and when it has *caught
up* with what came meanwhile. A worker that is asked to stop leaves the group, so nothing waits for a session. ``--quick`` is a
smoke run on the embedded broker.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine
from benchmarks.load import Feeding
from benchmarks.load_feed import Size, register
from benchmarks.servers import Broker, city_broker
from benchmarks.tables import Table, answer, deliver, output_options, tell
from streams.embedded.redis import EmbeddedRedis
from tests.e2e.worker_group import WorkerGroup
from topologies.checkpoints import encode as as_bytes
from topologies.settings import Settings
from topologies.worker import store_of

COMMAND = "python -m benchmarks.takeover"
#: As operators have them; the group of the lab is quicker.
SESSION_S, CHECKPOINT_S = Settings().session_timeout_s, Settings().checkpoint_every_s
READINGS = 10_000.0
HEARD_TIMES = 4
WITHIN_S = 300.0
LOOK_S = 0.02


class Gap(NamedTuple):
    """Seconds from the end of one worker: until the other ``noticed``, had ``loaded`` everything, had ``caught_up``."""

    noticed: float
    loaded: float
    caught_up: float


@dataclass
class Seen:
    """Of one store: what it held (bytes of all checkpoints, and how many), and the gaps by the way the worker ended."""

    store: str
    held: int
    shards: int
    gaps: dict[str, list[Gap]]


def size_of(given: argparse.Namespace) -> Size:
    return Size(given.readings, 10.0, 1.0, 1.0, given.sensors, 100, 10)


def measure(broker: Broker, core: list[int], given: argparse.Namespace, store: str) -> Seen:
    size = size_of(given)
    register(broker.bootstrap, size)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        settings = {
            "CITYWATCH_CHECKPOINT_STORE": store,
            "CITYWATCH_SESSION_TIMEOUT_S": str(given.session),
            "CITYWATCH_CHECKPOINT_EVERY_S": str(given.checkpoint),
            "CITYWATCH_CLOCK_SKEW_S": "0.5",
            # One log, read anew by each store's workers.
            "CITYWATCH_GROUP": f"takeover-{store}",
            "CITYWATCH_NAMESPACE": f"takeover-{store}",
        }
        group = WorkerGroup(broker.bootstrap, redis.url, "city.", folder, settings=settings)
        stack.callback(group.close)
        feeding = Feeding(broker, size, 0.0)
        stack.callback(feeding.kill)
        feeding.at(1)
        # Workers and feed on cores of their own: what is measured is not the machine's width.
        for slot in (0, 1):
            machine.pin(core)
            group.start(slot)
        machine.pin(machine.cores())
        time.sleep(HEARD_TIMES * size.sensors / size.readings)
        _both(group, size.readings)
        time.sleep(2 * given.checkpoint)
        gaps: dict[str, list[Gap]] = {"killed −9": [], "asked to stop": []}
        for _ in range(given.rounds):
            for way, end in (("killed −9", group.kill), ("asked to stop", group.stop)):
                gaps[way].append(_gap(group, end, size.readings))
                tell(f"{store}, {way}: {', '.join(f'{name} {s:.1f} s' for name, s in gaps[way][-1]._asdict().items())}")
                group.start(0)
                _both(group, size.readings)
                time.sleep(given.checkpoint)
        held = _held(Settings(broker=broker.bootstrap, redis=redis.url, **{
            name.removeprefix("CITYWATCH_").lower(): settings[name]
            for name in ("CITYWATCH_CHECKPOINT_STORE", "CITYWATCH_GROUP", "CITYWATCH_NAMESPACE")
        }))  # fmt: skip
    return Seen(store, sum(held), len(held), gaps)


def _both(group: WorkerGroup, rate: float) -> None:
    group.await_ready(0, 1, seconds=WITHIN_S)
    _until(lambda: all(_keeps_up(group, slot, rate) for slot in (0, 1)), "both workers keep up")


def _gap(group: WorkerGroup, end: Callable[[int], object], rate: float) -> Gap:
    began = time.monotonic()
    end(0)
    _until(lambda: not group.ready(1), "the other worker notices")
    noticed = time.monotonic()
    _until(lambda: group.ready(1), "the other worker has loaded the checkpoints")
    loaded = time.monotonic()
    _until(lambda: _keeps_up(group, 1, rate), "the other worker has caught up")
    return Gap(*(round(at - began, 3) for at in (noticed, loaded, time.monotonic())))


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"in vain: {what}")
        time.sleep(LOOK_S)


def _keeps_up(group: WorkerGroup, slot: int, rate: float) -> bool:
    """Less than a second of the feed is unread."""
    return group.metric(slot, "citywatch_consumer_lag_records{") < rate


def _held(settings: Settings) -> list[int]:
    """Bytes of every checkpoint."""
    store = store_of(settings)
    try:
        found = [store.read(key) for key in store.keys()]  # noqa: SIM118  not a dict's
    finally:
        store.close()
    return [len(as_bytes(one)) for one in found if one is not None]


def table(found: list[Seen], broker: Broker, given: argparse.Namespace) -> Table:
    shown = Table(
        f"Takeover of {given.sensors:,} sensors' state",
        ["store", "the worker was", "checkpoints", "noticed", "loaded, from then", "caught up, from the end", "worst"],
    )
    for seen in found:
        for way, gaps in seen.gaps.items():
            noticed, loading, whole = (
                [one.noticed for one in gaps], [one.loaded - one.noticed for one in gaps], [one.caught_up for one in gaps]
            )  # fmt: skip
            shown.rows.append(
                [seen.store, way, f"{seen.held / 1e6:.0f} MB of {seen.shards}"]
                + [f"{statistics.median(values):.1f} s" for values in (noticed, loading, whole)]
                + [f"{max(whole):.1f} s"]
            )
    shown.notes.append(
        f"{broker.label}; two workers on one core, {given.readings:,.0f} readings a second on the other; the session ends "
        f"after {given.session:g} s, checkpoints every {given.checkpoint:g} s; medians of {given.rounds}."
    )
    shown.figures = {"seen": [asdict(one) for one in found]}
    return shown


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run on the embedded broker")
    parser.add_argument("--sensors", type=int, default=100_000, help="known to the registry (%(default)s)")
    parser.add_argument("--readings", type=float, default=READINGS, help="a second (%(default)g)")
    parser.add_argument("--rounds", type=int, default=5, help="of each way to end (%(default)s)")
    output_options(parser)
    given = parser.parse_args(words)
    given.session, given.checkpoint, given.stores = SESSION_S, CHECKPOINT_S, ("redis", "topic")
    if given.quick:
        given.checkpoint = 1.0
        given.sensors, given.readings, given.rounds, given.session, given.stores = 400, 400.0, 1, 3.0, ("redis",)
    return given


def main(words: list[str] | None = None) -> int:
    given = parse(words)

    def work() -> None:
        facts, (reader, _) = machine.facts(), machine.split(machine.cores())
        found = []
        for store in given.stores:
            with city_broker("takeover", given.quick) as broker:
                found.append(measure(broker, reader, given, store))
                shown = table(found, broker, given)
        deliver(given, facts, [shown], COMMAND)

    return answer("takeover", work)


if __name__ == "__main__":
    sys.exit(main())

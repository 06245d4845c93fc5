"""The broker is faster than the worker, a sink is slower: what the worker's memory grows by, and that nothing is lost.

    python -m benchmarks.back_pressure [--backlog 2000000] [--json FILE] [--write docs/reliability.md]

*Backlog*: one worker reads so many readings of 10,000 sensors as they come, another starts when all of them wait. The highest
resident memory of both must agree: what waits, waits at the broker. *Hanging sink*: checkpoints live in a
topic, so Redis is a sink only, and stands still; incidents open until as many deliveries wait as may, and for as long again.
Then Redis goes on, and every row must be accounted for (law 8), with every well that crossed an incident. ``--quick`` is a
smoke run of the first half on the embedded broker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.load import Feeding
from benchmarks.load_feed import Size, register
from benchmarks.load_watch import account, resident
from benchmarks.servers import city_broker
from benchmarks.tables import Table, answer, deliver, output_options, tell
from streams.embedded.redis import EmbeddedRedis
from streams.errors import Mend
from tests.e2e.worker_group import WorkerGroup
from topologies.settings import Settings

COMMAND = "python -m benchmarks.back_pressure"
BACKLOG = 2_000_000
#: The highest with a backlog may be so much above the highest without.
FLAT = 0.10
#: Readings a second: of those that will wait, and of those that are read as they come.
RATE, LIVE_RATE = 100_000.0, 40_000.0
LOOK_S, WITHIN_S = 0.2, 900.0
#: Wells a second that cross while the sink hangs.
OPENS = 200.0
DELIVERIES = Settings().outbox_deliveries


@dataclass
class Backlog:
    """``readings`` waited; resident bytes at their ``peak`` and ``after`` all was decided, which took ``seconds``."""

    readings: int
    peak: float
    after: float
    seconds: float


@dataclass
class Hang:
    """``waiting``: deliveries at the most; resident bytes when so many waited that intake paused (``full``), at the highest
    from then on, and at the end. ``missing`` rows, and incidents beside wells that crossed, once Redis had gone on."""

    waiting: int
    full: float
    peak: float
    after: float
    held_s: float
    missing: int
    crossed: int
    opened: int


class Bench:
    """A broker with topics and a registry, and one worker on a core of its own."""

    def __init__(self, given: argparse.Namespace, size: Size, stack: contextlib.ExitStack, **settings: str) -> None:
        self.size = size
        self.core, _ = machine.split(machine.cores())
        self.broker = stack.enter_context(city_broker("back-pressure", given.quick))
        register(self.broker.bootstrap, size)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-bench-")))
        self.redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        own = {"CITYWATCH_CHECKPOINT_EVERY_S": "5", "CITYWATCH_SESSION_TIMEOUT_S": "10", **settings}
        self.group = WorkerGroup(self.broker.bootstrap, self.redis.url, "city.", folder, settings=own)
        stack.callback(self.group.close)

    def start(self) -> int:
        """The worker's process id."""
        machine.pin(self.core)
        process = self.group.start(0)
        machine.pin(machine.cores())
        return process.pid

    def metric(self, start: str) -> float:
        return self.group.metric(0, start)


def looks(what: str) -> Iterator[float]:
    """Seconds so far, a look at a time; raises RuntimeError after :data:`WITHIN_S`."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < WITHIN_S:
        yield passed
        time.sleep(LOOK_S)
    raise RuntimeError(f"in vain: {what}")


def backlog(given: argparse.Namespace, live: bool) -> Backlog:
    """``live``: there is none, the worker is there first."""
    rate = given.live_rate if live else given.rate
    with contextlib.ExitStack() as stack:
        bench = Bench(given, Size(rate, 0.5, 0.5, 0.5, given.sensors, 10, 10), stack)
        feeding = Feeding(bench.broker, bench.size, 0.0)
        stack.callback(feeding.kill)
        pid = 0
        if live:
            pid = bench.start()
            bench.group.await_ready(0, seconds=WITHIN_S)
        began = time.monotonic()
        feeding.at(1)
        time.sleep(given.backlog / rate)
        sent = sum(feeding.end()["sent"].values())
        if not live:
            pid, began = bench.start(), time.monotonic()
        peak = 0.0
        for _ in looks("all of it is decided"):
            peak = max(peak, resident(pid))
            if bench.metric("citywatch_records_total{") >= sent:
                break
        seconds = time.monotonic() - began
        time.sleep(2.0)
        found = Backlog(sent, max(peak, resident(pid)), resident(pid), seconds)
    tell(f"{found.readings:,} readings {'live' if live else 'that waited'}: {seconds:.0f} s, at most {found.peak / 1e6:.0f} MB")
    return found


def hang(given: argparse.Namespace) -> Hang:
    with contextlib.ExitStack() as stack:
        wells = round(OPENS * 200)
        bench = Bench(
            given, Size(2.0 * wells / 5, 0.5, 0.5, 0.5, 2 * wells, 10, wells), stack, CITYWATCH_CHECKPOINT_STORE="topic"
        )
        pid = bench.start()
        bench.group.await_ready(0, seconds=WITHIN_S)
        feeding = Feeding(bench.broker, bench.size, OPENS)
        stack.callback(feeding.kill)
        os.kill(bench.redis.pid, signal.SIGSTOP)
        try:
            waiting, full, peak, hung_s = _held_up(bench, pid, lambda: feeding.at(1))
        finally:
            os.kill(bench.redis.pid, signal.SIGCONT)
        fed = feeding.end()
        # The incident stage comes later than the rows are accounted for: it has the incidents still to tell.
        for _ in looks("every well that crossed is an incident"):
            found = account(bench.broker.bootstrap, WITHIN_S)
            if found.opened["gas"] >= fed["decided"]:
                break
        after = resident(pid)
    tell(
        f"at most {waiting:,} deliveries waited, {full / 1e6:.0f} MB then, at most {peak / 1e6:.0f} MB for {hung_s:.0f} s more"
    )
    return Hang(waiting, full, peak, after, hung_s, found.missing, fed["decided"], found.opened["gas"])


def _held_up(bench: Bench, pid: int, feed: Callable[[], object]) -> tuple[int, float, float, float]:
    """(deliveries at the most, bytes when the outbox was full, bytes at the highest since, seconds it was full)."""
    feed()
    depth = 'citywatch_outbox_depth{sink="redis_live"}'
    filled_s, waiting, full, peak = None, 0.0, 0.0, 0.0
    for passed in looks("as many deliveries wait as may"):
        waiting, now = max(waiting, bench.metric(depth)), resident(pid)
        if filled_s is None and waiting >= DELIVERIES:
            filled_s, full = passed, now
        peak = max(peak, now)
        if filled_s is not None and passed >= 2 * filled_s:
            return int(waiting), full, peak, passed - filled_s
    raise AssertionError


# --- the table ----------------------------------------------------------------------------------------------------------------


def table(live: Backlog, waited: Backlog, hung: Hang | None, label: str) -> Table:
    shown = Table("Back-pressure", ["what", "measured", "goal", "verdict"])
    for what, one in (("read as they come", live), ("that all waited", waited)):
        shown.rows.append(
            [f"{one.readings:,} readings {what}: resident, highest and at last", f"{_mb(one.peak)}, {_mb(one.after)}", "–", "–"]
        )
    grown = waited.peak / live.peak - 1
    shown.rows.append(["… the highest, backlog against none", f"{grown:+.1%}", f"≤ {FLAT:+.0%}", _met(grown <= FLAT)])
    shown.rows.append(["… the backlog was decided in", f"{waited.seconds:.0f} s", "–", "–"])
    if hung is not None:
        more = hung.peak / hung.full - 1
        shown.rows += [
            ["sink hangs: deliveries that waited, at most", f"{hung.waiting:,}", f"{DELIVERIES:,} and a batch", "–"],
            ["sink hangs: resident when so many waited", _mb(hung.full), "–", "–"],
            [f"sink hangs: the highest in the {hung.held_s:.0f} s after", f"{_mb(hung.peak)} ({more:+.1%})",
             f"≤ {FLAT:+.0%}", _met(more <= FLAT)],
            ["sink goes on: rows missing (law 8)", f"{hung.missing:,}", "0", _met(not hung.missing)],
            ["sink goes on: wells that crossed, incidents", f"{hung.crossed:,}, {hung.opened:,}", "equal",
             _met(hung.crossed == hung.opened)],
        ]  # fmt: skip
    shown.notes.append(f"{label}, one worker on a core of its own with the rulebook that ships.")
    shown.figures = {"backlogs": [asdict(live), asdict(waited)], "hang": None if hung is None else asdict(hung)}
    return shown


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def _met(good: bool) -> str:
    return "met" if good else "MISSED"


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run on the embedded broker")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="readings (%(default)s)")
    output_options(parser)
    given = parser.parse_args(words)
    given.sensors, given.rate, given.live_rate = 10_000, RATE, LIVE_RATE
    if given.quick:
        given.backlog, given.sensors, given.rate, given.live_rate = 5_000, 200, 5_000.0, 2_500.0
    return given


def main(words: list[str] | None = None) -> int:
    given = parse(words)

    def work() -> None:
        facts = machine.facts()
        live, waited = backlog(given, live=True), backlog(given, live=False)
        hung = None if given.quick else hang(given)
        label = "embedded broker" if given.quick else "Apache Kafka"
        deliver(given, facts, [table(live, waited, hung, label)], COMMAND)
        if hung is not None and (hung.missing or hung.crossed != hung.opened):
            raise Mend("not everything that was written was decided once", "a sink that hangs", "see the table")

    return answer("back pressure", work)


if __name__ == "__main__":
    sys.exit(main())

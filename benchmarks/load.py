"""A whole city's load on one worker, and ten times of it for half a minute: lag, alert latency, memory, recovery, law 8.

    python -m benchmarks.load [--seconds 600] [--scale 1.0] [--json FILE] [--write docs/reliability.md]

``citywatch worker`` with the rulebook that ships, on Apache Kafka, knows 100,000 sensors and 20,000 vehicles and is fed
50,000 readings, 2,000 positions, 200 video events and 50 calls a second; two wells of methane a second cross their threshold.
``--scale`` takes a share of these rates: the largest that is kept up is what the machine sustains. Then comes a burst, then
the plain rates again until the worker has caught up. At the end every record that was sent must be accounted for, every well
that crossed must be an incident, and no revision may have two bodies: else the run fails. ``--quick`` is a smoke run on the
embedded broker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.latency import Beside, worker
from benchmarks.load_feed import Size, register
from benchmarks.load_watch import Account, Sample, Watch, account, slope, told
from benchmarks.servers import Broker, city_broker
from benchmarks.tables import Table, answer, deliver, output_options, tell
from streams.embedded.redis import EmbeddedRedis
from streams.errors import Mend
from streams.topics import level_topic
from topologies.settings_stages import GIVE_UP_S

ROOT = Path(__file__).parents[1]
COMMAND = "python -m benchmarks.load"
READINGS, POSITIONS, VIDEO, CALLS = 50_000, 2_000, 200, 50
GOAL_P99_MS = 250.0
#: Wells a second that cross: each stays open for half an hour, and is news for operators who cope with ten in ten minutes.
OPENS = 2.0
#: A worker keeps up while, in the last quarter of the time, it is at most so far behind the feed (median).
KEEPS_UP_S = 1.0
#: Memory is flat while what it grows by in the whole time, by its slope, is at most this share of it.
FLAT = 0.05
#: What comes first is not counted: everybody whom the registry knows is made room for, caches are cold, the collector is not
#: frozen, and what is remembered for :data:`SHORT` grows. At least so long, and then until the worker has caught up.
CALM_S = 150.0
#: What is remembered for an hour or more as shipped (calls, the ids of events and calls, what closed and may return) is
#: remembered for a minute or two: it is full before memory is looked at, so that what grows then is a leak.
SHORT = f"""
[gate.video]
remember_ids = 4096
[gate.hotline]
remember_ids = 1024
[detect]
give_up_s = {{ {", ".join(f"{stream} = {s}" for stream, s in (GIVE_UP_S | {"hotline": 60.0}).items())} }}
[incident]
reopen_s = 30.0
max_remembered = 500
"""
READY_S = 300.0
RECOVER_S = 900.0
SETTLE_S = 180.0


class Feeding:
    """The process of :mod:`benchmarks.load_feed`, on the cores of this one."""

    def __init__(self, broker: Broker, size: Size, opens: float) -> None:
        command = [sys.executable, "-m", "benchmarks.load_feed", "--bootstrap", broker.bootstrap, "--opens", str(opens)]
        self._process = subprocess.Popen(
            [*command, *size.words()], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError("the feed did not start")

    def at(self, times: float) -> float:
        """Feed at so many times the rates from now on; returns the time (s, monotonic)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        return time.monotonic()

    @contextlib.contextmanager
    def also_on(self, core: list[int]) -> Iterator[None]:
        """Meanwhile what feeds may take of these cores, too."""
        machine.pin({*machine.cores(), *core}, self._process.pid)
        try:
            yield
        finally:
            machine.pin(machine.cores(), self._process.pid)

    def end(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=300)
        found: dict[str, Any] = json.loads(out)
        return found

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@dataclass
class Seen:
    """One run: samples of the plain rates, the alerts of that time (ms, arrival to written in the level's topic), the rest."""

    size: Size
    #: From the first record until the worker had caught up; None: it never did.
    begun_s: float | None
    plain: list[Sample]
    alerts: list[float]
    feed: dict[str, Any]
    account: Account
    #: Worst lag behind the burst (records), and seconds from its end until it was gone; None: no burst, or no end of it.
    burst_lag: float | None
    recovery_s: float | None

    @property
    def lag_s(self) -> list[float]:
        return [one.lag / self.size.records for one in self.plain]

    @property
    def last_lag_s(self) -> float:
        """Median of the last quarter."""
        return float(np.median(self.lag_s[-max(1, len(self.plain) // 4) :]))

    @property
    def keeps_up(self) -> bool:
        return self.last_lag_s <= KEEPS_UP_S

    def wrong(self) -> list[str]:
        """What must not be in any run, however slow the machine."""
        found = []
        sent, there = sum(self.feed["sent"].values()), sum(self.account.written.values())
        if sent != there:
            found.append(f"{sent} records were sent, {there} stand in the topics")
        if self.account.missing:
            found.append(f"{self.account.missing} rows are not accounted for")
        if self.account.opened["gas"] != self.feed["decided"]:
            found.append(f"{self.feed['decided']} wells crossed, {self.account.opened['gas']} incidents of gas were opened")
        return [*found, *(f"two bodies: {one}" for one in self.account.conflicts)]


def measure(broker: Broker, core: list[int], given: argparse.Namespace, size: Size) -> Seen:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citywatch-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        register(broker.bootstrap, size)
        feeding = Feeding(broker, size, given.opens)
        stack.callback(feeding.kill)
        running = stack.enter_context(worker(broker, redis.url, core, folder, READY_S, SHORT))
        tell(f"ready with {size.sensors:,} sensors and {size.vehicles:,} vehicles")
        watcher = Beside("watch", broker, [], [level_topic(level) for level in (1, 2, 3, 4)])
        stack.callback(watcher.kill)
        watch = Watch(running, broker.bootstrap)
        watch.start()
        first = feeding.at(1)
        time.sleep(given.calm)
        _, begun_s = _caught_up(watch, first, size)
        began, began_ms = time.monotonic(), time.time() * 1000
        tell(f"begun, and caught up after {begun_s or RECOVER_S:.0f} s")
        time.sleep(given.seconds)
        ended, ended_ms = time.monotonic(), time.time() * 1000
        plain = watch.between(began, ended)
        tell(f"plain rates for {given.seconds:g} s: {plain[-1].lag:,.0f} records behind" if plain else "no sample")
        lag, recovery_s = None, None
        if given.burst_s:
            with feeding.also_on(core):
                feeding.at(given.burst)
                time.sleep(given.burst_s)
                over = feeding.at(1)
            lag, recovery_s = _caught_up(watch, over, size)
            tell(f"burst: {lag:,.0f} records behind, gone after {recovery_s or RECOVER_S:.0f} s")
        feed = feeding.end()
        found = account(broker.bootstrap, SETTLE_S)
        watch.close()
        rows = watcher.end()
    opened = [row["value"] | {"log": row["log"]} for row in rows if row["value"] and row["value"]["event"] == "opened"]
    alerts = [one["log"] - one["updated_ts"] for one in opened if began_ms <= one["updated_ts"] <= ended_ms]
    return Seen(size, begun_s, plain, alerts, feed, found, lag, recovery_s)


def _caught_up(watch: Watch, since: float, size: Size) -> tuple[float, float | None]:
    """(worst lag in records, seconds) from ``since`` until the worker is no more behind than it may be; None: not in time."""
    worst = 0.0
    while time.monotonic() < since + RECOVER_S:
        time.sleep(0.5)
        samples = watch.between(since, time.monotonic())
        worst = max((one.lag for one in samples), default=0.0)
        if samples and samples[-1].lag <= KEEPS_UP_S * size.records:
            return worst, samples[-1].at - since
    return worst, None


# --- the table ----------------------------------------------------------------------------------------------------------------


def table(seen: Seen, broker: Broker, given: argparse.Namespace) -> Table:
    rows = [*_plain(seen), *(_after_burst(seen, given) if given.burst_s else []), *_told(seen)]
    size = seen.size
    notes = [
        f"{broker.label}, Redis, one worker; {size.sensors:,} sensors and {size.vehicles:,} vehicles in the registry, "
        f"{given.scale:g} of {READINGS:,} readings, {POSITIONS:,} positions, {VIDEO} video events and {CALLS} calls a second; "
        f"{given.opens:g} wells a second cross their threshold. What comes before it has first caught up is not counted.",
        "What is remembered for an hour and more as shipped (calls, ids of events, what closed and may return) is remembered "
        "for a minute or two here, and is full before memory is looked at: what grows then would be a leak.",
        "The burst is more than broker and feeder can do on one core: meanwhile the feeder takes of the worker's, too.",
        "Behind: records in the log that are not decided, as seconds of the feed. Resident: slope by Theil and Sen over the "
        "time of the plain rates. Alerts: arrival of the deciding record to written in its level's topic.",
    ]
    if not seen.keeps_up:
        notes.append("This machine does not keep up with these rates: latencies are those of a growing backlog.")
    figures = {
        "scale": given.scale,
        "seconds": given.seconds,
        "begun_s": seen.begun_s,
        "keeps_up": seen.keeps_up,
        "samples": [list(one) for one in seen.plain],
        "alerts_ms": seen.alerts,
        "feed": seen.feed,
        "account": told(seen.account),
        "burst_lag": seen.burst_lag,
        "recovery_s": seen.recovery_s,
    }
    title = f"Load: a city's rates for {given.seconds:g} s"
    if given.burst_s:
        title += f", {given.burst:g} × for {given.burst_s:g} s"
    return Table(title, ["what", "measured", "goal", "verdict"], rows, notes, figures)


def _verdict(good: bool) -> str:
    return "met" if good else "MISSED"


def _plain(seen: Seen) -> list[list[str]]:
    first, lag, samples = seen.feed["stretches"][0], seen.lag_s, seen.plain
    rate, wanted = first["sent"] / first["seconds"], seen.size.records
    at, memory = [one.at for one in samples], [one.memory for one in samples]
    grows = slope(at, memory)
    grown = grows * (at[-1] - at[0]) / memory[-1]
    busy = (samples[-1].cpu_s - samples[0].cpu_s) / (at[-1] - at[0])
    found = np.percentile(seen.alerts, (50, 99, 99.9, 100)).tolist() if seen.alerts else []
    soon = bool(found) and found[1] < GOAL_P99_MS
    alerts = " / ".join(f"{ms:,.0f}" for ms in found) + f" ms of {len(seen.alerts):,}" if found else "none"
    resident = f"{memory[0] / 1e6:,.0f} MB, {memory[-1] / 1e6:,.0f} MB"
    slopes = f"{grows * 3600 / 1e6:+,.0f} MB/h ({grown:+.1%} in all)"
    begun = "not in time" if seen.begun_s is None else f"{seen.begun_s:.0f} s"
    return [
        ["begun with all that is known: caught up after", begun, "–", "–"],
        ["records a second, sent", f"{rate:,.0f}", f"{wanted:,.0f}", _verdict(rate >= 0.99 * wanted)],
        ["worker: processor time, of a core", f"{busy:.2f}", "–", "–"],
        ["behind, median and worst", f"{np.median(lag):.2f} s, {max(lag):.2f} s", "–", "–"],
        ["behind, last quarter, median", f"{seen.last_lag_s:.2f} s", f"≤ {KEEPS_UP_S:g} s", _verdict(seen.keeps_up)],
        ["alerts, p50 / p99 / p99.9 / worst", alerts, f"p99 < {GOAL_P99_MS:g} ms", _verdict(soon)],
        ["resident, first and last", resident, "–", "–"],
        ["resident, slope", slopes, f"≤ {FLAT:.0%} in all", _verdict(grown <= FLAT)],
    ]


def _after_burst(seen: Seen, given: argparse.Namespace) -> list[list[str]]:
    burst = next(one for one in seen.feed["stretches"] if one["times"] == given.burst)
    times = burst["sent"] / burst["seconds"] / seen.size.records
    back = "not in time" if seen.recovery_s is None else f"{seen.recovery_s:.0f} s"
    return [
        ["burst: times the rates, sent", f"{times:.1f}", f"{given.burst:g}", _verdict(times >= 0.99 * given.burst)],
        ["burst: behind at the worst", f"{seen.burst_lag or 0:,.0f} records", "–", "–"],
        ["burst: caught up after its end", back, "–", _verdict(seen.recovery_s is not None)],
    ]


def _told(seen: Seen) -> list[list[str]]:
    of = seen.account
    outcomes = ", ".join(f"{count:,} {name}" for name, count in of.outcomes.items() if count)
    return [
        ["records written", f"{sum(of.written.values()):,}", f"{sum(seen.feed['sent'].values()):,}", "–"],
        ["accounted for (law 8)", outcomes, f"{of.missing:,} missing", _verdict(not of.missing)],
        ["wells that crossed, incidents", f"{of.opened['gas']:,}", f"{seen.feed['decided']:,}", _verdict(not seen.wrong())],
    ]  # fmt: skip


# --- the command --------------------------------------------------------------------------------------------------------------


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds on the embedded broker")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the plain rates (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rates (%(default)s)")
    parser.add_argument("--burst", type=float, default=10.0, help="times the rates (%(default)s)")
    parser.add_argument("--burst-s", type=float, default=30.0, help="length of the burst, 0: none (%(default)s)")
    parser.add_argument("--sensors", type=int, default=100_000, help="known to the registry (%(default)s)")
    parser.add_argument("--vehicles", type=int, default=20_000, help="known to the registry (%(default)s)")
    parser.add_argument("--opens", type=float, default=OPENS, help="wells a second that cross their threshold (%(default)s)")
    output_options(parser)
    given = parser.parse_args(words)
    given.calm = CALM_S
    if given.quick:
        given.seconds, given.calm, given.scale, given.sensors, given.vehicles = 4.0, 1.0, 0.008, 400, 40
        given.burst, given.burst_s = 3.0, 2.0
    return given


def size_of(given: argparse.Namespace) -> Size:
    """Wells for the whole run, but at most half of the sensors."""
    most_s = given.calm + given.seconds + given.burst_s + 120.0
    rates = (share * given.scale for share in (READINGS, POSITIONS, VIDEO, CALLS))
    return Size(*rates, given.sensors, given.vehicles, min(given.sensors // 2, round(given.opens * most_s)))


def main(words: list[str] | None = None) -> int:
    given = parse(words)
    # Ended from outside, broker, feed and worker are ended too, in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def work() -> None:
        facts, (reader, others) = machine.facts(), machine.split(machine.cores())
        facts["cores used"] = f"worker {reader}, broker and feeder {others}" if reader != others else "shared"
        machine.pin(others)
        with city_broker("load", given.quick) as broker:
            seen = measure(broker, reader, given, size_of(given))
            shown = table(seen, broker, given)
        facts["load after (1, 5, 15 min)"] = machine.load()
        deliver(given, facts, [shown], COMMAND)
        if wrong := seen.wrong():
            raise Mend("; ".join(wrong), "load", "what is written must be decided, once")

    return answer("load", work)


if __name__ == "__main__":
    sys.exit(main())

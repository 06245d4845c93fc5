"""``citywatch demo``: a city found live, on one machine, with nothing to install beside the package.

A feeder sends a simulated city (or a recording, in playback mode) into the embedded broker, the real worker decides, and an
ordinary consumer of the topics prints the incidents and keeps the account.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from alert_sinks import terminal
from replay.feeder import feed_live, send_registry
from replay.simulate import City
from replay.simulate.hazards import LEARNED_MIN, RECIPES
from replay.truth import judge
from streams.errors import Mend
from streams.interrupts import set_by_signals
from streams.kafka import LogReader, Producer
from streams.records import Incident
from streams.topics import TOPICS, partition_counts
from topologies.audit import Audit
from topologies.demo_world import World

#: Hazards of all four streams whose rules decide within seconds, with the second they begin.
OPENING: tuple[tuple[str, float], ...] = (
    ("SMK-01", 3), ("PAT-01", 4), ("WAT-CALL", 5), ("GAS-02", 5), ("MUC-03", 6), ("RD-01", 7), ("LGT-01", 8), ("CON-03", 9),
    ("MHC-01", 9), ("WAT-01", 12), ("SMK-02", 12), ("PND-CALL", 13), ("HEA-01", 14), ("MHC-CALL", 15),
)  # fmt: skip
#: After the opening every recipe comes once in a random order, so often; then the city stays quiet.
ROUND_S, ROUNDS, HOURS = 3_600.0, 2, 24.0
#: Sensors of a demo speak this many times as often as in a city, and vehicles every five seconds.
PACE, FIX_S = 20.0, 5.0
#: The player waits for the worker's commits, and commits follow checkpoints.
_PLAYBACK = {"CITYWATCH_PLAYBACK": "true", "CITYWATCH_CHECKPOINT_EVERY_S": "0.5"}
#: How long the account may take to settle after the feed has ended.
SETTLE_S = 15.0
_SHOWN = frozenset({"opened", "escalated", "eased", "resolved", "merged", "reopened"})


def city_of(seed: int, start_ts: int, scenario: str) -> City:
    """The demo's city. ``scenario``: live (default), quiet, or recipe names joined by commas, ten seconds apart."""
    if scenario == "quiet":
        plan: Sequence[tuple[str, float]] = ()
    elif scenario == "live":
        names = [name for name in RECIPES if LEARNED_MIN[name] < 60 * HOURS]
        later = [(name, 60.0 + ROUND_S * (r + i / len(names))) for r in range(ROUNDS) for i, name in enumerate(names)]
        plan = [*OPENING, *later]
    else:
        plan = [(name, 3.0 + 10.0 * i) for i, name in enumerate(scenario.split(","))]
    try:
        return City(
            seed, start_ts, HOURS, recipes=[name for name, _ in plan], at_s=[at for _, at in plan], pace=PACE, fix_s=FIX_S,
            vehicles=300, cameras=160,
        )  # fmt: skip
    except ValueError as problem:
        raise Mend(
            str(problem), "--scenario", "live, quiet, or names from `citywatch replay simulate --list --out .`"
        ) from None


class Watcher(threading.Thread):
    """Reads every topic as any client would, keeps the :class:`Audit`, prints what is news."""

    def __init__(self, broker: str, quiet: bool) -> None:
        super().__init__(name="citywatch-watcher", daemon=True)
        self.audit = Audit()
        self.failure: Exception | None = None
        self._quiet = quiet
        self._done = threading.Event()
        self._reader = LogReader(
            broker, [topic.name("city.") for topic in TOPICS if topic.base not in ("registry", "heartbeat", "checkpoints")]
        )

    def run(self) -> None:
        try:
            while not self._done.is_set():
                for record in self._reader.poll(0.05):
                    incident = self.audit.take(record, time.time() * 1000)
                    if incident is not None and not self._quiet and incident.event in _SHOWN:
                        self._print(incident)
        except Exception as failure:
            self.failure = failure
        finally:
            self._reader.close()

    def _print(self, incident: Incident) -> None:
        latency = None
        if incident.event in ("opened", "escalated") and not incident.historical and self.audit.latencies_ms:
            latency = self.audit.latencies_ms[-1]
        print("\n".join(terminal.lines(incident, colour=sys.stdout.isatty(), latency_ms=latency)), flush=True)

    def stop(self) -> None:
        self._done.set()
        self.join(5)


def run_demo(
    *, seconds: float | None, port: int, scenario: str, seed: int, bag: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Run the demo to its end; returns the exit code."""

    def say(words: str) -> None:
        print(words, file=sys.stderr if as_json else sys.stdout, flush=True)

    stop = threading.Event()
    began = time.monotonic()
    # Played at full speed, partitions are days of the recording apart, and which signal finds which incident open would hang on
    # it. With one partition a topic there is one order, that of the recording.
    playing = (_PLAYBACK, dict.fromkeys(partition_counts(), 1)) if bag else ()
    with set_by_signals(stop), World(port, *playing) as world:
        say(f"broker {world.broker.bootstrap}   redis {world.redis.url}   http {world.http}/metrics")
        with Producer(world.broker.bootstrap, linger_ms=1.0) as producer:
            feed = _Recording(world, producer, bag) if bag is not None else _Simulated(producer, seed, scenario)
            assets = feed.send_registry()
            world.start_worker()
            say(f"worker ready after {time.monotonic() - began:.1f} s with {assets:,} assets; Ctrl-C ends")
            watcher = Watcher(world.broker.bootstrap, quiet=as_json)
            watcher.start()
            feeding = threading.Thread(target=feed.run, args=(seconds, stop), name="citywatch-feeder", daemon=True)
            feeding.start()
            interrupted = _wait(world, feeding, stop)
            if not interrupted:
                _settle(world, watcher, stop)
            watcher.stop()
        if watcher.failure is not None:
            raise watcher.failure
        if feed.failure is not None:
            raise feed.failure
        truth = feed.truth()
        audit = watcher.audit
    found = judge(truth, audit.incidents.values())
    # A recording without a truth file has no false incidents to count, and its arrivals are years ago.
    known = bool(truth) or bag is None
    summary = audit.summary() | {"injected": len(truth), "found": found.found, "false": found.false if known else None}
    latency = summary.pop("alert_latency_ms")
    summary["alert_latency_ms"] = latency if bag is None else {"p50": None, "p99": None}
    if as_json:
        print(orjson.dumps(summary).decode(), flush=True)
    else:
        _tell(summary, bag is not None)
    return 0


def _wait(world: World, feeding: threading.Thread, stop: threading.Event) -> bool:
    """Until the feed has ended (False) or somebody interrupted (True)."""
    while feeding.is_alive():
        if stop.wait(0.1):
            feeding.join(2)
            return True
        _check_worker(world)
    return stop.is_set()


def _check_worker(world: World) -> None:
    if not world.worker_alive():
        raise Mend(f"the worker ended: {world.last_words()}", "citywatch demo")


def _settle(world: World, watcher: Watcher, stop: threading.Event) -> None:
    """Let the last rows be accounted for; a demo that cannot settle says so by its figures.

    A recording is fed faster than it is decided, so the wait ends ``SETTLE_S`` after the last thing that was heard.
    """
    heard, deadline = -1, time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and not stop.is_set():
        _check_worker(world)
        if watcher.audit.settled:
            stop.wait(0.5)
            return
        if (now := watcher.audit.records.total()) != heard:
            heard, deadline = now, time.monotonic() + SETTLE_S
        stop.wait(0.1)


class _Simulated:
    """A simulated city, fed at the pace of this machine's clock."""

    def __init__(self, producer: Producer, seed: int, scenario: str) -> None:
        self._producer, self._seed, self._scenario = producer, seed, scenario
        self.failure: Exception | None = None
        self._until = 0
        # The layout depends on the seed alone, so the registry can be sent before the clock of the feed starts.
        self._city = city_of(seed, int(time.time() * 1000), scenario)

    def send_registry(self) -> int:
        return send_registry(self._producer, self._city.registry)

    def run(self, seconds: float | None, stop: threading.Event) -> None:
        now = int(time.time() * 1000)
        self._city = city_of(self._seed, now, self._scenario)
        until = None if seconds is None else now + int(seconds * 1000)
        try:
            feed_live(self._producer, self._city.stream(), until, stop)
        except Exception as failure:
            self.failure = failure
        self._until = int(time.time() * 1000)

    def truth(self) -> list[dict[str, Any]]:
        """Hazards that had begun when the feed ended."""
        return [row for row in self._city.truth if row["from_ts"] < self._until]


class _Recording:
    """A recording, played in playback mode: time is the recording's, speed is the worker's."""

    def __init__(self, world: World, producer: Producer, bag: Path) -> None:
        from replay.play import Player

        self._player = Player(bag, world.broker.bootstrap, producer)
        self.failure: Exception | None = None

    def send_registry(self) -> int:
        return self._player.send_registry()

    def run(self, seconds: float | None, stop: threading.Event) -> None:
        try:
            self._player.run(seconds=seconds, stop=stop)
        except Exception as failure:
            self.failure = failure

    def truth(self) -> list[dict[str, Any]]:
        return self._player.truth()


def _tell(summary: dict[str, Any], playback: bool) -> None:
    outcomes = ", ".join(f"{count:,} {name}" for name, count in summary["outcomes"].items() if count)
    if (under_way := summary["records"] - sum(summary["outcomes"].values())) > 0:
        outcomes += f"; {under_way:,} were not accounted for yet when the demo ended"
    levels = ", ".join(f"{count} of level {level}" for level, count in summary["by_level"].items() if count)
    streams = ", ".join(f"{count} {stream}" for stream, count in summary["by_stream"].items() if count)
    print(f"\n{summary['records']:,} records: {outcomes}")
    print(f"{summary['signals']:,} signals, {summary['incidents']} incidents ({levels or 'none'}; {streams or 'no evidence'})")
    if summary["injected"]:
        print(f"{summary['injected']} hazards injected, {summary['found']} found, {summary['false']} false incidents")
    latency = summary["alert_latency_ms"]
    if latency["p50"] is not None and not playback:
        print(f"arrival to subscriber: median {latency['p50']:.0f} ms, 99 % within {latency['p99']:.0f} ms")

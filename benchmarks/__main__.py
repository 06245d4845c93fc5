"""Throughput, alert latency, fences and the stages behind the readings, beside their ceilings or goals, in one run.

    python -m benchmarks [--quick] [--json FILE] [--write docs/performance.md] [--only throughput|latency|fences|stages]
        [--peers]

On Apache Kafka where Java and Maven are (they are fetched once), else on the embedded broker, and it says which. On Linux the
measured process has one core to itself and broker and feeder the other; close what else is running.
``--quick`` is a smoke run on the embedded broker: it shows that everything works and that results agree, its times say nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import fences, latency, machine, peers, stages, throughput
from benchmarks.job import SENSORS
from benchmarks.servers import Broker, why_no_apache
from benchmarks.tables import Table, answer, deliver, output_options
from streams.commands import ensure_topics
from streams.embedded.redis import EmbeddedRedis
from streams.topics import partition_counts

WHAT = ("throughput", "latency", "fences", "stages")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a short smoke run on the embedded broker")
    parser.add_argument("--only", choices=WHAT, action="append", help="measure only this (may be given several times)")
    parser.add_argument("--records", type=int, default=2_000_000, help="readings of the throughput run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument(
        "--rate", type=int, nargs="+", default=[2_000, 20_000], help="readings a second of the latency runs (2000 20000)"
    )
    parser.add_argument("--opens", type=int, default=20, help="incidents a second of the latency run (%(default)s)")
    parser.add_argument("--seconds", type=float, default=25.0, help="length of a round of the latency run (%(default)s)")
    peers.option(parser)
    output_options(parser)
    given = parser.parse_args(words)
    if given.quick:
        given.records, given.rounds, given.rate, given.opens, given.seconds = 20_000, 1, [200], 10, 3.0
    return given


def latency_brokers(apache: bool) -> list[Callable[[], Broker]]:
    """Both brokers with the table of topics, or the embedded one alone."""

    def embedded() -> Broker:
        return Broker("embedded", partition_counts())

    def kafka() -> Broker:
        broker = Broker("apache")
        ensure_topics(broker.bootstrap)
        return broker

    return [embedded, kafka] if apache else [embedded]


def run(given: argparse.Namespace) -> tuple[dict[str, str], list[Table]]:
    """Everything that was asked for; the measured processes get the first core, this one and its brokers the second."""
    available = machine.cores()
    facts = machine.facts()
    reader, others = machine.split(available)
    wanted = given.only or WHAT
    missing = "a smoke run" if given.quick else why_no_apache()
    if missing and not given.quick:
        facts["Apache Kafka"] = f"not measured: {missing}"
    facts["cores used"] = (
        f"reader {reader}, broker and feeder {others}" if reader != others else "shared: nothing could be kept apart"
    )
    if given.peers:
        there = peers.versions(given.peers)
        facts["versions of the peers"] = ", ".join(
            f"{name} {there[name]}" for name in (*peers.PEERS, "confluent-kafka") if name in there
        )
    machine.pin(others)
    tables: list[Table] = []
    if "throughput" in wanted:
        folder = tempfile.TemporaryDirectory(prefix="citywatch-bench-")
        with Broker("embedded" if missing else "apache") as broker, folder, EmbeddedRedis(Path(folder.name)) as redis:
            tables.append(
                throughput.measure(
                    broker,
                    reader,
                    redis=redis.url,
                    records=given.records,
                    rounds=given.rounds,
                    check=given.quick,
                    sensors=250 if given.quick else SENSORS,
                    python=given.peers,
                    tell=tell,
                )
            )
    if "latency" in wanted:
        brokers = latency_brokers(not missing)
        tables += [
            latency.measure(
                brokers,
                reader,
                rate=rate,
                opens=given.opens,
                seconds=given.seconds,
                rounds=given.rounds,
                tell=tell,
            )
            for rate in given.rate
        ]
    if "fences" in wanted:
        machine.pin(reader)
        few = given.quick
        tables.append(
            fences.measure(
                fences=200 if few else 2_000, vertices=30, batch=1_000, batches=20 if few else 400, rounds=given.rounds
            )
        )
    if "stages" in wanted:
        machine.pin(reader)
        tables.append(stages.measure(rounds=given.rounds, quick=given.quick))
    machine.pin(available)
    facts["load after (1, 5, 15 min)"] = machine.load()
    return facts, tables


def main(words: list[str] | None = None) -> int:
    given = parse(words)
    # Ended from outside, brokers and readers are ended too, in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return answer("benchmarks", lambda: deliver(given, *run(given)))


if __name__ == "__main__":
    sys.exit(main())

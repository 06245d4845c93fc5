"""``citywatch replay simulate``: a city by seed, with its truth, as files or live into a broker."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from streams.errors import Mend
from streams.interrupts import set_by_signals

if TYPE_CHECKING:
    from replay.simulate.city import City

EXAMPLE = (
    "example: citywatch replay simulate --seed 7 --hours 24 --out var/city7 && citywatch replay run var/city7 --out var/run7"
)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "simulate",
        help="write a simulated city as JSONL files with registry and truth",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="an empty or new directory")
    parser.add_argument(
        "--live", action="store_true", help="feed the broker at the pace of the clock instead, until the end or Ctrl-C"
    )
    parser.add_argument("--broker", default=os.environ.get("CITYWATCH_BROKER", "127.0.0.1:9092"), help="with --live")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--start", default="2026-03-02T00:00:00+08:00", metavar="TIME", help="RFC 3339 with offset")
    parser.add_argument("--sensors", type=int, default=2_000)
    parser.add_argument("--vehicles", type=int, default=300)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument(
        "--scenario", default="all", metavar="S", help="all, quiet, or recipe names joined by commas (--list names them)"
    )
    parser.add_argument("--list", action="store_true", help="list the recipes of hazards and stop")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=simulate)


def start_of(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time with offset; a :class:`Mend` otherwise."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise Mend(f"{text!r} is no time with an offset", "--start", "write it like 2026-03-02T00:00:00+08:00")
    return int(when.timestamp() * 1000)


def city_of(arguments: argparse.Namespace, start_ts: int) -> City:
    """The city the options describe. Raises :class:`Mend` where it cannot be."""
    from replay.simulate.city import City

    if not arguments.hours > 0:
        raise Mend(f"{arguments.hours:g} hours are no time", "--hours", "give a number above 0")
    for option in ("sensors", "vehicles", "cameras"):
        if getattr(arguments, option) < 0:
            raise Mend("is below nothing", f"--{option}", "give 0 or more")
    recipes = {"all": None, "quiet": []}.get(arguments.scenario, arguments.scenario.split(","))
    size = (arguments.hours, arguments.sensors, arguments.vehicles, arguments.cameras)
    try:
        return City(arguments.seed, start_ts, *size, recipes=recipes)
    except ValueError as problem:
        raise Mend(str(problem), "--scenario", "citywatch replay simulate --list shows the names") from None


def live(arguments: argparse.Namespace) -> int:
    """Registry first, then every record when its time has come."""
    from replay.feeder import feed_live, send_registry
    from streams.kafka import Producer, check_broker

    check_broker(arguments.broker)
    stop = threading.Event()
    city = city_of(arguments, int(time.time() * 1000))
    with set_by_signals(stop), Producer(arguments.broker) as producer:
        assets = send_registry(producer, city.registry)
        print(f"{arguments.broker}: {assets:,} assets registered, feeding until Ctrl-C", flush=True)
        sent = feed_live(producer, city.stream(), stop=stop)
    print(f"{sent:,} records fed")
    return 0


def simulate(arguments: argparse.Namespace) -> int:
    from replay.simulate.export import write_jsonl
    from replay.simulate.hazards import RECIPES

    if arguments.list:
        print("\n".join(RECIPES))
        return 0
    if arguments.live:
        return live(arguments)
    if arguments.out is None:
        raise Mend("no place to write to", "--out", "name an empty or new directory, or feed a broker with --live")
    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Mend("is not an empty directory", str(out), "name a new one, or empty it")
    city = city_of(arguments, start_of(arguments.start))
    show = sys.stderr.isatty() and not arguments.json

    def progress(records: int, arrival_ts: int) -> None:
        done = (arrival_ts - city.start_ts) / (city.end_ts - city.start_ts)
        print(f"\r{records:,} records, {done:4.0%} of the time", end="", file=sys.stderr, flush=True)

    counts = write_jsonl(city, out, progress if show else None)
    if show:
        print("\r", end="", file=sys.stderr)
    if arguments.json:
        summary = {"out": str(out), "records": dict(counts), "assets": len(city.registry), "hazards": len(city.truth)}
        print(orjson.dumps(summary).decode())
    else:
        streams = ", ".join(f"{count:,} {topic}" for topic, count in sorted(counts.items()))
        print(f"{out}: {streams}; {len(city.registry):,} assets, {len(city.truth)} hazards in truth.jsonl")
    return 0

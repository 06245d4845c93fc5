"""``citywatch demo``: options and help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from streams.errors import Mend

EXAMPLE = """examples:
  citywatch demo                               until Ctrl-C
  citywatch demo --seconds 60 --json           a minute, then one JSON line
  citywatch demo --bag var/river               a recording, through broker and worker"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "demo", help="a simulated city (or a recording) found live, with nothing else running", epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="N", help="feed for N seconds, then sum up (default: until Ctrl-C)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="port of /metrics (default: a free one)")
    parser.add_argument("--scenario", default="live", metavar="S", help="live, quiet, or names of hazards joined by commas")
    parser.add_argument("--seed", type=int, default=1, metavar="K", help="which city")
    parser.add_argument("--bag", type=Path, metavar="DIR", help="play this recording instead of simulating")
    parser.add_argument("--json", action="store_true", help="say nothing but one JSON line at the end")
    parser.set_defaults(run=demo)


def demo(arguments: argparse.Namespace) -> int:
    if arguments.seconds is not None and arguments.seconds <= 0:
        raise Mend(f"{arguments.seconds:g} is no time to run", "--seconds", "give a number above 0")
    if not 0 <= arguments.port <= 65535:
        raise Mend(f"{arguments.port} is no port", "--port", "0 (any free one) to 65535")
    if arguments.bag is not None and not arguments.bag.is_dir():
        raise Mend("there is no such directory", str(arguments.bag), "name a bag or a directory of <topic>.jsonl files")
    from topologies.demo import run_demo

    return run_demo(
        seconds=arguments.seconds, port=arguments.port, scenario=arguments.scenario, seed=arguments.seed, bag=arguments.bag,
        as_json=arguments.json,
    )  # fmt: skip

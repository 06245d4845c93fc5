"""Options of the ``citywatch replay`` commands, one function each."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

BROKER_VARIABLE = "CITYWATCH_BROKER"
GROUP_VARIABLE = "CITYWATCH_GROUP"


def broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker",
        default=os.environ.get(BROKER_VARIABLE, "localhost:9092"),
        help=f"default: {BROKER_VARIABLE}, or localhost:9092",
    )


def group(parser: argparse.ArgumentParser, what_for: str) -> None:
    parser.add_argument(
        "--group", default=os.environ.get(GROUP_VARIABLE, "citywatch"), help=f"{what_for} (default %(default)s)"
    )


def stages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the worker's settings file ([gate], [detect], [incident])"
    )
    parser.add_argument(
        "--partitions", type=int, default=1, help="partitions a directory of JSON lines is dealt to (default 1)"
    )


def record_options(parser: argparse.ArgumentParser) -> None:
    broker(parser)
    parser.add_argument("bag", type=Path, metavar="BAG", help="directory to write; must not exist")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="T", help="only these topics (default: all of citywatch)"
    )
    parser.add_argument("--seconds", type=float, help="go on for so long (default: stop at the end the topics have now)")
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--from-now", action="store_true", help="skip what is in the topics already")
    parser.add_argument(
        "--playback", action="store_true", help="take the arrival from cw_arrival_ts (a recording is being played)"
    )
    parser.add_argument("--rules", type=Path, metavar="DIR", help="rules the worker runs with, for the manifest")
    group(parser, "the worker's group, whose progress the manifest keeps")


def bag_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", type=Path, metavar="BAG", help="a bag, or a directory of <topic>.jsonl files")


def info_options(parser: argparse.ArgumentParser) -> None:
    bag_options(parser)
    parser.add_argument("--verify", action="store_true", help="compare every file with its hash")


def play_options(parser: argparse.ArgumentParser) -> None:
    broker(parser)
    bag_options(parser)
    parser.add_argument("--speed", default="max", metavar="X", help="times the recording's own pace, or max (default)")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    group(parser, "group whose lag paces --speed max")
    parser.add_argument("--no-pacing", action="store_true", help="do not wait for the group (a broker that keeps everything)")
    parser.add_argument("--partitions", type=int, default=1, help=argparse.SUPPRESS)


def run_options(parser: argparse.ArgumentParser) -> None:
    bag_options(parser)
    stages(parser)
    parser.add_argument("--rules", type=Path, metavar="DIR", help="rule files (default: those of the house)")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="directory for incidents, signals and manifest")
    parser.add_argument("--drain-s", type=float, default=0.0, metavar="S", help="let so much time pass after the end")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="truth.jsonl or labels.csv to judge the incidents by")


def diff_options(parser: argparse.ArgumentParser) -> None:
    bag_options(parser)
    stages(parser)
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="rule files as they are")
    parser.add_argument("--candidate", type=Path, required=True, metavar="DIR", help="rule files as they might be")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="labels.csv or truth.jsonl: precision and recall of both")
    parser.add_argument("--drain-s", type=float, default=0.0, metavar="S", help="let so much time pass after the end")


def verify_options(parser: argparse.ArgumentParser) -> None:
    bag_options(parser)
    stages(parser)
    parser.add_argument(
        "--rules", type=Path, action="append", default=[], metavar="DIR", help="rules the worker had; again for each change"
    )


def import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mapping", metavar="MAPPING", nargs="?", help="a mapping file (.toml), or the name of a shipped one")
    parser.add_argument("sources", type=Path, metavar="SOURCE", nargs="*", help="files, archives, directories")
    parser.add_argument("--out", type=Path, metavar="BAG", help="the bag to write; must not exist")
    parser.add_argument("--jsonl", action="store_true", help="write a directory of JSON lines instead of a bag")
    parser.add_argument("--partitions", type=int, default=1, help="partitions the keys are dealt to (default 1)")
    parser.add_argument("--list", action="store_true", help="list the shipped mappings and stop")

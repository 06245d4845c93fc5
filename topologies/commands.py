"""Commands of this room: worker, doctor, incidents, mute, dead-letters. Only parses; the work is imported when asked for."""

from __future__ import annotations

import argparse
from typing import Any

from topologies import settings as settings_module
from topologies.settings import Settings


def add_parser(subparsers: Any) -> None:
    """Add the room's commands to citywatch's parser."""
    for add in (_worker, _doctor, _incidents, _mute, _dead_letters):
        add(subparsers)


def load(arguments: argparse.Namespace) -> Settings:
    """Settings of the command line's ``--settings``, the environment and the defaults."""
    return settings_module.load(arguments.settings)


def _command(subparsers: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=text, description=text, epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", metavar="FILE", help="TOML file (default: CITYWATCH_SETTINGS)")
    return parser


def _worker(subparsers: Any) -> None:
    parser = _command(
        subparsers,
        "worker",
        "the worker against CITYWATCH_BROKER and CITYWATCH_REDIS",
        "CITYWATCH_BROKER=kafka:9092 CITYWATCH_REDIS=redis://redis:6379/0 citywatch worker",
    )
    parser.add_argument(
        "--rebuild-from",
        metavar="TIME",
        help="forget the checkpoints and decide again from this time of the retained log (RFC 3339 or epoch ms); "
        "stop all other workers of the group first",
    )

    def run(arguments: argparse.Namespace) -> int:
        from topologies.worker import run_worker
        from topologies.worker_rebuild import rebuild

        settings = load(arguments)
        if arguments.rebuild_from is not None:
            rebuild(settings, arguments.rebuild_from)
        return run_worker(settings)

    parser.set_defaults(run=run)


def _doctor(subparsers: Any) -> None:
    parser = _command(
        subparsers, "doctor", "checks broker, Redis, topics, clock, rules and says what to do", "citywatch doctor --json"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per check")

    def run(arguments: argparse.Namespace) -> int:
        from topologies.doctor import examine

        return examine(load(arguments), as_json=arguments.json)

    parser.set_defaults(run=run)


def _incidents(subparsers: Any) -> None:
    parser = _command(
        subparsers, "incidents", "the live set of incidents; feedback to them", "citywatch incidents list --level 1 2"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|watch|ack|resolve")
    for name, text in (("list", "open incidents, most urgent first"), ("watch", "incidents as they change, until Ctrl-C")):
        action = actions.add_parser(name, help=text)
        action.add_argument("--city", help="division code")
        action.add_argument("--level", type=int, nargs="+", choices=(1, 2, 3, 4), help="only these levels")
        action.add_argument("--json", action="store_true", help="one JSON record per line")
    for name, text in (("ack", "somebody has seen it"), ("resolve", "it is over")):
        action = actions.add_parser(name, help=text)
        action.add_argument("id", help="incident id")
        action.add_argument("--by", required=True, help="who says so")
        action.add_argument("--note", help="a remark that stays with the incident")

    def run(arguments: argparse.Namespace) -> int:
        from topologies import incident_commands as commands

        settings = load(arguments)
        if arguments.action == "list":
            return commands.show(settings, city=arguments.city, levels=arguments.level, as_json=arguments.json)
        if arguments.action == "watch":
            return commands.watch(settings, city=arguments.city, levels=arguments.level, as_json=arguments.json)
        action = {"ack": "acknowledge", "resolve": "resolve"}[arguments.action]
        return commands.feedback(settings, arguments.id, action, by=arguments.by, note=arguments.note)

    parser.set_defaults(run=run)


def _mute(subparsers: Any) -> None:
    parser = _command(
        subparsers,
        "mute",
        "silences, maintenance, permits, drills",
        "citywatch mute add --kind maintenance --entity GAS-W-00123 --for 2h --author wang --comment 'valve exchange'",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|end")
    add = actions.add_parser("add", help="write a mute")
    add.add_argument("--id", help="mute id; one that exists is replaced (default: a new one)")
    add.add_argument("--kind", default="silence", choices=("silence", "maintenance", "permit", "drill", "mode"))
    for field in ("city", "category", "hazard", "rule", "entity", "stream"):
        add.add_argument(f"--{field}", help=f"only signals with this {field}")
    add.add_argument(
        "--max-severity-level", type=int, choices=(1, 2, 3, 4), help="leaves signals more severe than this level alone"
    )
    add.add_argument(
        "--near", nargs=3, type=float, metavar=("LAT", "LON", "RADIUS_M"), help="only signals around this place (WGS-84)"
    )
    add.add_argument("--from", dest="start", metavar="TIME", help="RFC 3339 or epoch ms (default: now)")
    until = add.add_mutually_exclusive_group(required=True)
    until.add_argument("--until", metavar="TIME", help="RFC 3339 or epoch ms")
    until.add_argument("--for", dest="span", metavar="SPAN", help="for example 30m, 2h, 7d")
    add.add_argument("--author", required=True)
    add.add_argument("--comment", default="")
    listed = actions.add_parser("list", help="mutes that stand")
    listed.add_argument("--json", action="store_true", help="one JSON record per line")
    end = actions.add_parser("end", help="withdraw a mute")
    end.add_argument("id")

    def run(arguments: argparse.Namespace) -> int:
        from topologies import mute_commands as commands

        settings = load(arguments)
        if arguments.action == "add":
            return commands.add(settings, arguments)
        if arguments.action == "list":
            return commands.show(settings, as_json=arguments.json)
        return commands.end(settings, arguments.id)

    parser.set_defaults(run=run)


def _dead_letters(subparsers: Any) -> None:
    parser = _command(
        subparsers,
        "dead-letters",
        "look at and re-submit what could not be read",
        "citywatch dead-letters list --reason malformed_json",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|resubmit")
    listed = actions.add_parser("list", help="what could not be read, and why")
    listed.add_argument("--reason", help="only this reason")
    listed.add_argument("--topic", help="only records of this topic")
    listed.add_argument("--json", action="store_true", help="one JSON record per line")
    for name, text in (("show", "one of them with its bytes"), ("resubmit", "write the bytes to their topic again")):
        action = actions.add_parser(name, help=text)
        action.add_argument("place", metavar="TOPIC/PARTITION/OFFSET[/N]", help="as `list` prints it")
        if name == "resubmit":
            action.add_argument("--value", metavar="FILE", help="bytes to write instead (mended); - is standard input")

    def run(arguments: argparse.Namespace) -> int:
        from topologies import dead_letter_commands as commands

        settings = load(arguments)
        if arguments.action == "list":
            return commands.show_all(settings, reason=arguments.reason, topic=arguments.topic, as_json=arguments.json)
        if arguments.action == "show":
            return commands.show(settings, arguments.place)
        return commands.resubmit(settings, arguments.place, arguments.value)

    parser.set_defaults(run=run)

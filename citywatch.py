"""The front door: the ``citywatch`` command, which only parses and calls.

Each room brings its commands by ``add_parser(subparsers)``; only the room of the command that was asked for is imported, so
that ``citywatch rules`` starts without a Kafka client and a broken room does not break the others.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from streams.errors import Mend

#: Command -> (module that adds its parser, one line for --help).
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("topologies.demo_commands", "a simulated city (or a recording) found live, with nothing else running"),
    "worker": ("topologies.commands", "the worker against CITYWATCH_BROKER and CITYWATCH_REDIS"),
    "topics": ("streams.commands", "make, list and measure the topics on a broker"),
    "incidents": ("topologies.commands", "the live set of incidents; feedback to them"),
    "mute": ("topologies.commands", "silences, maintenance, permits, drills"),
    "dead-letters": ("topologies.commands", "look at and re-submit what could not be read"),
    "rules": ("topologies.rules_commands", "check, list and test rule files"),
    "score": ("detectors.commands", "score a table of readings row by row as it would arrive"),
    "replay": ("replay.commands", "record, play, run, compare and verify recordings"),
    "doctor": ("topologies.commands", "checks broker, Redis, topics, clock, rules and says what to do"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command: 0 done, 1 found what it looked for, 2 bad usage or input (one line on standard error)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    try:
        parsed = _parser(asked).parse_args(arguments)
        return int(parsed.run(parsed) or 0)
    except Mend as error:
        print(f"citywatch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader (head, less) has seen enough; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Parser(argparse.ArgumentParser):
    """Wrong usage is one line that says where, what and how to mend it; commands' parsers are of the same kind."""

    def error(self, message: str) -> NoReturn:
        where = self.prog.removeprefix("citywatch").strip() or "command line"
        raise Mend(message, where, f"see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        near = difflib.get_close_matches(str(value), [str(choice) for choice in action.choices], 1)
        known = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(str(choice) for choice in action.choices)
        raise argparse.ArgumentError(action, f"{value!r} is not known: {known}")


def _parser(asked: str | None) -> argparse.ArgumentParser:
    """The parser with the room of ``asked`` in full and the other commands by name."""
    parser = Parser(
        prog="citywatch",
        description="Real-time stream processing and alerting backbone for cities.",
        epilog="example: citywatch demo --seconds 60",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    room = COMMANDS[asked][0] if asked in COMMANDS else None
    if room is not None:
        _room(room, str(asked)).add_parser(commands)
    for name, (module, text) in COMMANDS.items():
        if module != room and _there(module):
            commands.add_parser(name, help=text)
    return parser


def _there(module: str) -> bool:
    """Whether the module's file exists: finding it the usual way would import its package, and with it numpy."""
    package, _, name = module.rpartition(".")
    spec = importlib.util.find_spec(package)
    return spec is not None and any((Path(folder) / f"{name}.py").exists() for folder in spec.submodule_search_locations or ())


def _room(module: str, command: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise Mend(
            f"{missing.name!r} is missing", where=f"citywatch {command}", mend="install citywatch anew (`make venv` in a clone)"
        ) from missing


if __name__ == "__main__":
    sys.exit(main())

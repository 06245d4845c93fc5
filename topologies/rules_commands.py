"""``citywatch rules``: check that a rulebook can be used, list its rules, and run every case it ships."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from detectors.rulebook import RuleBook
from streams.errors import Mend
from topologies.rule_cases import Outcome, run_cases

_EXAMPLE = "example: citywatch rules test my-rules"


def add_parser(subparsers: Any) -> None:
    """Adds ``rules check|list|test [DIR] [--json]``."""
    parser = subparsers.add_parser("rules", help="check, list and test a rulebook", description=__doc__, epilog=_EXAMPLE)
    actions = parser.add_subparsers(dest="action", metavar="check|list|test", required=True)
    for name, run, what in (
        ("check", check, "validate every file; exit 1 if a problem was found"),
        ("list", list_rules, "name, hazard, levels and fingerprint of every rule"),
        ("test", test, "run every [[case]] through the detect stage; exit 1 if one fails"),
    ):
        action = actions.add_parser(name, help=what, description=what, epilog=f"example: citywatch rules {name} my-rules")
        action.add_argument("dir", nargs="?", metavar="DIR", help="folder of rule files (default: the rulebook of the house)")
        action.add_argument("--json", action="store_true", help="one JSON document on standard output")
        action.set_defaults(run=run)


def _folder(options: argparse.Namespace) -> str | None:
    if options.dir is not None and not Path(options.dir).is_dir():
        raise Mend("is no folder", where=options.dir, mend="name a folder with rule files (*.toml) and families.toml")
    folder: str | None = options.dir
    return folder


def _book(options: argparse.Namespace) -> RuleBook:
    folder = _folder(options)
    return RuleBook.default() if folder is None else RuleBook.from_dir(folder)


def check(options: argparse.Namespace) -> int:
    folder = _folder(options) or str(Path(__file__).parent.parent / "detectors" / "rules")
    problems = RuleBook.problems(folder)
    if options.json:
        _say(json.dumps({"problems": problems}, ensure_ascii=False))
    else:
        for problem in problems:
            _say(problem)
        _say(f"{len(problems)} problems" if problems else "the rulebook can be used")
    return 1 if problems else 0


def list_rules(options: argparse.Namespace) -> int:
    book = _book(options)
    rows = [
        {
            "name": rule.name,
            "hazard": rule.hazard,
            "category": rule.category,
            "stream": rule.match.stream,
            "detector": rule.detector["use"],
            "levels": sorted(rung.level for rung in rule.levels),
            "family": rule.family,
            "shadow": rule.shadow,
            "cases": len(rule.case),
            "version": book.version(rule),
            "fingerprint": book.fingerprints[rule.name],
            "title": rule.title,
        }
        for rule in book
    ]
    if options.json:
        _say(json.dumps({"fingerprint": book.fingerprint, "rules": rows}, ensure_ascii=False))
        return 0
    for row in rows:
        levels = ",".join(str(level) for level in row["levels"])
        shadow = " (shadow)" if row["shadow"] else ""
        _say(f"{row['hazard']:7} {row['name']:30} {row['stream']:8} {levels:8} {row['fingerprint']}  {row['title']}{shadow}")
    _say(f"{len(rows)} rules, fingerprint {book.fingerprint}")
    return 0


def test(options: argparse.Namespace) -> int:
    book = _book(options)
    outcomes = [outcome for rule in book for outcome in run_cases(book, rule)]
    failed = [outcome for outcome in outcomes if not outcome.held]
    if options.json:
        _say(json.dumps({"cases": len(outcomes), "failed": [_row(outcome) for outcome in failed]}, ensure_ascii=False))
    else:
        for outcome in failed:
            _say(f"{outcome.rule}: {outcome.case}: {outcome.problem}")
        _say(f"{len(book)} rules, {len(outcomes)} cases, {len(failed)} failed")
    return 1 if failed else 0


def _row(outcome: Outcome) -> dict[str, Any]:
    return {"rule": outcome.rule, "case": outcome.case, "problem": outcome.problem, "found": list(outcome.found)}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")

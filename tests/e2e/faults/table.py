"""The outcomes of runs, a line each, and the table of docs/reliability.md that is made of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.tables import write_between
from tests.e2e.faults.scenarios import BY_NAME, SCENARIOS
from tests.e2e.worker_group import ROOT

COMMAND = "python -m tests.e2e.faults"
_COUNTS = ("missing", "second_ids", "second_bodies", "went_back")


#: Of what differed, so much is kept of each run; the printed seed repeats it.
_DETAILS, _DETAIL_CHARS = 8, 600


def add(path: Path, outcome: Mapping[str, Any]) -> None:
    """Append one run's outcome, with the commit it is of and the day; where on the machine it ran is nobody's business."""
    kept = dict(outcome)
    if "verdict" in kept:
        details = [line[:_DETAIL_CHARS] for line in kept["verdict"]["details"][:_DETAILS]]
        kept["verdict"] = kept["verdict"] | {"details": details}
    kept |= {"commit": _commit(), "day": time.strftime("%Y-%m-%d")}
    line = json.dumps(kept, ensure_ascii=False).replace(f"{ROOT}/", "").replace(f"{tempfile.gettempdir()}/", "")
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _commit() -> str:
    """What was run; docs may have changed, for the outcomes are kept there."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".", ":!docs") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(outcomes: Iterable[Mapping[str, Any]]) -> str:
    """Markdown: faults in the order of the scenarios, then the deliberate mistakes and how often they were seen.

    What a run counted stands in the row of each fault that befell it. A line that somebody has given a ``set_aside``, why its
    judgement does not hold, counts in no row and is named below them.
    """
    every = list(outcomes)
    held = [one for one in every if "verdict" in one and "set_aside" not in one]
    rows = [
        "| fault | times | with rules changed | records in | revisions expected | missing | second ids | second bodies "
        "| marks that fell | recovery, median | worst |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    mistakes: list[str] = []
    for scenario in SCENARIOS:
        mine = [(one, fault) for one in held for fault in one["struck"] if fault["scenario"] == scenario.name]
        if not mine:
            continue
        verdicts = [one["verdict"] for one, _ in mine]
        if scenario.seen:
            seen = sum(any(verdict[count] for count in _COUNTS) for verdict in verdicts)
            mistakes.append(f"| {scenario.what} | {len(mine)} | {seen} |")
            continue
        sums = [sum(verdict[count] for verdict in verdicts) for count in ("expected", *_COUNTS)]
        times = [fault["recovery_s"] for _, fault in mine]
        changed = sum(one.get("reloaded", False) for one, _ in mine)
        cells = [scenario.what, len(mine), changed, sum(one["records"] for one, _ in mine), *sums]
        cells += [f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    if mistakes:
        rows += ["", "| what the lab must see | times | seen |", "|---|---|---|", *mistakes]
    unjudged = [one for one in every if "verdict" not in one]
    rows += ["", f"Of {_counted(len(every), 'run')}, {_days(every)}, {_commits(every)}."]
    for one in held:
        if any(one["verdict"][count] for count in _COUNTS) and not _mistake(one):
            why = next(iter(one["verdict"]["details"]), "")
            rows.append(f"- **Differs:** {_named(one)}: {why[:_DETAIL_CHARS]}")
    rows += [f"- **Set aside:** {_named(one)}: {one['set_aside']}" for one in every if "set_aside" in one]
    rows += [f"- **No judgement:** `{one['unjudged']}`, seed {one['seed']}: {one['why'][:_DETAIL_CHARS]}" for one in unjudged]
    return "\n".join(rows) + "\n"


def _named(outcome: Mapping[str, Any]) -> str:
    name = "+".join(fault["scenario"] for fault in outcome["struck"])
    return f"`{name}`, seed {outcome['seed']}, commit {outcome['commit']}"


def _mistake(outcome: Mapping[str, Any]) -> bool:
    return any(BY_NAME[fault["scenario"]].seen for fault in outcome["struck"])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _days(outcomes: list[Mapping[str, Any]]) -> str:
    days = sorted({one["day"] for one in outcomes})
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "never"


def _commits(outcomes: list[Mapping[str, Any]]) -> str:
    commits = dict.fromkeys(one["commit"] for one in outcomes)
    return f"{'commit' if len(commits) == 1 else 'commits'} {', '.join(commits)}"


def write(page: Path, outcomes: Iterable[Mapping[str, Any]]) -> None:
    """Put the table between the page's markers."""
    write_between(page, table(outcomes), COMMAND)

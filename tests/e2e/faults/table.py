"""The table of docs/reliability.md, from the outcomes of a run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.faults.scenarios import SCENARIOS

BEGIN = "<!-- begin: written by `make faults` -->"
END = "<!-- end: written by `make faults` -->"
_COUNTS = ("missing", "second_ids", "second_bodies", "went_back")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(outcomes: Iterable[Mapping[str, Any]]) -> str:
    """Markdown: faults in the order of the scenarios, then the deliberate mistakes and how often they were seen.

    What a run counted stands in the row of each fault that befell it.
    """
    held = list(outcomes)
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
    return "\n".join(rows) + "\n"


def write(page: Path, outcomes: Iterable[Mapping[str, Any]]) -> None:
    """Put the table between the page's markers."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(outcomes)}\n{END}{after}", encoding="utf-8")

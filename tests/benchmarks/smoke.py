"""A smoke run of a benchmark's command, as a user gives it: everything runs, times are not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def quick(module: str, folder: Path, timeout_s: float) -> list[dict[str, Any]]:
    """The tables that ``python -m MODULE --quick`` writes."""
    file = folder / "figures.json"
    run = subprocess.run(
        [sys.executable, "-m", module, "--quick", "--json", str(file)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("CITYWATCH_")},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert run.returncode == 0, run.stderr
    tables: list[dict[str, Any]] = json.loads(file.read_text())["tables"]
    return tables

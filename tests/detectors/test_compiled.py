"""Compiled loops and their cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams import compiled

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="nothing is compiled here")
INNER = "from streams.compiled import compiled\n@compiled\ndef inner(x):\n    return x + {more}\n"
OUTER = "import inside\nfrom streams.compiled import compiled\n@compiled\ndef outer(x):\n    return inside.inner(x)\n"


def test_a_loop_is_compiled_anew_when_a_loop_it_calls_has_changed(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text(OUTER)
    found = []
    for more in (1, 2):
        (tmp_path / "inside.py").write_text(INNER.format(more=more))
        found.append(_shown(tmp_path))
    assert found == ["11", "12"]
    assert list(tmp_path.rglob("outside.outer*.nbi"))


def _shown(folder: Path) -> str:
    root = Path(compiled.__file__).parents[1]
    paths = os.pathsep.join(map(str, (folder, root)))
    given = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", "import outside; print(outside.outer(10))"]
    return subprocess.run(words, env=given, check=True, capture_output=True, text=True, cwd=folder).stdout.strip()

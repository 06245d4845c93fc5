"""A worker that decides by the rules it was started with from its checkpoint on, whatever decided there before it.

It exists so that the fault lab can see what that leaves behind.
"""

from __future__ import annotations

import sys
from typing import Any

import citywatch
import topologies.worker_build as worker_build
from topologies.worker_versions import Versions


def in_use(versions: Versions, *_name: Any) -> Any:
    return versions._in_use


if __name__ == "__main__":
    worker_build.read_tails = lambda *_: {}  # type: ignore[assignment]
    Versions.of = in_use  # type: ignore[method-assign]
    sys.exit(citywatch.main(sys.argv[1:]))

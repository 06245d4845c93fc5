"""The same job (:mod:`benchmarks.job`) in other stream processors, a file each; they live in .venv-peers, not in .venv.

``PEERS`` says what the rows of the table are called. An engine that does not return is run beside the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import threading
from collections.abc import Callable

from benchmarks.clock import Clock

#: Name of the file → row of the table.
PEERS = {
    "quixstreams": "Quix Streams: streaming dataframe, state in RocksDB: the same job",
    "bytewax": "Bytewax: Kafka source, stateful step by key: the same job",
    "pathway": "Pathway: JSON read and checked by its engine, stateful reducer: the same job",
}

#: (peer, broker) → why the one cannot run on the other.
UNFIT = {
    (
        "quixstreams",
        "embedded",
    ): "it asks the controller for the settings of its topics, and the embedded broker has no controller",
}
_ASK = "import importlib.metadata as m, json, sys; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"


def option(parser: argparse.ArgumentParser) -> None:
    """``--peers``, with the Python that has them."""
    parser.add_argument(
        "--peers", nargs="?", const=".venv-peers/bin/python", metavar="PYTHON",
        help="measure others too, with the Python that has them (%(const)s, made by make bench-peers)",
    )  # fmt: skip


def versions(python: str) -> dict[str, str]:
    """Distribution → version in the environment of that Python. Raises RuntimeError where there is none."""
    try:
        run = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{python} cannot be run: {error}; `make bench-peers` makes the peers' environment") from error
    found: dict[str, str] = json.loads(run.stdout)
    return found


def absent(python: str, broker: str) -> dict[str, str]:
    """Peers that cannot be measured on this broker or with this Python → why."""
    there = versions(python)
    found = {name: why for (name, kind), why in UNFIT.items() if kind == broker}
    return {name: "its package has no wheel for this Python" for name in PEERS if name not in there} | found


async def until_done(clock: Clock, engine: Callable[[], object]) -> None:
    """Run a blocking ``engine`` in a thread until the clock has its records; the process then ends without it."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            engine()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while not clock.done.is_set():
        if not thread.is_alive():
            raise RuntimeError(f"the engine ended with {clock.count} records done") from (failed[0] if failed else None)
        await asyncio.sleep(0.02)

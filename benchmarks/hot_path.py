"""Where the time of a reading goes: py-spy looks five hundred times a second at the agent of the throughput run.

    python -m benchmarks.hot_path [--records 2000000] [--rules four|five] [--write docs/performance.md]

The same process as the row "citywatch" of ``python -m benchmarks``, on Apache Kafka, one core to itself. A sample belongs to
the part of the way that its innermost frame of ours (or of a library's) stands in; compiled loops count where they are called.
Counted is who holds the interpreter: what the kernel does for sockets meanwhile is not in it, nor is waiting. Looking costs
little, but not nothing: shares are to be trusted, not the rate.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import job, machine
from benchmarks.servers import city_broker
from benchmarks.tables import Table, answer, deliver, output_options, tell
from benchmarks.throughput import Feed, contend
from streams.embedded.redis import EmbeddedRedis
from streams.errors import Mend

COMMAND = "python -m benchmarks.hot_path"
RATE = 500
#: Part of the way → how the paths of its files begin; the first that fits holds.
PARTS = {
    "client: sockets, fetches, record batches": (
        "streams/transport", "streams/record_batch", "streams/kafka_records", "streams/batch.py", "aiokafka/",
    ),
    "JSON into columns": ("streams/scan", "streams/packed", "streams/codec", "streams/record_codec", "streams/row_fields"),
    "ids into slots": ("streams/spellings", "streams/series"),
    "gate: checks, units, duplicates, lateness": ("streams/gate", "streams/event_time", "streams/units"),
    "memory fetched for detectors and gate": ("streams/slot_memory",),
    "detectors": (
        "detectors/robust_z", "detectors/silence", "detectors/stuck", "detectors/threshold", "detectors/unusual",
        "detectors/pace", "detectors/tails", "detectors/day_profile", "detectors/episodes", "detectors/counter_steps",
    ),
    "alarms": ("detectors/alarm", "detectors/ladder"),
    "rules: who watches what, timers": (
        "topologies/rule_runner", "topologies/watched", "topologies/stretches", "topologies/rule_context", "detectors/",
    ),
    "checkpoints": ("topologies/checkpoints", "redis/", "msgspec/"),
    "stage: clock, progress, account": ("topologies/", "streams/"),
    "Faust and event loops": ("faust/", "mode/", "asyncio/", "selectors.py", "concurrent/", "threading.py"),
    "the benchmark itself": ("benchmarks/",),
}  # fmt: skip
OTHER, START = "other", "start"
#: Of a compiled loop, called on somebody's behalf.
_CALLS = "streams/compiled.py"
#: Frames below which nothing is a reading's: imports, and the agent's own beginning.
_STARTING = ("<frozen importlib", "citywatch (benchmarks/contender", "citywatch_five (benchmarks/contender")


def part_of(stack: str) -> str:
    """The part a stack of py-spy (``function (file:line);…``, outermost first) belongs to.

    >>> part_of("run (asyncio/runners.py:118);take (streams/transport_thread.py:9);__len__ (numpy/core.py:3)")
    'client: sockets, fetches, record batches'
    """
    if any(one in stack for one in _STARTING):
        return START
    for frame in reversed(stack.split(";")):
        file = frame.rpartition("(")[2]
        if file.startswith(_CALLS):
            continue
        for part, beginnings in PARTS.items():
            if file.startswith(beginnings):
                return part
    return OTHER


def samples(text: str) -> Counter[str]:
    """Samples by part, from what ``py-spy record --format raw`` wrote."""
    found = Counter[str]()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        found[part_of(stack)] += int(count)
    return found


def spy() -> str:
    """The program. Raises Mend where it is not there."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise Mend("is not on the PATH", where="py-spy", mend="`make venv` installs it")
    return found


def profile(records: int, rules: str, core: list[int], others: list[int]) -> tuple[Counter[str], dict[str, Any]]:
    """Samples by part, and what the contender said of itself."""
    program = spy()
    machine.pin(others)
    with (
        tempfile.TemporaryDirectory(prefix="citywatch-bench-") as folder,
        city_broker("profile", quick=False) as broker,
        EmbeddedRedis(Path(folder) / "redis") as redis,
    ):
        topic, raw = f"bench.readings.{time.time_ns()}", Path(folder) / "samples.txt"
        broker.topic(topic, message_timestamp_type="CreateTime", retention_ms="-1")
        Feed(broker.bootstrap, topic, records, job.SENSORS).run()
        tell(f"{records:,} readings written")
        name = {"four": "citywatch", "five": "citywatch_five"}[rules]
        under = [program, "record", "--gil", "--format", "raw", "--rate", str(RATE), "--output", str(raw), "--"]
        told = contend(name, broker, topic, records, core, redis=redis.url, under=under, seconds=600.0)
        return samples(raw.read_text()), told


def table(found: Counter[str], told: dict[str, Any], rules: str) -> Table:
    """Shares of the samples while readings were decided, and what they come to of the processor time of one reading."""
    began = found.pop(START, 0)
    total = sum(found.values())
    each = told["processor"] / told["timed"] * 1e9
    rows = [
        [part, f"{found[part] / total:.1%}", f"{found[part] / total * each:,.0f}"]
        for part in sorted(found, key=lambda part: -found[part])
    ]
    notes = [
        f"{total:,} samples of {told['timed']:,} readings, {each:,.0f} ns of processor time each while they were looked at; "
        f"the {began:,} samples before the first reading are left out.",
    ]
    return Table(
        f"Where the time goes, {rules} detectors", ["part of the way", "share", "ns/reading"], rows, notes, dict(found)
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000, help="readings (%(default)s)")
    parser.add_argument("--rules", choices=("four", "five"), action="append", help="detectors (four, then five)")
    output_options(parser)
    given = parser.parse_args(words)

    def work() -> None:
        available, facts = machine.cores(), machine.facts()
        core, others = machine.split(available)
        wanted = given.rules or ["four", "five"]
        tables = [table(*profile(given.records, rules, core, others), rules) for rules in wanted]
        facts["load after (1, 5, 15 min)"] = machine.load()
        deliver(given, facts, tables, COMMAND)

    return answer("hot_path", work)


if __name__ == "__main__":
    sys.exit(main())

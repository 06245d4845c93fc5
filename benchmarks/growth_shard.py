"""One size of the city, in a process of its own: what a reading costs, what a sensor weighs, what a checkpoint takes.

    python -m benchmarks.growth_shard --sensors 10000 [--partitions 1] [--batch 1000] [--rules four|five] [--warm 110]
        [--rounds 5] [--checkpoint]

Prints one JSON line. Cost is processor time of the detect stages alone; resident bytes are those the process has grown by since
before there was a registry (first) and a stage (then), after everything that is not kept was given back.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.clock import warm
from benchmarks.detect_speed import book
from benchmarks.growth_feed import TOPIC, City, registry
from detectors.rulebook import RuleBook
from streams.embedded.redis import EmbeddedRedis
from streams.registry import Registry
from topologies.checkpoints import Checkpoint, RedisStore, ShardKey, decode, encode
from topologies.checkpoints.format import Encoder
from topologies.detect import DetectStage
from topologies.settings_stages import DetectSettings

#: A sample has at least so many readings: processor time is told in steps.
LEAST = 40_000
WARM_BATCH = 1_000


def resident() -> int:
    """Bytes of memory this process holds, after the allocator gave back what it need not; Linux."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class Stages:
    """The detect stages of all partitions, fed in turn."""

    def __init__(self, city: City, rules: RuleBook, assets: Registry, partitions: int) -> None:
        settings = DetectSettings(partitions=partitions)
        self.stages = [DetectStage(TOPIC, number, rules, assets, settings) for number in range(partitions)]
        self._city, self._next, self.outcomes = city, 0, 0

    def take(self, readings: int, batch: int) -> float:
        """Feed at least so many readings, in turns of a batch for each; microseconds of processor time for each reading."""
        took, turns = 0.0, -(-readings // (batch * len(self.stages)))
        for _ in range(turns):
            for number, stage in enumerate(self.stages):
                raw = self._city.batch(number, self._next, batch)
                began = time.process_time()
                found = stage.process(raw)
                took += time.process_time() - began
                self.outcomes += found.outcomes["processed"]
            self._next += batch
        return took * 1e6 / (turns * batch * len(self.stages))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    rules = book(given.rules)
    # What is loaded and compiled with the first batches belongs to no sensor.
    Stages(City(100, 1), rules, registry(100), 1).take(1_000, 100)
    city = City(given.sensors, given.partitions)
    warm()
    empty = resident()
    assets = registry(given.sensors)
    registered = resident()
    stages = Stages(city, rules, assets, given.partitions)
    # Small batches would take minutes to warm up.
    stages.take(given.warm * given.sensors, max(given.batch, WARM_BATCH))
    costs = [stages.take(max(given.sensors, LEAST), given.batch) for _ in range(given.rounds)]
    full = resident()
    told: dict[str, Any] = {"us": costs, "readings": stages.outcomes}
    told["registry_bytes"], told["stage_bytes"] = (registered - empty) / given.sensors, (full - registered) / given.sensors
    if given.checkpoint:
        told["checkpoint"] = [checkpoint(stages.stages[0], rules, assets) for _ in range(given.rounds)]
        told["state_bytes"] = told["checkpoint"][0]["bytes"] / given.sensors
    return told


def checkpoint(stage: DetectStage, rules: RuleBook, assets: Registry) -> dict[str, float]:
    """Milliseconds of the capture on the event loop, of encoding and writing beside it, and of coming back from it.

    ``pause``: the longest time the rest of the process was kept waiting meanwhile, for encoding holds the interpreter's lock
    at times. It is done in memory that is there, as all but a worker's first are.
    """
    key = ShardKey("detect", TOPIC, 0)

    def captured() -> Checkpoint:
        return Checkpoint(key, "bench", 1, 1, 1, stage.snapshot())

    capture, state = timed(captured)
    encoder = Encoder()
    encoder.encode(state)
    encoding, room, pause = beside(lambda: encoder.encode(state))
    data = bytes(room)
    with tempfile.TemporaryDirectory(prefix="citywatch-bench-") as folder, EmbeddedRedis(Path(folder)) as redis:
        store = RedisStore(redis.url, timeout_s=10.0)
        store.claim(key, 1)
        writing, _ = timed(lambda: store.write_bytes(key, 1, 1, data))
        reading, back = timed(lambda: store.read(key))
    assert back is not None and encode(back) == data, "a checkpoint must come back as it was written"
    decoding, saved = timed(lambda: decode(data).state)
    restoring, again = timed(lambda: DetectStage.restore(TOPIC, 0, rules, assets, stage.settings, saved))
    assert again.clock == stage.clock
    return {
        "capture_ms": capture,
        "encode_ms": encoding,
        "pause_ms": pause,
        "write_ms": writing,
        "whole_ms": capture + encoding + writing,
        "read_ms": reading,
        "restore_ms": reading + restoring,
        "decode_ms": decoding,
        "bytes": float(len(data)),
    }


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = call()
    return (time.perf_counter() - began) * 1000, found


def beside(call: Callable[[], Any]) -> tuple[float, Any, float]:
    """Milliseconds ``call`` takes in a thread, what it returns, and the longest wait of this thread meanwhile."""
    found: list[tuple[float, Any]] = []
    thread = threading.Thread(target=lambda: found.append(timed(call)))
    thread.start()
    last, longest = time.perf_counter(), 0.0
    while thread.is_alive():
        # As an event loop that has something to do every millisecond.
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last - 0.001), now
    thread.join()
    return *found[0], longest * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sensors", type=int, default=10_000)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--rules", choices=["two", "four", "five"], default="four")
    parser.add_argument("--warm", type=int, default=110, help="readings of every sensor before anything is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int)
    parser.add_argument("--checkpoint", action="store_true")
    given = parser.parse_args()
    machine.die_with_parent()
    machine.pin([] if given.core is None else [given.core])
    print(json.dumps(measure(given)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

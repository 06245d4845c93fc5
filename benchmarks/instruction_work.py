"""Work whose instructions are counted: so many readings in memory, in batches of a thousand, through one contender's inside.

    python -m benchmarks.instruction_work hand_loop|two|four|five READINGS [--counted]

Started by :mod:`benchmarks.instructions`, twice with different counts, so that what is the same in both cancels. Counting is
fifty times slower than running, not counting under valgrind ten: with ``--counted`` it is switched on behind the warm-up.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice

from benchmarks.clock import warm
from benchmarks.growth_feed import TOPIC, City, registry
from streams.batch import RawBatch

BATCH, SENSORS = 1_000, 1_000
#: The default detector warms up for a hundred readings of each sensor.
WARM = 110


def hand_loop() -> Callable[[RawBatch], int]:
    """The inside of the loop by hand; says how many readings were processed."""
    import msgspec

    from benchmarks.job import Reading
    from benchmarks.job_columns import Sensors

    decode = msgspec.json.Decoder(list[Reading]).decode
    sensors = Sensors(Counter())

    def take(raw: RawBatch) -> int:
        before = sensors.found["processed"]
        sensors.take(decode(b"[" + b",".join(value for value in raw.values if value is not None) + b"]"), raw.arrivals)
        return sensors.found["processed"] - before

    return take


def stage(rules: str) -> Callable[[RawBatch], int]:
    """The detect stage; says how many readings were processed."""
    from benchmarks.detect_speed import book
    from topologies.detect import DetectStage

    made = DetectStage(TOPIC, 0, book(rules), registry(SENSORS))
    return lambda raw: made.process(raw).outcomes["processed"]


def main() -> int:
    name, readings = sys.argv[1], int(sys.argv[2])
    take = hand_loop() if name == "hand_loop" else stage(name)
    feed = City(SENSORS, 1).batches(WARM * SENSORS + readings, BATCH)
    for raw in islice(feed, WARM * SENSORS // BATCH):
        take(raw)
    work = list(feed)
    warm()
    if "--counted" in sys.argv:
        subprocess.run(["callgrind_control", "-i", "on", str(os.getpid())], check=True, capture_output=True)
    print(sum(take(raw) for raw in work))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a bag's readings cost to be read and decoded and no more: the ceiling of ``replay run``.

    python -m benchmarks.replay_scan pyarrow|duckdb BAG [--core C]

``pyarrow`` scans the segments and decodes each value with msgspec into a typed reading; ``duckdb`` does both in SQL, on one
thread, and adds up the values, without which it would not decode them.
Prints one JSON line: readings, seconds (wall), processor seconds, and the sum of the values in thousandths.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import machine

_SCAN = """
    SELECT count(*), sum(CAST(round(one.value * 1000) AS BIGINT)), count(one.sensor_id), max(one.ts)
    FROM (SELECT from_json(decode(value), '{"sensor_id": "VARCHAR", "ts": "BIGINT", "metric": "VARCHAR", "value": "DOUBLE",
                                            "unit": "VARCHAR"}') AS one FROM read_parquet(?))
"""


def pyarrow(segments: list[str]) -> tuple[int, Callable[[], int]]:
    import msgspec
    import pyarrow.parquet as pq

    from benchmarks.job import Reading

    decode = msgspec.json.Decoder(list[Reading]).decode

    def batches() -> Iterator[list[Reading]]:
        for segment in segments:
            with pq.ParquetFile(segment) as file:
                for batch in file.iter_batches(8_192, columns=["value", "arrival_ts"], use_threads=False):
                    yield decode(b"[" + b",".join(batch.column("value").to_pylist()) + b"]")

    # Adding up is no part of the job: it takes a second pass.
    return sum(map(len, batches())), lambda: sum(round(one.value * 1000) for readings in batches() for one in readings)


def duckdb(segments: list[str]) -> tuple[int, Callable[[], int]]:
    import duckdb

    database = duckdb.connect(config={"threads": 1})
    row = database.execute(_SCAN, [segments]).fetchone()
    assert row is not None
    return int(row[0]), lambda: int(row[1])


#: Each says how many readings it found and how their sum can be had.
SCANS: dict[str, Callable[[list[str]], tuple[int, Callable[[], int]]]] = {"pyarrow": pyarrow, "duckdb": duckdb}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SCANS)
    parser.add_argument("bag", type=Path)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    machine.die_with_parent()
    machine.pin([] if given.core is None else [given.core])
    segments = sorted(map(str, (given.bag / "segments").glob("*.parquet")))
    __import__(given.name)
    began, busy = time.perf_counter(), time.process_time()
    readings, total = SCANS[given.name](segments)
    told = {"readings": readings, "seconds": time.perf_counter() - began, "processor": time.process_time() - busy}
    print(json.dumps(told | {"sum": total()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

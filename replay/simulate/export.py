"""A simulated city as files: one JSONL per topic, the registry, and the truth (docs/replay.md)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import orjson

from replay.simulate.city import City

TRUTH_COLUMNS = ("hazard_id", "category", "lat", "lon", "radius_m", "from_ts", "to_ts", "level", "entities", "note")


def write_truth(city: City, out: Path) -> None:
    """``truth.jsonl`` and ``labels.csv`` (entities joined by spaces)."""
    with (out / "truth.jsonl").open("wb") as lines:
        lines.writelines(orjson.dumps(row) + b"\n" for row in city.truth)
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, TRUTH_COLUMNS)
        writer.writeheader()
        writer.writerows(row | {"entities": " ".join(row["entities"])} for row in city.truth)


def with_arrival(value: bytes, arrival_ts: int) -> bytes:
    """The wire record with ``arrival_ts`` beside its own fields; what is no JSON object is left as it is."""
    if value.startswith(b"{") and value.endswith(b"}") and len(value) > 2:
        return value[:-1] + b',"arrival_ts":%d}' % arrival_ts
    return value


def write_jsonl(city: City, out: Path, progress: Callable[[int, int], None] | None = None) -> Counter[str]:
    """Write the whole city below ``out`` (created, must be empty) and return records per topic.

    ``progress`` is told (records so far, arrival time) every 100,000 records.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "registry.jsonl").open("wb") as lines:
        lines.writelines(orjson.dumps(row) + b"\n" for row in city.registry)
    write_truth(city, out)
    counts: Counter[str] = Counter()
    files: dict[str, IO[bytes]] = {}
    total = 0
    try:
        for wire in city.stream():
            if not wire.value or b"\n" in wire.value:
                continue  # a line cannot hold it; live feeds send it
            if wire.topic not in files:
                files[wire.topic] = (out / f"city.{wire.topic}.jsonl").open("wb", buffering=1 << 20)
            files[wire.topic].write(with_arrival(wire.value, wire.arrival_ts) + b"\n")
            counts[wire.topic] += 1
            total += 1
            if progress is not None and total % 100_000 == 0:
                progress(total, wire.arrival_ts)
    finally:
        for file in files.values():
            file.close()
    return counts

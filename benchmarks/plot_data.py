"""Rows of the real recordings for the plots: records of the import mappings, and tables read as ``citywatch score`` does."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from replay.importer.load import Importer
from replay.importer.mapping import load
from streams.records import HotlineCall, Reading, VehicleFix, VideoEvent
from streams.time_text import TimeText

#: ``(arrival in ms, record)``, in the order of arrival.
Rows = list[tuple[int, Any]]
_TYPES: dict[str, type[Any]] = {
    "sensor.readings": Reading,
    "vehicle.positions": VehicleFix,
    "video.events": VideoEvent,
    "hotline.calls": HotlineCall,
}


@cache
def imported(mapping: str, source: Path, topic: str) -> Rows:
    """All records of a topic that a shipped mapping makes of the files at ``source``."""
    importer = Importer(load(mapping))
    importer.read([source])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows"
        importer.to_jsonl(out)
        decoder = msgspec.json.Decoder(_TYPES[topic])
        rows = []
        for line in (out / f"{topic}.jsonl").read_bytes().splitlines():
            record = decoder.decode(line)
            ts = TimeText().read(str(record.ts)) if isinstance(record.ts, str) else record.ts
            rows.append((int(ts or 0), record))
    return sorted(rows, key=lambda row: row[0])


def of(rows: Iterable[tuple[int, Any]], keep: Callable[[Any], bool], first: int = 0, last: int | None = None) -> Rows:
    """Rows whose record is kept, from number ``first`` to ``last``."""
    return [row for row in rows if keep(row[1])][first:last]


def table(path: Path, time: str, values: dict[str, str], delimiter: str = ",") -> Rows:
    """Readings of a table: ``values`` says the sensor's name for each column."""
    clock = TimeText()
    rows: Rows = []
    whole = path.read_bytes()
    text = (gzip.decompress(whole) if path.suffix == ".gz" else whole).decode()
    for line in csv.DictReader(io.StringIO(text), delimiter=delimiter):
        ts = clock.read(line[time])
        for column, sensor in values.items():
            if ts is not None and line[column]:
                rows.append((ts, Reading(sensor, ts, column, float(line[column]))))
    return rows


def changed(rows: Rows, change: Callable[[int, Any], Any]) -> Rows:
    """The rows with something done to them by hand: ``change(i, record)``; None leaves the record out."""
    made = ((ts, change(i, record)) for i, (ts, record) in enumerate(rows))
    return [(ts, record) for ts, record in made if record is not None]

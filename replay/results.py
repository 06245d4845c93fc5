"""What a run leaves behind: incidents as lines and as a table, signals, and a manifest; the same bytes for the same input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from streams.codec import encode
from streams.errors import Mend
from streams.records import Incident, Point, Signal

_MS = pa.timestamp("ms", tz="UTC")
_TEXT, _FLOAT, _INT = pa.string(), pa.float64(), pa.int32()

SIGNALS = pa.schema(
    [
        ("signal_id", _TEXT), ("city", _TEXT), ("category", _TEXT), ("hazard", _TEXT), ("rule", _TEXT), ("rule_version", _TEXT),
        ("entity", _TEXT), ("stream", _TEXT), ("metric", _TEXT), ("ts", _MS), ("arrival_ts", _MS), ("level", _INT),
        ("phase", _TEXT), ("lat", _FLOAT), ("lon", _FLOAT), ("radius_m", _FLOAT), ("value", _FLOAT), ("expected", _FLOAT),
        ("unit", _TEXT), ("threshold", _FLOAT), ("score", _FLOAT), ("explanation", _TEXT), ("topic", _TEXT),
        ("partition", _INT), ("offset", pa.int64()), ("tick", pa.int64()), ("n", pa.int64()), ("historical", pa.bool_()),
        ("exercise", pa.bool_()),
    ]
)  # fmt: skip

INCIDENTS = pa.schema(
    [
        ("incident_id", _TEXT), ("revision", _INT), ("event", _TEXT), ("status", _TEXT), ("hazard", _TEXT),
        ("category", _TEXT), ("level", _INT), ("title", _TEXT), ("city", _TEXT), ("grid_code", _TEXT), ("lat", _FLOAT),
        ("lon", _FLOAT), ("radius_m", _FLOAT), ("first_event_ts", _MS), ("opened_ts", _MS), ("updated_ts", _MS),
        ("rule", _TEXT), ("reason", _TEXT), ("why", _TEXT), ("priority", _INT), ("signals", _INT), ("sources", _INT),
        ("historical", pa.bool_()), ("exercise", pa.bool_()), ("body", _TEXT),
    ]
)  # fmt: skip

_BATCH = 4096


def _place(point: Point | None) -> tuple[float | None, float | None]:
    return (None, None) if point is None else (point.coordinates[1], point.coordinates[0])


def _signal_row(signal: Signal) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(signal, name, None) for name in SIGNALS.names}
    row["lat"], row["lon"] = _place(signal.location)
    source = signal.source
    row.update(topic=source.topic, partition=source.partition, offset=source.offset, tick=source.tick or None, n=source.n)
    return row


def _incident_row(incident: Incident, body: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(incident, name, None) for name in INCIDENTS.names}
    row["lat"], row["lon"] = _place(incident.location)
    row.update(
        rule=incident.rule.name,
        reason=incident.rule.reason,
        priority=incident.priority.score,
        signals=incident.counts.signals,
        sources=incident.counts.sources,
        body=body.decode(),
    )
    return row


class _Table:
    def __init__(self, path: Path, schema: Any) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()

    def close(self) -> None:
        self.flush()
        self._writer.close()


class Results:
    """Writes as the run goes on; use as a context manager. The manifest is written last, so a directory with one is whole."""

    def __init__(self, out: Path) -> None:
        self.out = out
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "manifest.json").unlink(missing_ok=True)
            self._lines = (out / "incidents.jsonl").open("wb")
        except OSError as error:
            raise Mend(error.strerror or "cannot be written", str(out), "name a directory that can be written to") from error
        self._incidents = _Table(out / "incidents.parquet", INCIDENTS)
        self._signals = _Table(out / "signals.parquet", SIGNALS)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lines.close()
        self._incidents.close()
        self._signals.close()

    def signals(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            self._signals.add(_signal_row(signal))

    def incidents(self, incidents: Sequence[Incident]) -> None:
        for incident in incidents:
            body = encode(incident)
            self._lines.write(body + b"\n")
            self._incidents.add(_incident_row(incident, body))

    def manifest(self, tree: dict[str, Any]) -> None:
        (self.out / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n")

"""Quality gate: what could be read is believed, or quarantined with a named reason, or recognised as a repetition.

One gate per (stream, partition). Its state is bounded: per series a newest time and a short ring, per partition the last ids.
Every row handed to :meth:`Gate.admit` ends as processed, late, duplicate or quarantined; together with the dead letters of
the codec they add up to what came in (law 8). The answer does not depend on where batches are cut (law 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.batch import Batch, Float64, Int32, Int64, Picked, RawBatch
from streams.codec import Decoded
from streams.gate_checks import CODE, REASONS, Codes, check_place, check_quality, check_time, columns_of, detail
from streams.gate_kernel import DUPLICATE, JUMP, LATE, Verdicts
from streams.gate_memory import IdMemory, SeriesMemory, TrackMemory
from streams.gate_units import SensorFacts
from streams.records import Quarantined
from streams.registry import Registry
from streams.row_fields import RowFields
from streams.scan import ColumnFields
from streams.series import SeriesIndex
from streams.spellings import Spellings

DAY_S = 86_400.0

#: Fields that make a series: the entity, and what tells its series apart. A call is an entity of its own.
SERIES_FIELDS: Final[dict[str, tuple[str, str | None]]] = {
    "sensor": ("sensor_id", "metric"),
    "group": ("sensor_id", "metric"),
    "vehicle": ("vehicle_id", None),
    "video": ("camera_id", "kind"),
    "hotline": ("call_id", None),
}


class GateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the gate believes. Times in seconds; defaults are those of a stream by :meth:`of`."""

    #: A ``ts`` this far beyond its arrival is a wrong clock (devices' clocks drift minutes, not hours).
    future_s: float = 300.0
    #: A ``ts`` this far before its arrival is a wrong clock or history (battery loggers upload once a day, domain.md F2).
    too_old_s: float = 7 * DAY_S
    #: Rows of a series that are remembered to recognise a repetition.
    remember_rows: int = 8
    #: Ids of events and calls that are remembered per partition.
    remember_ids: int = 65_536
    #: Speed a fix may imply (a vehicle of the city; domain.md B6 suspects from 120 km/h on, that is a detector's business).
    max_speed_kmh: float = 200.0
    #: Noise of two positions that no speed explains.
    jump_slack_m: float = 100.0
    #: Refused fixes that must agree before a new place is believed.
    jump_confirmations: int = 3

    @classmethod
    def of(cls, stream: str) -> GateSettings:
        """Defaults of a stream: vehicles re-send a day's blind-area fixes, hotlines register calls late."""
        return cls(too_old_s={"vehicle": 2 * DAY_S, "hotline": 30 * DAY_S}.get(stream, 7 * DAY_S))


@dataclass(slots=True)
class Admitted:
    """What the gate made of a batch. ``batch`` holds processed and late rows (``batch.late``)."""

    batch: Batch
    quarantined: list[Quarantined]
    duplicates: int
    #: Fields of the records of ``batch``.
    fields: RowFields
    #: Quarantine reasons.
    reasons: Counter[str] = field(default_factory=Counter)
    #: Slots given out in this batch, new ones and ones used again, in order of appearance: the row each was given out for,
    #: among those that were read. What came of the row decides nothing: a series is as old as the first that could be its.
    fresh: dict[int, int] = field(default_factory=dict)

    @property
    def late(self) -> int:
        return int(np.count_nonzero(self.batch.late))

    @property
    def processed(self) -> int:
        return len(self.batch) - self.late


class Gate:
    """Admits the rows of one (stream, partition) in log order."""

    def __init__(self, stream: str, registry: Registry, settings: GateSettings | None = None) -> None:
        self.stream = stream
        self.settings = settings or GateSettings.of(stream)
        self.series = SeriesIndex()
        self._spellings = Spellings(self.series)
        rows = self.settings.remember_rows
        self._sensors = SensorFacts(registry) if stream in ("sensor", "group") else None
        self._memory = (
            TrackMemory(rows, self.settings.max_speed_kmh, self.settings.jump_slack_m, self.settings.jump_confirmations)
            if stream == "vehicle"
            else SeriesMemory(rows if self._sensors is not None else 1)
        )
        self._ids = IdMemory(self.settings.remember_ids)

    def switch(self, registry: Registry) -> None:
        """Judge by another registry from the next batch on."""
        if self._sensors is not None:
            self._sensors.switch(registry)

    def admit(self, decoded: Decoded, raw: RawBatch) -> Admitted:
        """Judge the rows of a batch; never raises for anything the codec lets through."""
        rows = decoded.rows
        offset, arrival = raw.offset_array, raw.arrival_array
        if len(offset) != len(rows) or decoded.dead:
            offset, arrival = offset[decoded.row_of], arrival[decoded.row_of]
        ts = decoded.ts
        codes: Codes = np.zeros(len(rows), dtype=np.int8)
        fields = decoded.fields
        columns = columns_of(self.stream, fields, codes)
        if self._sensors is not None:
            columns["suspect"] = check_quality(fields, codes)
        check_time(ts, arrival, int(self.settings.future_s * 1000), int(self.settings.too_old_s * 1000), codes)
        check_place(columns["lat"], columns["lon"], codes)

        # Rows that are refused for what they are get no slot: garbage must not make series.
        whole = not np.count_nonzero(codes)
        sound: NDArray[np.intp] = np.arange(len(rows)) if whole else np.flatnonzero(codes == 0)
        if not whole:
            fields = fields.take(sound)
        candidates = fields.rows
        slot, among = self._slots(fields, arrival if whole else arrival[sound])
        fresh = {one: int(sound[row]) for one, row in among.items()}
        self._memory.grow(len(self.series))
        if self._sensors is not None:
            some: Codes = np.zeros(len(sound), dtype=np.int8)
            columns["value"][sound] = self._sensors.apply(fields, slot, ts[sound], columns["value"][sound], some)
            if np.count_nonzero(some):
                codes[sound] = some
                kept = np.flatnonzero(some == 0)
                sound, slot = sound[kept], slot[kept]
                candidates = Picked(candidates, kept)
        if len(sound) == len(rows):
            verdicts = self._remembered(candidates, slot, ts, columns)
        else:
            verdicts = self._remembered(candidates, slot, ts[sound], {name: column[sound] for name, column in columns.items()})
        if not np.count_nonzero(verdicts) and len(sound) == len(rows):
            # Nothing to say against any row: nearly every batch ends here, and nothing of it is copied.
            batch = Batch(self.stream, slot, ts, arrival, offset, decoded.part, verdicts == LATE, rows, columns)
            return Admitted(batch, [], 0, fields, Counter(), fresh)
        codes[sound[verdicts == JUMP]] = CODE["impossible_jump"]
        stays = (verdicts != DUPLICATE) & (verdicts != JUMP)
        duplicates = int(np.count_nonzero(verdicts == DUPLICATE))
        index = sound[stays]
        if len(index) == len(rows):
            records: Sequence[Any] = rows
        else:
            fields = decoded.fields.take(index)
            records = fields.rows
            columns = {name: column[index] for name, column in columns.items()}
        batch = Batch(
            self.stream,
            slot[stays],
            ts[index],
            arrival[index],
            offset[index],
            decoded.part[index],
            verdicts[stays] == LATE,
            records,
            columns,
        )
        quarantined = self._quarantined(decoded, raw, codes, ts, arrival)
        return Admitted(batch, quarantined, duplicates, fields, Counter(letter.reason for letter in quarantined), fresh)

    def _slots(self, fields: RowFields, arrival: Int64) -> tuple[Int32, dict[int, int]]:
        """Slots of the rows, by entity and second, and the new ones with the row of each."""
        entity, second = SERIES_FIELDS[self.stream]
        if isinstance(fields, ColumnFields):
            return self._spellings.slots(fields, second, arrival)
        if second is None:
            return self.series.slots(fields[entity], [None] * len(fields.rows), arrival, {None})
        return self.series.slots(fields[entity], fields[second], arrival, fields.distinct(second))

    def _remembered(self, rows: Sequence[Any], slot: Int32, ts: Int64, columns: dict[str, Float64]) -> Verdicts:
        """Duplicates, late rows and impossible jumps, by what came before."""
        if isinstance(self._memory, TrackMemory):
            return self._memory.judge_fixes(slot, ts, columns["lat"], columns["lon"])
        if self._sensors is not None:
            return self._memory.judge(slot, ts, columns["value"])
        named = [row.event_id for row in rows] if self.stream == "video" else [row.call_id for row in rows]
        verdicts: Verdicts = np.array([DUPLICATE if self._ids.seen(name) else 0 for name in named], dtype=np.int8)
        if self.stream == "video":
            # Two events of one kind at one moment are two detections: only the id makes a duplicate, ts only makes late.
            newest = self._memory.newest
            for row in np.flatnonzero(verdicts == 0).tolist():
                if ts[row] < newest[slot[row]]:
                    verdicts[row] = LATE
                else:
                    newest[slot[row]] = ts[row]
        return verdicts

    def _quarantined(self, decoded: Decoded, raw: RawBatch, codes: Codes, ts: Int64, arrival: Int64) -> list[Quarantined]:
        letters = []
        for i in np.flatnonzero(codes).tolist():
            row, reason = decoded.rows[i], REASONS[codes[i]]
            letters.append(
                Quarantined(
                    topic=raw.topic,
                    partition=raw.partition,
                    offset=raw.offsets[int(decoded.row_of[i])],
                    n=int(decoded.part[i]),
                    reason=reason,
                    entity=getattr(row, SERIES_FIELDS[self.stream][0]),
                    record=row,
                    detail=detail(reason, row, int(ts[i]), int(arrival[i])),
                    arrival_ts=int(arrival[i]),
                )
            )
        return letters

    def forget(self, slots: Sequence[int]) -> None:
        """Let series go, with all that is remembered of them."""
        if len(slots):
            index = np.array(slots, dtype=np.intp)
            self._memory.grow(len(self.series))
            self._memory.forget(index)
            if self._sensors is not None:
                self._sensors.forget(slots)
            self.series.forget(slots)

    def snapshot(self) -> dict[str, Any]:
        """Numbers, text and numpy arrays only."""
        self._memory.grow(len(self.series))
        return {
            "series": self.series.snapshot(),
            "memory": self._memory.snapshot(len(self.series)),
            "ids": self._ids.snapshot(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.series.restore(saved["series"])
        self._memory.restore(saved["memory"])
        self._ids.restore(saved["ids"])

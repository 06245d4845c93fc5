"""What the registry says of a sensor's numbers, kept per slot: the unit where a record names none, and the sentinels.

Facts hold for a time (D14), so a slot's are kept with their validity and asked again for a row outside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from streams.batch import Float64, Int32, Int64
from streams.event_time import NEVER
from streams.gate_checks import CODE, Codes, mark
from streams.records import Reading
from streams.registry import Registry
from streams.row_fields import RowFields
from streams.series import grown
from streams.units import SAME, Conversion, canonical_unit, conversion

_UNFIT: Conversion = (np.nan, 0.0, 1.0)
#: What is kept of a slot: the time for which it holds, [from, to), and the place of its conversion.
_KEPT = np.dtype([("start", np.int64), ("end", np.int64), ("place", np.int64)])
_NOTHING = np.array((NEVER, NEVER, 0), dtype=_KEPT)
#: So many pairs of metric and unit are looked at for a whole batch.
_FEW = 32


class SensorFacts:
    """Conversions and sentinels of readings; a cache of the registry, so no part of a snapshot."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        #: One record a slot; of an empty time where nothing is kept.
        self._kept: NDArray[np.void] = np.zeros(0, dtype=_KEPT)
        #: Conversions of the registry's units; the first is that of nearly all.
        self._scales: list[Conversion] = [SAME]
        self._sentinels: dict[int, tuple[float, ...]] = {}
        #: (metric, unit as sent) → place in the table of conversions.
        self._known: dict[tuple[str, str | None], int] = {}
        self._table: Float64 = np.zeros((0, 3))

    def switch(self, registry: Registry) -> None:
        self.registry = registry
        self._kept[:] = _NOTHING
        self._sentinels.clear()

    def forget(self, slots: Iterable[int]) -> None:
        for slot in slots:
            if slot < len(self._kept):
                self._kept[slot] = _NOTHING
            self._sentinels.pop(slot, None)

    def apply(self, fields: RowFields, slot: Int32, ts: Int64, values: Float64, codes: Codes) -> Float64:
        """Marks sentinels and unknown units; returns the values in canonical units and writes them into the rows."""
        rows: Sequence[Reading] = fields.rows
        place, sentinel = self._by_registry(rows, slot, ts, values)
        for row in sentinel:
            codes[row] = codes[row] or CODE["sentinel"]
        different = fields.distinct("unit")
        if self._as_they_are(fields.distinct("metric"), different - {None}) and (
            None not in different or not np.count_nonzero(place)
        ):
            return values
        scale = np.array(self._scales)[place]
        units = fields["unit"]
        if different - {None}:
            scale = self._by_record(fields, units, scale)
        mark(codes, np.isnan(scale[:, 0]), "unit_unknown")
        changed = (scale[:, 0] != 1.0) | (scale[:, 1] != 0.0) | (scale[:, 2] != 1.0)
        changed &= codes == 0
        if not changed.any():
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            canonical = np.where(changed, (values * scale[:, 0] + scale[:, 1]) / scale[:, 2], values)
        mark(codes, ~np.isfinite(canonical), "not_a_number")
        metrics = fields["metric"]
        for row in np.flatnonzero(changed & (codes == 0)).tolist():
            fields.convert(row, float(canonical[row]), canonical_unit(metrics[row]))
        return canonical

    def _by_registry(self, rows: Sequence[Reading], slot: Int32, ts: Int64, values: Float64) -> tuple[Int64, list[int]]:
        """Per row the place of the conversion of a value without a unit, and the rows that hold a sentinel."""
        size = int(slot.max()) + 1 if len(slot) else 0
        if size > len(self._kept):
            self._kept = grown(self._kept, size, _NOTHING)
        kept = self._kept.take(slot)  # three times as fast as an index: records are copied as they lie
        place: Int64 = kept["place"]
        holds = (kept["start"] <= ts) & (ts < kept["end"])
        unsure = np.flatnonzero(~holds).tolist() if np.count_nonzero(holds) < len(slot) else []
        sentinel: list[int] = []
        if self._sentinels:  # what is kept is looked at before the rows that are unsure replace it
            asked = set(unsure)
            for row, held in enumerate(map(self._sentinels.get, slot.tolist())):
                if held is not None and row not in asked and values[row] in held:
                    sentinel.append(row)
        for row in unsure:
            place[row], sentinels = self._ask(rows[row], int(slot[row]), int(ts[row]))
            if values[row] in sentinels:
                sentinel.append(row)
        return place, sentinel

    def _ask(self, row: Reading, slot: int, ts: int) -> tuple[int, tuple[float, ...]]:
        """The registry's answer for one row, kept for the rows after it."""
        facts = self.registry.at(row.sensor_id, ts)
        scale = SAME
        sentinels: tuple[float, ...] = ()
        start, end = (-(2**62), 2**62) if row.sensor_id not in self.registry else (NEVER, NEVER)
        if facts is not None:
            if facts.metric is None or facts.metric == row.metric:
                scale, sentinels = conversion(row.metric, facts.unit) or _UNFIT, facts.sentinels
            start, end = facts.valid_from, 2**62 if facts.valid_to is None else facts.valid_to
        place = self._place(scale)
        self._kept[slot] = start, end, place
        self._sentinels.pop(slot, None)
        if sentinels:
            self._sentinels[slot] = sentinels
        return place, sentinels

    def _place(self, scale: Conversion) -> int:
        """Of a conversion among those of the registry: there are no more than units. (That of an unfit one is no number.)"""
        for place, known in enumerate(self._scales):
            if known is scale or known == scale:
                return place
        self._scales.append(scale)
        return len(self._scales) - 1

    @staticmethod
    def _as_they_are(metrics: set[str], units: set[str]) -> bool:
        """Whether every unit that was sent is the canonical one of every metric of the batch: then no row need be looked at."""
        return len(metrics) * len(units) <= _FEW and all(
            conversion(metric, unit) == SAME for metric in metrics for unit in units
        )

    def _by_record(self, fields: RowFields, units: list[str | None], by_registry: Float64) -> Float64:
        keys = list(zip(fields["metric"], units, strict=True))
        places = list(map(self._known.get, keys))
        if None in places:
            self._learn(set(keys))
            places = list(map(self._known.get, keys))
        scale = self._table[np.array(places, dtype=np.intp)]
        if None not in units:
            return scale
        unnamed = np.array([unit is None for unit in units], dtype=np.bool_)
        return np.where(unnamed[:, None], by_registry, scale)

    def _learn(self, keys: set[tuple[str, str | None]]) -> None:
        """Bounded: units are free text, so the table starts anew rather than keep whatever was ever sent."""
        if len(self._known) + len(keys) > 10_000:
            self._known.clear()
            self._table = self._table[:0]
        new = [key for key in keys if key not in self._known]
        for key in new:
            self._known[key] = len(self._known)
        scales = [conversion(metric, unit) or _UNFIT for metric, unit in new]
        self._table = np.concatenate([self._table, np.array(scales, dtype=np.float64).reshape(-1, 3)])

"""What the registry says of a sensor's numbers, kept per slot: the unit where a record names none, and the sentinels.

Facts hold for a time (D14), so a slot's are kept with their validity and asked again for a row outside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from streams.batch import Float64, Int32, Int64
from streams.event_time import NEVER
from streams.gate_checks import CODE, Codes, mark
from streams.records import Reading
from streams.registry import Registry
from streams.row_fields import RowFields
from streams.series import grown
from streams.units import SAME, Conversion, canonical_unit, conversion

_UNFIT: Conversion = (np.nan, 0.0, 1.0)
#: So many pairs of metric and unit are looked at for a whole batch.
_FEW = 32


class SensorFacts:
    """Conversions and sentinels of readings; a cache of the registry, so no part of a snapshot."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        #: Validity of what is kept, [from, to) per slot; empty where nothing is.
        self._span: Int64 = np.zeros((0, 2), dtype=np.int64)
        self._scale: Float64 = np.zeros((0, 3))
        self._sentinels: dict[int, tuple[float, ...]] = {}
        #: (metric, unit as sent) → place in the table of conversions.
        self._known: dict[tuple[str, str | None], int] = {}
        self._table: Float64 = np.zeros((0, 3))

    def switch(self, registry: Registry) -> None:
        self.registry = registry
        self._span[:] = NEVER
        self._sentinels.clear()

    def forget(self, slots: Iterable[int]) -> None:
        for slot in slots:
            if slot < len(self._span):
                self._span[slot] = NEVER
            self._sentinels.pop(slot, None)

    def apply(self, fields: RowFields, slot: Int32, ts: Int64, values: Float64, codes: Codes) -> Float64:
        """Marks sentinels and unknown units; returns the values in canonical units and writes them into the rows."""
        rows: Sequence[Reading] = fields.rows
        scale, sentinel = self._by_registry(rows, slot, ts, values)
        for row in sentinel:
            codes[row] = codes[row] or CODE["sentinel"]
        different = fields.distinct("unit")
        if self._as_they_are(fields.distinct("metric"), different - {None}) and (
            None not in different or (scale == SAME).all()
        ):
            return values
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

    def _by_registry(self, rows: Sequence[Reading], slot: Int32, ts: Int64, values: Float64) -> tuple[Float64, list[int]]:
        """Per row the conversion of a value without a unit, and the rows that hold a sentinel."""
        size = int(slot.max()) + 1 if len(slot) else 0
        if size > len(self._span):
            self._span = grown(self._span, size, NEVER)
            self._scale = grown(self._scale, size, 1.0)
        span = self._span[slot]
        unsure = ((ts < span[:, 0]) | (ts >= span[:, 1])).nonzero()[0].tolist()
        sentinel: list[int] = []
        scale = self._scale[slot]
        if self._sentinels:  # what is kept is looked at before the rows that are unsure replace it
            asked = set(unsure)
            for row, held in enumerate(map(self._sentinels.get, slot.tolist())):
                if held is not None and row not in asked and values[row] in held:
                    sentinel.append(row)
        for row in unsure:
            scale[row], sentinels = self._ask(rows[row], int(slot[row]), int(ts[row]))
            if values[row] in sentinels:
                sentinel.append(row)
        return scale, sentinel

    def _ask(self, row: Reading, slot: int, ts: int) -> tuple[Conversion, tuple[float, ...]]:
        """The registry's answer for one row, kept for the rows after it."""
        facts = self.registry.at(row.sensor_id, ts)
        scale = SAME
        sentinels: tuple[float, ...] = ()
        span = (-(2**62), 2**62) if row.sensor_id not in self.registry else (NEVER, NEVER)
        if facts is not None:
            if facts.metric is None or facts.metric == row.metric:
                scale, sentinels = conversion(row.metric, facts.unit) or _UNFIT, facts.sentinels
            span = (facts.valid_from, 2**62 if facts.valid_to is None else facts.valid_to)
        self._span[slot] = span
        self._scale[slot] = scale
        self._sentinels.pop(slot, None)
        if sentinels:
            self._sentinels[slot] = sentinels
        return scale, sentinels

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

"""What an alarm's transition says: the signal, with whose it is, where, how much, and why.

An alarm is known by the call or event that began it, or else by the time it was raised; and it is where the row was, where the
asset stands, or where the vehicle was last. Both are kept here as long as the series has a slot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from detectors.alarm import Transition
from detectors.base import Measures
from detectors.rule import Rule
from detectors.series import Series
from streams.batch import Batch
from streams.records import Point, Signal, Source
from topologies.explanations import explain
from topologies.last_places import LastPlaces
from topologies.rule_context import Context

#: Streams whose records name themselves and whoever saw it.
_OF_PEOPLE = frozenset({"video", "hotline"})


class RuleVoice:
    """Of one rule in one shard; slots are the rule's own."""

    def __init__(self, rule: Rule, version: str, stream: str, context: Context) -> None:
        self._stream, self._context = stream, context
        self.places = LastPlaces()
        self._own: dict[int, str] = {}
        self.of_rule(rule, version)

    def of_rule(self, rule: Rule, version: str) -> None:
        """From now on by the words of this rule."""
        self._rule = rule
        # "rule:entity:ts" must be one alarm; an entity with several watched metrics has an alarm for each.
        self._one_metric = rule.match.stream != "sensor" or len(rule.match.metrics) == 1
        #: What all signals of the rule have alike, to be copied: naming two dozen fields for each takes six times as long.
        self._form = Signal(
            signal_id="",
            city="",
            category=rule.category,
            hazard=rule.hazard,
            rule=rule.name,
            rule_version=version,
            entity="",
            stream="",
            ts=0,
            arrival_ts=0,
            level=0,
            phase="raised",
            source=Source("", 0, 0),  # given with its place in the log, when all are told
            radius_m=rule.radius_m,
            momentary=rule.momentary,
        )

    def signal(
        self,
        change: Transition,
        series: Series,
        arrival: int,
        measures: Measures | None = None,
        part: Batch | None = None,
        text: str | None = None,
    ) -> Signal:
        """``change.row`` is the row of ``measures`` and, where a row of the stream made it, of ``part``; ``text`` says why in
        place of the detector."""
        row = change.row
        record = part.records[row] if part is not None and part.stream in _OF_PEOPLE else None
        value, expected, score = (None, None, None) if measures is None else measures.numbers(row)
        lat, lon = self._where(part, row, change.slot, series)
        signal = copy(self._form)
        signal.signal_id = self._signal_id(change, series, record)
        signal.city = series.city or self._context.default_city
        signal.stream, signal.entity = self._stream, series.entity
        signal.metric, signal.unit = series.metric, series.unit
        signal.grid_code, signal.gateway = series.grid_code, series.gateway
        signal.ts, signal.arrival_ts, signal.level, signal.phase = change.ts, arrival, change.level, change.phase
        signal.location = Point((lon, lat)) if lat is not None and lon is not None else None
        signal.value, signal.expected, signal.score = value, expected, score
        if expected is not None and part is not None and "value" in part.columns:
            # Beside an expectation the reading itself is the value; else the measure, which is what the threshold judges.
            reading = float(part.columns["value"][row])
            signal.value = reading if reading == reading else value
        signal.threshold = None if change.threshold != change.threshold else change.threshold
        signal.witness = getattr(record, "caller", None) or getattr(record, "track_id", None)
        signal.registry_revision = self._context.registry_revision
        if part is not None:
            signal.historical = bool(part.late[row]) or arrival - int(part.ts[row]) > self._context.live_limit_ms
        if text is None and measures is not None and measures.explain is not None:
            text = measures.explain(row)
        signal.explanation = explain(self._rule, change, series, value, text)
        if change.phase == "raised" and measures is not None and measures.outage is not None:
            signal.outage = measures.outage(row)  # type: ignore[assignment]
        return signal

    def _signal_id(self, change: Transition, series: Series, record: Any) -> str:
        """The rule, whose alarm it is, and since when: of a call or an event, which one began it."""
        own_id = getattr(record, "call_id", None) or getattr(record, "event_id", None)
        if change.phase == "raised" and own_id is not None:
            self._own[change.slot] = own_id
        named = self._own.get(change.slot) or str(change.raised_ts)
        if change.phase == "cleared" or self._rule.momentary:
            self._own.pop(change.slot, None)
        who = series.entity if self._one_metric or series.metric is None else f"{series.entity}/{series.metric}"
        return f"{self._rule.name}:{who}:{named}"

    def _where(self, part: Batch | None, row: int, own: int, series: Series) -> tuple[float | None, float | None]:
        """Position of the row where it has one, else of the series, else where it was last."""
        if part is not None and "lat" in part.columns and "lon" in part.columns:
            lat, lon = part.columns["lat"].item(row), part.columns["lon"].item(row)
            if lat == lat and lon == lon:
                return lat, lon
        last = self.places.of(own)
        if last is not None and (self._stream == "vehicle" or series.lat is None or series.lon is None):
            return last
        return series.lat, series.lon

    def forget(self, slots: Sequence[int]) -> None:
        for own in slots:
            self._own.pop(own, None)
        self.places.forget(slots)

    def snapshot(self) -> dict[str, Any]:
        slots = sorted(self._own)
        return {
            "own_slot": np.array(slots, dtype=np.int32),
            "own_id": [self._own[slot] for slot in slots],
            **self.places.snapshot(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._own = dict(zip((int(s) for s in saved["own_slot"]), saved["own_id"], strict=True))
        self.places.restore(saved)

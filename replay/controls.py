"""Mutes and feedback of a recording as control records, as the worker forwards them into ``city.signals`` (D6)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from streams.batch import RawBatch
from streams.codec import decode_record
from streams.records import Control, Feedback, Mute, Source
from streams.unreadable import Cause


class Controls:
    """``cities()`` are the division codes a mute without a city goes to. What cannot be read is counted in ``unreadable``."""

    def __init__(self, mutes_topic: str, cities: Callable[[], Collection[str]]) -> None:
        self._mutes_topic, self._cities = mutes_topic, cities
        self._mutes: dict[str, tuple[Mute, list[str]]] = {}
        self.unreadable = 0

    def of(self, batch: RawBatch) -> list[Control]:
        """The control records of a batch of mutes or feedback, in its order."""
        made: list[Control] = []
        one = self._mute if batch.topic == self._mutes_topic else self._feedback
        for row in range(len(batch)):
            made += one(batch, row)
        return made

    def _mute(self, batch: RawBatch, row: int) -> list[Control]:
        value = batch.values[row]
        if value is None:
            held = self._mutes.pop((batch.keys[row] or b"").decode("utf-8", "replace"), None)
            return [] if held is None else self._to(batch, row, held[1], mute=held[0], mute_ended=True)
        mute = decode_record(Mute, value)
        if isinstance(mute, Cause):
            self.unreadable += 1
            return []
        cities = [mute.matchers.city] if mute.matchers.city else sorted(self._cities())
        before = self._mutes.get(mute.mute_id)
        left = [city for city in before[1] if city not in cities] if before else []
        self._mutes[mute.mute_id] = (mute, cities)
        ended = self._to(batch, row, left, mute=before[0], mute_ended=True) if before and left else []
        return ended + self._to(batch, row, cities, mute=mute)

    def _feedback(self, batch: RawBatch, row: int) -> list[Control]:
        value = batch.values[row]
        feedback = Cause("tombstone") if value is None else decode_record(Feedback, value)
        if isinstance(feedback, Cause):
            self.unreadable += 1
            return []
        city = feedback.incident_id.partition("-")[0]
        return self._to(batch, row, [city] if city else [], feedback=feedback)

    @staticmethod
    def _to(batch: RawBatch, row: int, cities: Collection[str], **what: Any) -> list[Control]:
        source = Source(batch.topic, batch.partition, batch.offsets[row])
        kind: Any = "feedback" if "feedback" in what else "mute"
        return [Control(control=kind, city=city, arrival_ts=batch.arrivals[row], source=source, **what) for city in cities]

"""The controls' shard: mutes and feedback become control records in ``city.signals``, the incident stage's own order (D6).

A mute goes to every city it could match; its tombstone withdraws it there, so the last value of every mute is kept. The
sequence source of such a control is the place of the mute or feedback itself, so a repetition is dropped (D5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from streams.batch import RawBatch
from streams.codec import decode_record, encode
from streams.records import Control, Feedback, Mute, Source
from streams.topics import topic_name
from streams.unreadable import Cause, dead_letter
from topologies.worker_detect import Send
from topologies.worker_shard import Shard, ShardPlace

#: A division code is six digits; ids are ``<city>-<date>-…``.
_SEPARATOR = "-"


class ControlShard(Shard):
    """``cities()`` are the division codes a mute without a city goes to."""

    def __init__(
        self, place: ShardPlace, saved: dict[str, Any], *, cities: Callable[[], Collection[str]], send: Send, prefix: str
    ) -> None:
        super().__init__(place)
        self._cities, self._send = cities, send
        self._signals, self._dead = topic_name("signals", prefix), topic_name("dead_letters", prefix)
        self._is_mutes = place.key.topic == topic_name("mutes", prefix)
        #: mute id -> [Mute as plain values, cities it was sent to]
        self._mutes: dict[str, list[Any]] = dict(saved.get("mutes", {}))

    def decide(self, batch: RawBatch, received: int) -> None:
        one = self._mute if self._is_mutes else self._feedback
        for row, value in enumerate(batch.values):
            cause = one(batch, row, value)
            if cause is not None:
                self._send(self._dead, encode(dead_letter(batch, row, cause)), batch.topic)

    def _mute(self, batch: RawBatch, row: int, value: bytes | None) -> Cause | None:
        key = (batch.keys[row] or b"").decode("utf-8", "replace")
        if value is None:
            held = self._mutes.pop(key, None)
            if held is not None:
                self._to_cities(batch, row, held[1], mute=msgspec.convert(held[0], Mute), mute_ended=True)
            return None
        mute = decode_record(Mute, value)
        if isinstance(mute, Cause):
            return mute
        cities = [mute.matchers.city] if mute.matchers.city else sorted(self._cities())
        before = self._mutes.get(mute.mute_id)
        # A mute that was narrowed must end where it does not hold any more.
        left = [city for city in before[1] if city not in cities] if before else []
        if before and left:
            self._to_cities(batch, row, left, mute=msgspec.convert(before[0], Mute), mute_ended=True)
        self._mutes[mute.mute_id] = [msgspec.to_builtins(mute), cities]
        self._to_cities(batch, row, cities, mute=mute)
        return None

    def _feedback(self, batch: RawBatch, row: int, value: bytes | None) -> Cause | None:
        if value is None:
            return Cause("tombstone")
        feedback = decode_record(Feedback, value)
        if isinstance(feedback, Cause):
            return feedback
        city, separator, _ = feedback.incident_id.partition(_SEPARATOR)
        if not separator or not city:
            return Cause("bad_identifier", "$.incident_id", "an incident id begins with the city's division code and a dash")
        self._to_cities(batch, row, [city], feedback=feedback)
        return None

    def _to_cities(self, batch: RawBatch, row: int, cities: Collection[str], **what: Any) -> None:
        # One record may become several controls; each city's stage keeps its own high-water mark, so n may be 0 in all.
        source = Source(batch.topic, batch.partition, batch.offsets[row])
        for city in cities:
            control = Control(
                control="feedback" if "feedback" in what else "mute",
                city=city,
                arrival_ts=batch.arrivals[row],
                source=source,
                **what,
            )
            self._send(self._signals, encode(control), city)

    def state(self) -> dict[str, Any]:
        return {"mutes": self._mutes}

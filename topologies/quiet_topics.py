"""What the partitions of the input topics say of themselves: how much of each is silent, and which have heard nothing at all.

A topic is silent when every partition of it is: one whose few devices speak once an hour must not hide that, so a partition
counts by when it was last heard, and the threshold is that of the partition that fell quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from streams.records import Control, Signal
from topologies.silences import partition_name

#: Ticks kept per partition: a decision needs what held at its due time, not the last one seen.
_TICKS_KEPT = 64
#: Nobody waits longer for a stream to speak; what is no number of seconds below it is no wait at all.
_LONGEST_S = 1e9


class QuietTopics:
    """Per partition the last ticks as (arrival, silent share, last heard); per topic the partitions that are quiet."""

    def __init__(self) -> None:
        self._ticks: dict[str, list[tuple[int, float, int]]] = {}
        self._quiet: dict[str, dict[str, Signal]] = {}
        self._peak: dict[str, int] = {}
        #: By topic, in their order: signals that came before all partitions had passed what is to be decided in front of them.
        self._put_off: dict[str, list[Signal]] = {}

    def tick(self, control: Control) -> None:
        if control.silent_fraction is None:
            return
        ticks = self._ticks.setdefault(partition_name(control), [])
        ticks.append((control.arrival_ts, control.silent_fraction, control.heard_ts or 0))
        del ticks[:-_TICKS_KEPT]

    def _of(self, topic: str) -> Iterator[tuple[str, list[tuple[int, float, int]]]]:
        """The partitions of a topic that have said something, with their ticks."""
        return (item for item in self._ticks.items() if item[0].rsplit("/", 1)[0] == topic)

    def share(self, partition: str, at: int) -> float:
        """Silent share of a partition as of ``at``."""
        return next((share for arrival, share, _ in reversed(self._ticks.get(partition, [])) if arrival <= at), 0.0)

    # --- partitions that hear nothing -----------------------------------------------------------------------------------

    def falls_quiet(self, signal: Signal) -> None:
        quiet = self._quiet.setdefault(signal.source.topic, {})
        quiet[str(signal.source.partition)] = signal
        topic = signal.source.topic
        self._peak[topic] = max(self._peak.get(topic, 0), len(quiet))

    def back(self, signal: Signal) -> None:
        topic = signal.source.topic
        quiet = self._quiet.get(topic, {})
        quiet.pop(str(signal.source.partition), None)
        if not quiet:
            self._quiet.pop(topic, None)

    def quiet(self, topic: str) -> Signal | None:
        """The first of the signals by which partitions of the topic said that they are quiet; None: none is."""
        return min(self._quiet.get(topic, {}).values(), key=lambda one: (one.ts, one.source.partition), default=None)

    def count(self, topic: str) -> tuple[int, int]:
        """(quiet partitions, most at one time since the topic's last outage)."""
        return len(self._quiet.get(topic, ())), self._peak.get(topic, 0)

    def over(self, topic: str) -> None:
        self._peak.pop(topic, None)

    def silent_at(self, topic: str, at: int) -> int | None:
        """When all partitions of the topic will have been quiet for as long as the one that said so had to be."""
        first = self.quiet(topic)
        if first is None:
            return None
        told = first.expected or first.value or 0.0
        wait = round(told * 1000) if 0.0 <= told <= _LONGEST_S else 0
        times = [
            heard + wait
            for _, ticks in self._of(topic)
            if (heard := next((heard for arrival, _, heard in reversed(ticks) if arrival <= at), 0))
        ]
        return max(times, default=at)

    # --- signals that must wait ------------------------------------------------------------------------------------------

    def put_off(self, signal: Signal, due: int) -> bool:
        """Keep the signal where another partition of its topic has not passed ``due``, or where one is kept already."""
        topic, own = signal.source.topic, partition_name(signal)
        behind = any(ticks[-1][0] < due for partition, ticks in self._of(topic) if partition != own)
        if behind or topic in self._put_off:
            self._put_off.setdefault(topic, []).append(signal)
            return True
        return False

    def resumed(self, topic: str) -> list[Signal]:
        return self._put_off.pop(topic, [])

    # --- state ------------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "ticks": [(name, list(ticks)) for name, ticks in self._ticks.items()],
            "quiet": [
                (topic, [(name, msgspec.to_builtins(one)) for name, one in quiet.items()])
                for topic, quiet in self._quiet.items()
            ],
            "peak": list(self._peak.items()),
            "put_off": [(topic, [msgspec.to_builtins(one) for one in kept]) for topic, kept in self._put_off.items()],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self._ticks = {name: [(at, share, heard) for at, share, heard in ticks] for name, ticks in saved["ticks"]}
        self._quiet = {topic: {name: msgspec.convert(one, Signal) for name, one in quiet} for topic, quiet in saved["quiet"]}
        self._peak = dict(saved["peak"])
        self._put_off = {topic: [msgspec.convert(one, Signal) for one in kept] for topic, kept in saved.get("put_off", ())}

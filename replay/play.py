"""``replay play``: a bag (or a directory of JSON lines) into a broker, for a worker in playback mode.

Records leave in the recording's total order, with their original arrival in the header ``cw_arrival_ts``, partitioned by key
with murmur2; the registry goes first. ``speed`` is a multiple of the recording's own pace, or None for as fast as the worker
reads: then the consumer group's lag is held below ``most_lag``, which the embedded broker needs (it keeps little, D10).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from replay.group import GroupProgress
from replay.merge import Merge
from replay.opening import open_recording
from replay.truth import read_truth
from streams.batch import RawBatch
from streams.errors import Mend
from streams.kafka import Producer
from streams.topics import stream_of, topic_name, topic_prefix
from streams.transport_raw import ARRIVAL_HEADER

#: Records between two looks at the lag.
STRIDE = 2_000
MOST_LAG = 20_000
#: A worker that reads nothing for so long will not read any more.
STALLED_S = 60.0
#: Topics that are input; what a worker decided is decided anew.
PLAYED = ("mutes", "feedback")


class Player:
    """Plays one recording into one broker. ``group``: consumer group whose lag paces the play (None: not paced)."""

    def __init__(
        self,
        recording: Path,
        broker: str,
        producer: Producer,
        *,
        group: str | None = "citywatch",
        speed: float | None = None,
        most_lag: int = MOST_LAG,
        prefix: str | None = None,
        partitions: int = 1,
    ) -> None:
        self._recording = open_recording(recording, partitions=partitions)
        self._broker, self._producer, self._group, self._most_lag = broker, producer, group, most_lag
        self._speed = speed
        self._prefix = topic_prefix() if prefix is None else prefix
        self._from = self._recording.manifest.prefix
        self._lag: GroupProgress | None = None
        self._sent_to: set[str] = set()
        self.sent = 0

    def send_registry(self) -> int:
        """Hand over the registry snapshot and wait for the acknowledgement; the number of assets."""
        topic = topic_name("registry", self._prefix)
        assets = self._recording.registry()
        for asset in assets:
            self._producer.send(topic, msgspec.json.encode(asset), key=asset.asset_id)
        self._producer.flush_acknowledged()
        return len(assets)

    def truth(self) -> list[dict[str, Any]]:
        """Hazards of a ``truth.jsonl`` (or labels.csv) beside the records, as plain rows; empty where there is none."""
        for name in ("truth.jsonl", "truth.jsonl.gz", "labels.csv"):
            file = self._recording.path / name
            if file.is_file():
                return [msgspec.to_builtins(hazard) for hazard in read_truth(file)]
        return []

    def run(
        self,
        seconds: float | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Play until the end, ``seconds`` of wall time or ``stop``; the number of records sent and acknowledged."""
        began = time.monotonic()
        stop = stop or threading.Event()
        first = None
        for arrival, topic, batch, row in self._rows():
            if first is None:
                first = arrival
            if stop.is_set() or (seconds is not None and time.monotonic() - began >= seconds):
                break
            if self._speed is not None:
                due = began + (arrival - first) / 1000 / self._speed
                while (ahead := due - time.monotonic()) > 0 and not stop.is_set():
                    if seconds is not None and due - began > seconds:
                        stop.wait(max(0.0, began + seconds - time.monotonic()))
                        break
                    stop.wait(min(ahead, 0.5))
            self._send(arrival, topic, batch, row)
            if self.sent % STRIDE == 0:
                if progress is not None:
                    progress(self.sent, arrival)
                if self._speed is None:
                    self._wait_for_the_worker(stop)
        self._producer.flush_acknowledged()
        if self._lag is not None:
            self._lag.close()
            self._lag = None
        return self.sent

    def _send(self, arrival: int, topic: str, batch: RawBatch, row: int) -> None:
        own = batch.headers[row] if batch.headers is not None else ()
        headers = [(name, value) for name, value in own if name != ARRIVAL_HEADER]
        headers.append((ARRIVAL_HEADER, b"%d" % arrival))
        self._producer.send(topic, batch.values[row], key=batch.keys[row], headers=headers, timestamp_ms=arrival)
        self._sent_to.add(topic)
        self.sent += 1

    def _rows(self) -> Iterator[tuple[int, str, RawBatch, int]]:
        """Rows in the total order (arrival, topic, partition, offset), with the topic's name in this broker."""
        homes = [home for home in self._recording.partitions() if self._is_input(home[0])]
        merge = Merge(self._recording, homes)
        last = False
        while not last:
            window = merge.window(0)
            last = window.last
            rows = [
                (max(arrival, 0), home, offset, batch, row)
                for home, batches in window.rows.items()
                for batch in batches
                for row, (arrival, offset) in enumerate(zip(batch.arrivals, batch.offsets, strict=True))
            ]
            # The order of one partition stands above arrivals that go back in it.
            clock: dict[tuple[str, int], int] = {}
            keyed = []
            for arrival, home, offset, batch, row in rows:
                clock[home] = max(clock.get(home, 0), arrival)
                keyed.append((clock[home], home, offset, batch, row, arrival))
            keyed.sort(key=lambda one: one[:3])
            for _, home, _, batch, row, arrival in keyed:
                yield arrival, self._prefix + home[0].removeprefix(self._from), batch, row

    def _is_input(self, topic: str) -> bool:
        stream = stream_of(topic, self._from)
        return stream not in (None, "group") or topic.removeprefix(self._from) in PLAYED

    def _wait_for_the_worker(self, stop: threading.Event) -> None:
        self._producer.flush_acknowledged()
        if self._group is None:
            return
        if self._lag is None:
            self._lag = GroupProgress(self._broker, self._group)
        moved, before = time.monotonic(), -1
        while not stop.is_set():
            behind = self._lag.behind(self._sent_to)
            if behind <= self._most_lag:
                return
            if behind != before:
                moved, before = time.monotonic(), behind
            elif time.monotonic() - moved > STALLED_S:
                raise Mend(
                    f"group {self._group!r} has read nothing for {STALLED_S:g} s and is {behind:,} records behind",
                    self._broker,
                    "start a worker with CITYWATCH_PLAYBACK=true, or play with --speed or --no-pacing",
                )
            stop.wait(0.05)

"""Quix Streams: one streaming dataframe, the sensor's state in RocksDB under the record's key, as its tutorials do it.

No changelog topics (they would have it write what nobody else writes here); offsets and state are committed every five
seconds, its default.
"""

from __future__ import annotations

import tempfile
import uuid
from typing import Any

from benchmarks import job
from benchmarks.clock import Clock, warm


async def run(clock: Clock, bootstrap: str, topic: str) -> None:
    from quixstreams import Application, State

    folder = tempfile.TemporaryDirectory(prefix="citywatch-bench-")

    def decode(value: bytes, key: Any, arrival: int, headers: Any) -> tuple[job.Reading, int]:
        clock.arrived()
        return job.decode(value), arrival

    def believed(one: tuple[job.Reading, int]) -> bool:
        good = job.fits(*one)
        if not good:
            clock.found["refused"] += 1
        return good

    def judge(one: tuple[job.Reading, int], state: State) -> list[tuple[str, str, int]]:
        reading, arrival = one
        mine = state.get("sensor") or job.fresh()
        raised = job.step(mine, reading.ts, reading.value, arrival)
        if raised is None:
            return []
        state.set("sensor", mine)
        clock.found["processed"] += 1
        return [(rule, reading.sensor_id, at) for rule, at in raised]

    def processed(topic: str, partition: int, offset: int) -> None:
        clock.worked(1)
        if clock.done.is_set():
            app.stop()

    app = Application(
        broker_address=bootstrap,
        consumer_group=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        state_dir=folder.name,
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="ERROR",
        # As for the other readers of librdkafka, which else stops fetching for a second whenever enough waits.
        consumer_extra_config={"fetch.queue.backoff.ms": 5, "log_level": 0},
        # It polls one record at a time, and ends when none has come for so long.
        consumer_poll_timeout=0.2,
        on_message_processed=processed,
    )
    readings = app.dataframe(app.topic(topic, value_deserializer="bytes", key_deserializer="bytes"))
    readings = readings.apply(decode, metadata=True).filter(believed)
    readings.apply(judge, stateful=True, expand=True).update(lambda alert: job.tell(clock.found, *alert))
    warm()
    app.run()
    folder.cleanup()

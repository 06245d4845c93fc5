"""Pathway: its engine reads, decodes and checks (an expression per column, in Rust); a stateful reducer judges each sensor.

It works commit by commit: all that came in a twentieth of a second, a sensor's readings in no order, so the reducer sorts them
by their time. A user function sees nothing before the first commit, so the clock starts at the end of that one and what was
read until then is not counted; the backlog is bounded, so that it is little.
"""

from __future__ import annotations

import uuid
from typing import Any

from benchmarks import job
from benchmarks.clock import Clock, warm
from benchmarks.peers import until_done

COMMIT_MS = 50
#: Rows under way in the engine; its documentation proposes a few thousand to a few tens of thousands.
BACKLOG = 10_000
#: Readings seen and alarms raised so far, the sensor's state, its alarms (rule, ts): a value of the engine's own kinds.
State = tuple[int, int, tuple[Any, ...], tuple[Any, ...]]


async def run(clock: Clock, bootstrap: str, topic: str) -> None:
    import pathway as pw

    class Reading(pw.Schema):
        sensor_id: str
        ts: int
        metric: str
        value: float
        unit: str = pw.column_definition(default_value=job.UNIT)
        quality: str = pw.column_definition(default_value="good")

    @pw.reducers.stateful_many
    def judge(state: State | None, rows: list[tuple[list[Any], int]]) -> State:
        seen, _, mine, raised = state or (0, 0, tuple(job.fresh()), ())
        sensor = list(mine)
        for ts, value, arrival in sorted(row for row, _ in rows):
            found = job.step(sensor, ts, value, arrival)
            clock.found["processed"] += found is not None
            raised += tuple(found or ())
        return seen + len(rows), len(raised), tuple(sensor), raised

    told, totals = 0, {"seen": 0, "raised": 0}

    def alert(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        nonlocal told
        assert is_addition, "an alarm once raised is never taken back"
        rule, ts = row["raised"]
        job.tell(clock.found, rule, row["sensor_id"], ts)
        told += 1
        advance()

    def total(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        if is_addition:
            totals.update(row)
            advance()

    def advance() -> None:
        """A commit is done when its readings are judged and all their alarms told."""
        if totals["raised"] != told:
            return
        if not clock.began:
            clock.arrived()
            clock.uncounted = totals["seen"]
        clock.worked(totals["seen"] - clock.count)

    group = f"bench-{uuid.uuid4()}"  # another one each time: what it has read it commits
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "log_level": "0"}
    settings["fetch.queue.backoff.ms"] = "5"
    readings = pw.io.kafka.read(
        settings,
        topic,
        schema=Reading,
        format="json",
        with_metadata=True,
        autocommit_duration_ms=COMMIT_MS,
        max_backlog_size=BACKLOG,
    )
    readings = readings.with_columns(arrival=readings._metadata["timestamp_millis"].as_int(unwrap=True))
    late = readings.arrival - readings.ts
    readings = readings.filter(
        (readings.metric == job.METRIC)
        & (readings.unit == job.UNIT)
        & (readings.quality == "good")
        & (readings.value - readings.value == 0.0)  # finite
        & (late >= -job.AHEAD_MS)
        & (late <= job.BEHIND_MS)
    )
    judged = readings.groupby(readings.sensor_id).reduce(
        readings.sensor_id, state=judge(readings.ts, readings.value, readings.arrival)
    )
    alerts = judged.select(judged.sensor_id, raised=judged.state[3]).flatten(pw.this.raised)
    seen, raised = (pw.declare_type(int, judged.state[place]) for place in (0, 1))
    counts = judged.reduce(seen=pw.reducers.sum(seen), raised=pw.reducers.sum(raised))
    pw.io.subscribe(alerts, on_change=alert)
    pw.io.subscribe(counts, on_change=total)
    warm()
    await until_done(clock, lambda: pw.run(monitoring_level=pw.MonitoringLevel.NONE))

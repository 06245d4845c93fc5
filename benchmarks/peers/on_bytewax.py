"""Bytewax: its Kafka source in batches of a thousand, typed decoding a batch at a time, one stateful step keyed by sensor.

One worker, no recovery store: states live in its memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import job
from benchmarks.clock import Clock, warm
from benchmarks.peers import until_done


async def run(clock: Clock, bootstrap: str, topic: str) -> None:
    import bytewax.operators as op
    from bytewax.connectors.kafka import KafkaSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, cluster_main

    def decode(messages: list[Any]) -> Iterator[tuple[str, tuple[job.Reading, int]]]:
        clock.arrived()
        for message in messages:
            reading = job.decode(message.value)
            arrival = message.timestamp[1]
            if job.fits(reading, arrival):
                yield reading.sensor_id, (reading, arrival)
            else:
                clock.found["refused"] += 1
                clock.worked(1)

    def judge(state: job.State | None, one: tuple[job.Reading, int]) -> tuple[job.State, list[tuple[str, int]]]:
        state, (reading, arrival) = state or job.fresh(), one
        raised = job.step(state, reading.ts, reading.value, arrival)
        clock.found["processed"] += raised is not None
        for rule, at in raised or ():
            job.tell(clock.found, rule, reading.sensor_id, at)
        clock.worked(1)
        return state, raised or []

    flow = Dataflow("readings")
    settings = {"fetch.queue.backoff.ms": "5", "log_level": "0"}
    messages = op.input("log", flow, KafkaSource([bootstrap], [topic], add_config=settings))
    alerts = op.stateful_flat_map("judge", op.flat_map_batch("decode", messages, decode), judge)
    op.output("alerts", alerts, TestingSink([]))
    warm()
    await until_done(clock, lambda: cluster_main(flow, [], 0))

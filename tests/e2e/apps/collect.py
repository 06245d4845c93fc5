"""A worker that writes down what it was given: ``python -m tests.e2e.apps.collect BROKER TOPIC GROUP FILE [LATE]``.

Each record becomes a line ``partition offset value`` before it is acknowledged; with LATE, only every so many batches are.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from streams.transport import BatchSchema, make_app


async def main(broker: str, topic: str, group: str, file: str, late: str = "1") -> None:
    app = make_app(group, broker, broker_session_timeout=3.0, broker_heartbeat_interval=0.5, broker_commit_interval=0.2)
    out = Path(file).open("a")  # noqa: SIM115  a kill -9 ends it
    waiting: list = []

    def acknowledge() -> None:
        for event in waiting:
            event.ack()
        waiting.clear()

    @app.agent(app.topic(topic, schema=BatchSchema()))
    async def collect(stream):
        async for event in stream.noack().events():
            batch = event.value
            for offset, value in zip(batch.offsets, batch.values, strict=True):
                out.write(f"{batch.partition} {offset} {value.decode()}\n")
            out.flush()
            waiting.append(event)
            if len(waiting) >= int(late):
                acknowledge()

    async def settle(tps) -> None:
        acknowledge()

    app.transport.settle = settle
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Not awaited: it returns once the group has been joined, and a stop must not wait for that.
    starting = asyncio.create_task(app.start())
    await stop.wait()
    await app.stop()
    starting.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

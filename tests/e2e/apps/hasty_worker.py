"""A worker that breaks the order of D4 on purpose: its checkpoint does not wait for the outputs it stands for.

It exists to show that the tests of kills can see, so what it loses must not hang on how quick a machine is: in a life that
ends at a crash point its outputs wait longer for company than that life lasts, and every checkpoint of it stands for outputs
that never left. Its last life only waits a little. ``CITYWATCH_ORDER=kept`` keeps the order with that slow producer, to show
that slowness alone loses nothing.
"""

from __future__ import annotations

import os
import sys

import citywatch
import topologies.worker
from streams.kafka import Producer
from topologies.crash_points import VARIABLE

KEPT = os.environ.pop("CITYWATCH_ORDER", "") == "kept"
#: Outputs wait this long for company: longer than a life that ends at a crash point, and never until a checkpoint that waits.
LINGER_MS = 120_000.0 if VARIABLE in os.environ and not KEPT else 2_500.0


class SlowProducer(Producer):
    def __init__(self, broker: str) -> None:
        super().__init__(broker, linger_ms=LINGER_MS)

    async def acknowledged(self, timeout_s: float | None = None) -> None:
        if KEPT:
            await super().acknowledged(timeout_s)


if __name__ == "__main__":
    topologies.worker.Producer = SlowProducer  # type: ignore[misc]
    sys.exit(citywatch.main(sys.argv[1:]))

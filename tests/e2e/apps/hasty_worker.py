"""A worker that breaks the order of D4 on purpose: its checkpoint does not wait for the outputs it stands for.

``CITYWATCH_ORDER=kept`` keeps the order with the same slow producer, so that nothing but the order makes the difference. It
exists to show that the tests of kills can see.
"""

from __future__ import annotations

import os
import sys

import citywatch
import topologies.worker
from streams.kafka import Producer

#: Outputs wait this long for company, so that at every checkpoint some are still on their way.
LINGER_MS = 2_500.0
KEPT = os.environ.pop("CITYWATCH_ORDER", "") == "kept"


class SlowProducer(Producer):
    def __init__(self, broker: str) -> None:
        super().__init__(broker, linger_ms=LINGER_MS)

    async def acknowledged(self, timeout_s: float | None = None) -> None:
        if KEPT:
            await super().acknowledged(timeout_s)


if __name__ == "__main__":
    topologies.worker.Producer = SlowProducer  # type: ignore[misc]
    sys.exit(citywatch.main(sys.argv[1:]))

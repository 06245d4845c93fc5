"""Named places at which a test may kill the process: ``CITYWATCH_CRASH_AT=<point>[:n]`` (law 3).

The n-th time the point is passed (default the first) the process sends itself SIGKILL: no handler, no flush, nothing a
power cut would not also have taken. Unset, a point costs one comparison. The points stand where the order of produce,
checkpoint and acknowledgement (D4) could be wrong:

``before_produce``
    a batch is decided, nothing of it was handed to the producer
``after_produce``
    outputs of a batch were handed to the producer, none is acknowledged yet
``after_broker_ack``
    the broker has every output so far, the checkpoint is not begun
``before_checkpoint``
    the checkpoint is serialised, the store has not seen it
``after_checkpoint``
    the store has it, Kafka's committed offset does not know
``after_ack``
    the batches are acknowledged, the commit may still be under way
``after_switch``
    other rules or another registry are in use and announced, nothing of it is acknowledged or checkpointed
``before_outbox_step``
    a revision is decided, no sink was offered it
``outbox_step``
    one delivery to one sink succeeded, its log entry is not written
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from streams.errors import Mend

POINTS = (
    "before_produce",
    "after_produce",
    "after_broker_ack",
    "before_checkpoint",
    "after_checkpoint",
    "after_ack",
    "before_outbox_step",
    "outbox_step",
)
#: Passed only where rules or registry change.
SWITCH_POINT = "after_switch"
VARIABLE = "CITYWATCH_CRASH_AT"


class CrashPoints:
    """Counts passes of one named point and kills the process at the n-th."""

    def __init__(self, spec: str | None = None) -> None:
        """``spec``: ``<point>[:n]`` or None. Raises :class:`Mend` for a point that does not exist."""
        self._point: str | None = None
        self._left = 0
        if spec:
            point, _, times = spec.partition(":")
            if point not in (*POINTS, SWITCH_POINT) or (times and not times.isdigit()) or times == "0":
                raise Mend(
                    f"{spec!r} is no crash point",
                    where=VARIABLE,
                    mend=f"use <point>[:n] with one of {', '.join((*POINTS, SWITCH_POINT))}",
                )
            self._point, self._left = point, int(times or 1)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> CrashPoints:
        return cls(environ.get(VARIABLE))

    def passed(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

"""A rule over the whole stream: one series, the topic itself, of which every record of the shard is a sign of life.

The detector is shown the first record of every ten seconds (of the running maximum of arrival) that was not long on its way:
enough for silences of minutes, and a stream of any speed costs six rows a minute. Late records trickle in for minutes when a
stream has ended; they tell of the time before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.rule import Rule
from detectors.rulebook import RuleBook
from detectors.series import Series
from streams.batch import Batch, Bool, Int64
from topologies.rule_context import FRESH_MS, TICK_MS, Context, Emit, OffsetAt
from topologies.rule_runner import RuleRunner

_STEP_MS = 10_000


class StreamRunner(RuleRunner):
    """``watch`` is never true: no series of the shard is watched, the stream is."""

    whole = True

    def __init__(self, book: RuleBook, rule: Rule, place: int, context: Context, stream: str) -> None:
        super().__init__(book, rule, place, context, stream)
        self._step = -1
        self.series.append(Series(context.topic, stream=stream))
        self.shard_slot.append(-1)
        self.detector.grow(1)
        self.alarm.grow(1)

    def watch(self, slots: Sequence[int], facts: Sequence[Series], first_row: bool = False) -> bool:
        return False

    def watched(self, slots: NDArray[np.int64]) -> Bool:
        return np.zeros(len(slots), dtype=np.bool_)

    def advance(
        self,
        batch: Batch | None,
        pieces: Sequence[NDArray[Any]],
        clock: Int64 | None,
        since: int,
        until: int,
        at: OffsetAt,
        emit: Emit,
    ) -> None:
        """As :meth:`RuleRunner.advance`; ``pieces`` hold all rows of the batch."""
        self._last_tick = max(self._last_tick, since // TICK_MS * TICK_MS)
        if batch is not None and clock is not None and len(batch):
            self._signs(batch, clock, at, emit)
        self._ticks_until(until, at, emit)

    def _signs(self, batch: Batch, clock: Int64, at: OffsetAt, emit: Emit) -> None:
        if int(clock[-1]) // _STEP_MS <= self._step:
            return
        fresh = np.flatnonzero(batch.arrival - batch.ts <= FRESH_MS)
        steps, first = np.unique(clock[fresh] // _STEP_MS, return_index=True)
        for step, row in zip(steps.tolist(), fresh[first].tolist(), strict=True):
            if step <= self._step:
                continue
            self._ticks_until(int(clock[row]), at, emit)
            self._step = step
            part = batch.take(np.array([row]), np.zeros(1, dtype=np.int32))
            # Time is the stage's clock: arrivals may step back, a stream does not.
            part.arrival = clock[[row]]
            self._said(part, emit)

    def _ticks_until(self, until: int, at: OffsetAt, emit: Emit) -> None:
        while (tick := self._next_tick()) is not None and tick <= until:
            self._tick(tick, at, emit)
        self._last_tick = max(self._last_tick, until // TICK_MS * TICK_MS)

    def snapshot(self) -> dict[str, Any]:
        return super().snapshot() | {"step": self._step}

    def restore(self, saved: Any, facts: Sequence[Series]) -> None:
        own = self.series[0]
        self.series.clear()
        super().restore(saved, facts)
        self.series[0] = own
        self._step = int(saved["step"])


def runner_of(book: RuleBook, rule: Rule, place: int, context: Context, stream: str) -> RuleRunner | None:
    """The runner of a rule in a shard of ``stream``; None where the rule does not look at such streams."""
    if rule.match.stream == "any":
        fits = stream in book.detector(rule).streams
        return StreamRunner(book, rule, place, context, stream) if fits else None
    return RuleRunner(book, rule, place, context, stream) if rule.match.stream == stream else None

"""The shards of one worker: made from checkpoints on assignment, fed, checkpointed in the order of D4, given up on revoke.

Outputs leave at once. At a checkpoint the order is fixed: capture state and mark in one step, await the broker's
acknowledgement of all outputs so far, write the checkpoint, acknowledge the batches it covers. If the store is away the
batches stay unacknowledged (they keep only their offsets), intake pauses at the cap, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from streams.errors import Mend
from streams.kafka import NotAcknowledged, Producer
from streams.transport import TP, BatchTransport
from topologies.checkpoints import (
    Checkpoint,
    CheckpointStore,
    Fenced,
    ShardKey,
    StoreAway,
    Writer,
    refuse_if_added,
    refuse_if_foreign,
)
from topologies.crash_points import SWITCH_POINT, CrashPoints
from topologies.metrics import Metrics
from topologies.worker_clock import wall_ms
from topologies.worker_shard import Capture, Shard, ShardPlace

log = logging.getLogger(__name__)
T = TypeVar("T")

#: How long a revoke or the end waits for the outbox; what is pending afterwards travels in the checkpoint.
_DRAIN_S = 1.0
_STORE_RETRY_S = 0.5
#: A worker that was overtaken at its start hears of the next assignment within a session's time-out.
_NEXT_ASSIGNMENT_S = 60.0
#: So many batches of one partition may wait for a checkpoint, however few their records: the event of each is kept.
_WAITING_BATCHES = 10_000
#: This much of the way to where intake pauses, a checkpoint is due; and below it intake goes on.
_DUE = 0.5
#: Shards are captured for so long, then those that were are written.
_CAPTURE_S = 0.01
#: No fetch takes longer; a clock that was stepped says so all the same.
_FETCH_MS = 60_000

Make = Callable[[ShardPlace, Checkpoint | None], Shard]
#: What is looked up before shards are made: the checkpoints that were found, each with the end of its partition.
Prepare = Callable[[list[tuple[Checkpoint, int]]], Awaitable[None]]


class Shards:
    """``make(place, checkpoint)`` builds a shard (fresh where there is no checkpoint, or one without state).

    ``ended(reason)`` is called with the exception after which the worker must not go on.
    """

    def __init__(
        self,
        store: CheckpointStore,
        producer: Producer,
        metrics: Metrics,
        *,
        stage_of: Callable[[str], str],
        make: Make,
        ended: Callable[[Exception], None],
        cluster_id: str,
        partition_counts: Mapping[str, int],
        unacknowledged_records: int,
        points: CrashPoints,
        prepare: Prepare | None = None,
        log_now: Callable[[], int | None] = wall_ms,
    ) -> None:
        self._store, self._producer, self._metrics = store, producer, metrics
        self._writer = Writer(store, lambda: points.passed("before_checkpoint"))
        self._stage_of, self._make, self._ended = stage_of, make, ended
        self._cluster_id, self._partition_counts = cluster_id, partition_counts
        self._cap, self._points, self._prepare, self._log_now = unacknowledged_records, points, prepare, log_now
        self.held: dict[TP, Shard] = {}
        self.transport: BatchTransport | None = None
        self.generation: Callable[[], int] = lambda: 0
        #: Why nothing is decided yet; empty once the assignment's checkpoints are loaded.
        self.waiting_for: str = "no partition is assigned"
        #: Epoch ms of the last proof that the consumer lives: a batch, an empty fetch, or intake that we paused.
        self.intake_at = 0
        self._paused: set[TP] = set()
        #: A partition has come near to where its intake pauses: a checkpoint now keeps it from getting there.
        self._due = asyncio.Event()
        #: Ends the worker unless an assignment comes first.
        self._next_assignment: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()

    # --- assignment -------------------------------------------------------------------------------------------------------

    async def marks(self, assigned: set[TP]) -> dict[TP, int | None]:
        """The transport's ``marks_provider``: claim, check and load every assigned shard, and say where it goes on."""
        self._assigned_again()
        await self._give_up(self.held)
        self._paused.clear()
        self._metrics.rebalances.inc()
        if not assigned:
            self.waiting_for, self.intake_at = "no partition is assigned", 0
            return {}
        self.waiting_for = "checkpoints are being loaded"
        try:
            marks = await self._load(assigned)
        except Fenced as overtaken:
            await self._overtaken(overtaken)
            return {}
        except Exception as error:
            # Raised into the transport it would be retried; a refusal is for a person.
            self._ended(error)
            await asyncio.Event().wait()
            raise
        self.waiting_for, self.intake_at = "", wall_ms()
        return marks

    async def _overtaken(self, by: Fenced) -> None:
        """Another worker has claimed what is being loaded: the group has moved on, and nothing was decided here yet.

        What is read until the next assignment is left alone. Where none comes, somebody else uses this store: the worker ends.
        """
        await self._give_up(self.held)
        self._metrics.fenced.inc()
        self.waiting_for = f"another worker has taken over, the next assignment is awaited ({by})"
        log.warning("%s", self.waiting_for)
        self._next_assignment = asyncio.get_running_loop().call_later(_NEXT_ASSIGNMENT_S, self._ended, by)

    def _assigned_again(self) -> None:
        if self._next_assignment is not None:
            self._next_assignment.cancel()
            self._next_assignment = None

    async def _load(self, assigned: set[TP]) -> dict[TP, int | None]:
        assert self.transport is not None
        for tp in sorted(assigned):
            refuse_if_added(tp.topic, tp.partition, self._partition_counts[tp.topic])
        bounds = await self.transport.log_bounds(assigned)
        committed = await self.transport.committed(assigned)
        marks: dict[TP, int | None] = {}
        keys = {tp: ShardKey(self._stage_of(tp.topic), tp.topic, tp.partition) for tp in sorted(assigned)}
        await self._patiently(self._store.prepare, keys.values())
        claim = functools.partial(self._patiently, self._store.claim)
        claims = await asyncio.gather(*(claim(key, self.generation()) for key in keys.values()))
        if self._prepare is not None:
            ends = [bounds[tp][1] for tp in keys]
            await self._prepare([(found, end) for (_, found), end in zip(claims, ends, strict=True) if found is not None])
        for (tp, key), (generation, found) in zip(keys.items(), claims, strict=True):
            low, high = bounds[tp]
            count = self._partition_counts[tp.topic]
            if found is not None:
                refuse_if_foreign(found, cluster_id=self._cluster_id, partition_count=count, low=low, high=high)
            elif committed[tp] is not None and committed[tp] != low:
                raise Mend(
                    f"there is no checkpoint, but Kafka says offset {committed[tp]} of {tp.topic}/{tp.partition} was reached",
                    where=f"checkpoint {key}",
                    mend="point CITYWATCH_CHECKPOINT_STORE, CITYWATCH_REDIS and CITYWATCH_NAMESPACE at the store that has it, "
                    "or run `citywatch worker --rebuild-from TIME` to re-decide from the retained log",
                )
            mark = found.mark if found is not None else low
            place = ShardPlace(key, generation, self._cluster_id, count, mark)
            shard = self.held[tp] = self._make(place, found)
            marks[tp] = mark
            if found is None or not found.state:
                # Before anything is decided: with which rules and registry it began (a killed worker's heir may have others).
                await self._patiently(self._store.write, shard.capture().checkpoint)
        return marks

    async def _patiently(self, call: Callable[..., T], *arguments: Any) -> T:
        while True:
            try:
                return await asyncio.to_thread(call, *arguments)
            except StoreAway as error:
                self.waiting_for = f"the checkpoint store is away ({error})"
                self._metrics.count_checkpoint_failure("away")
                log.warning("%s; trying again", self.waiting_for)
                await asyncio.sleep(_STORE_RETRY_S)

    async def settle(self, _assigned: set[TP]) -> None:
        """The transport's ``settle``: before a revoke or the end, checkpoint everything, acknowledge it and give it up."""
        shards = dict(self.held)
        if not shards:
            return
        try:
            await asyncio.gather(*(shard.drain(_DRAIN_S) for shard in shards.values()))
            await self.checkpoint()
        finally:
            # Also where there was no time for it: they are not ours any more, and whoever has them decides again.
            await self._give_up(shards)

    async def _give_up(self, shards: Mapping[TP, Shard]) -> None:
        given = list(shards.items())
        for tp, shard in given:
            if self.held.get(tp) is shard:
                del self.held[tp]
        for _, shard in given:
            await shard.close()

    def abandon(self) -> None:
        """Forget all shards without a checkpoint: another worker owns them, or the outputs they stand for are lost."""
        self.held.clear()

    # --- intake -----------------------------------------------------------------------------------------------------------

    async def take(self, event: Any) -> None:
        """One event of an agent. Batches of an assignment that is over are left alone: they are read again."""
        tp = TP(event.message.topic, event.message.partition)
        shard = self.held.get(tp)
        if shard is None or event.message.generation_id != self.generation():
            return
        await self._producer.wait_for_room()
        await shard.room()
        await shard.prepare(event.value)
        if self.held.get(tp) is not shard:
            return
        shard.take(event, event.value)
        self.intake_at = wall_ms()
        filled = self._filled(shard)
        if filled >= _DUE:
            self._due.set()
        if filled >= 1.0 and tp not in self._paused:
            self._paused.add(tp)
            assert self.transport is not None
            self.transport.pause({tp})
            log.warning(
                "%s: %d records in %d batches wait for a checkpoint; intake pauses",
                shard.key,
                shard.unacknowledged,
                shard.waiting,
            )

    def _filled(self, shard: Shard) -> float:
        """How far a shard has come to where its intake pauses; 1 is there."""
        return max(shard.unacknowledged / self._cap, shard.waiting / _WAITING_BATCHES)

    def idle(self, tp: TP, next_offset: int, fetch_started: int) -> None:
        """The transport's ``on_idle``: the fetch began then on this machine's clock; shards are told when on the log's."""
        self.intake_at = wall_ms()
        shard, now = self.held.get(tp), self._log_now()
        if shard is not None and now is not None:
            shard.idle(next_offset, now - min(max(0, self.intake_at - fetch_started), _FETCH_MS))

    # --- checkpoints ------------------------------------------------------------------------------------------------------

    async def checkpoints(self, every_s: float) -> None:
        """For ever: so often, and before its time where a partition's batches come near to the cap."""
        written = True
        while True:
            if written:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), every_s)
            else:
                # The store is away: what is due stays due.
                await asyncio.sleep(every_s)
            written = await self.checkpoint()

    async def checkpoint(self, between: Callable[[], None] | None = None) -> bool:
        """Write what changed. ``between`` runs in the same step as the capture (a switch of rules or registry, so that a
        restart switches at the same offset). Says whether everything is written."""
        async with self._lock:
            if between is None:
                written = await self._by_and_by()
            else:
                began, captures = self._log_now(), [shard.capture() for shard in self.held.values() if self._changed(shard)]
                between()
                self._points.passed(SWITCH_POINT)
                written = await self._finish(captures, began)
                if captures:
                    self._points.passed("after_ack")
            # Afterwards: what came meanwhile had to be counted with what is acknowledged now.
            if all(self._filled(shard) < _DUE for shard in self.held.values()):
                self._due.clear()
            if written:
                self._metrics.checkpoint_written()
            if self._paused:
                self.intake_at = wall_ms()
            return written

    async def _by_and_by(self) -> bool:
        """Capture and write shards, a few at a time, until one cannot be written: a store that hangs costs its timeout once.

        A capture copies a shard's state in one step. Were all of them taken together, an alert would wait for each, and all
        copies would be held at once; were each taken alone, every one would wait for the broker.
        """
        wrote, captures, spent, began = False, list[Capture](), 0.0, self._log_now()
        for tp, shard in list(self.held.items()):
            if self.held.get(tp) is not shard or not self._changed(shard):
                continue
            start = time.perf_counter()
            captures.append(shard.capture())
            spent += time.perf_counter() - start
            wrote = True
            if spent < _CAPTURE_S:
                await asyncio.sleep(0)
                continue
            if not await self._finish(captures, began):
                return False
            captures, spent, began = [], 0.0, self._log_now()
        written = await self._finish(captures, began)
        if wrote:
            self._points.passed("after_ack")
        return written

    @staticmethod
    def _changed(shard: Shard) -> bool:
        return shard.dirty or shard.unacknowledged > 0

    async def _finish(self, captures: list[Capture], began: int | None) -> bool:
        """The order of D4 behind captures that were begun at ``began``, on the log's clock; False where one is not written.

        What a shard says behind its capture is behind ``began``, too.
        """
        if began is not None:
            for capture in captures:
                capture.checkpoint.marks.setdefault("told_since", began)
        if not captures:
            return True
        try:
            await self._producer.acknowledged()
        except NotAcknowledged as error:
            self._metrics.count_checkpoint_failure("outputs")
            self._end(error)
            return False
        self._points.passed("after_broker_ack")
        written = True
        for capture in captures:
            written = written and await self._write(capture)
            if not written:
                capture.shard.dirty = True
        return written

    def _end(self, error: Exception) -> None:
        """Nothing here is ours to write any more, or can be written: whoever goes on decides it again."""
        self.abandon()
        self._ended(error)

    async def _write(self, capture: Capture) -> bool:
        shard, checkpoint = capture.shard, capture.checkpoint
        try:
            await asyncio.to_thread(self._writer.write, checkpoint)
        except StoreAway as error:
            shard.dirty = True
            self._metrics.count_checkpoint_failure("away")
            log.warning("the checkpoint of %s could not be written: %s", checkpoint.key, error)
            return False
        except Fenced as error:
            if self.held.get(TP(shard.key.topic, shard.key.partition)) is not shard:
                # Given up while its checkpoint was under way: perhaps it is this worker that has it again, from an earlier one.
                log.info("the checkpoint of %s came too late: %s", checkpoint.key, error)
                return False
            self._metrics.fenced.inc()
            self._end(error)
            return False
        except TypeError as error:
            self._metrics.count_checkpoint_failure("encoding")
            self._end(error)
            return False
        self._points.passed("after_checkpoint")
        shard.acknowledge(capture)
        tp = TP(shard.key.topic, shard.key.partition)
        if tp in self._paused and self._filled(shard) < _DUE:
            self._paused.discard(tp)
            if self.transport is not None:
                self.transport.resume({tp})
        return True

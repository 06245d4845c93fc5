"""The consumer thread: positions partitions, drains what aiokafka has fetched, and sees when a partition is idle.

Runs in a thread and event loop of its own (Faust's design). Nothing is drained from an assignment before this thread has
positioned all of it (:meth:`BatchConsumerThread.seek_to_committed`), nor while the group rebalances: records that were
drained and then dropped are the loss this file exists to prevent. Each position change starts a new *epoch*; what was
drained in an older one is discarded by the consumer, because the new position lies in front of it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
from aiokafka.structs import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from mode.services import Service
from mode.threads import WorkerThread

from streams.batch import RawBatch
from streams.errors import Mend
from streams.kafka_records import keep_what_is_fetched
from streams.transport_drained import Asked, Drained
from streams.transport_idle import notice_idle
from streams.transport_raw import Run, raw_batch, take_plain, take_raw

#: While fetched records wait for a full agent, look again after this long; aiokafka only wakes us for new ones.
_LOOK_AGAIN_S = 0.005
_WAIT_S = 0.25
#: How often the group coordinator is asked for errors, and how long it may fail to join.
_WATCH_S = 0.25
_GIVE_UP_S = 60.0
#: While the thread ends, look so often whether it has.
_ENDED_S = 0.01


class _Thread(WorkerThread):
    """A thread that a process may end without: nothing that must survive is in it."""

    def __init__(self, service: Any, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True


class BatchConsumerThread(AIOKafkaConsumerThread):
    """aiokafka's consumer behind Faust's, delivering batches."""

    Worker = _Thread

    #: A BatchTransport; Faust's own type knows nothing of its hooks.
    transport: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epochs = itertools.count(1)
        self.epoch = next(self._epochs)
        #: Epoch of partitions that were positioned on their own since.
        self.epoch_of: dict[TP, int] = {}
        #: aiokafka's assignment whose positions we have set; nothing is drained from any other.
        self.positioned: Any = None
        #: What went wrong behind records that were delivered; the next poll raises it.
        self._owed: Exception | None = None
        #: Taken ahead of the next poll, of the partitions that the last one asked for.
        self._ahead = Drained()
        self._active: Any = frozenset()
        self._busy = asyncio.Event()

    # --- start ------------------------------------------------------------------------------------------------------------

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        options = transport.options
        # Read by AIOKafkaConsumer.start(), when it makes its fetcher.
        consumer._fetch_max_wait_ms = options.fetch_wait_ms
        consumer._max_partition_fetch_bytes = options.fetch_max_bytes
        consumer._isolation_level = options.isolation
        keep_what_is_fetched()
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        notice_idle(self, self._ensure_consumer()._fetcher)
        loop = asyncio.get_running_loop()
        self._chores = [loop.create_task(self._watch_coordinator()), loop.create_task(self._take_ahead())]

    async def _watch_coordinator(self) -> None:
        """Take up errors of the group coordinator: Faust never asks, and aiokafka stays silent until somebody does.

        Once asked, it joins the group again. What it may not do, or cannot for a minute, ends the worker.
        """
        coordinator = self._ensure_consumer()._coordinator
        failing_since: float | None = None
        while not self.should_stop:
            await asyncio.sleep(_WATCH_S)
            try:
                coordinator.check_errors()
            except Exception as error:
                now = time.monotonic()
                failing_since = failing_since or now
                forbidden = isinstance(error, GroupAuthorizationFailedError | TopicAuthorizationFailedError)
                if forbidden or coordinator._coordination_task.done() or now - failing_since > _GIVE_UP_S:
                    asyncio.run_coroutine_threadsafe(self.consumer.crash(error), self.parent_loop)
                    return
                self.log.warning("group coordinator: %r, joining again", error)
            else:
                if self.positioned is not None:
                    failing_since = None

    async def stop(self) -> None:
        """Stop, and wait until the thread has ended.

        mode's own holds the loop of the main thread until then. But what the thread does last may need that loop (a rebalance
        that is under way tells it what is revoked): each would wait for the other for ever.
        """
        if self._started.is_set():
            await Service.stop(self)
            while self._thread is not None and self._thread.is_alive():
                await asyncio.sleep(_ENDED_S)

    async def on_thread_stop(self) -> None:
        for task in self._chores:
            task.cancel()
        await super().on_thread_stop()

    # --- positions --------------------------------------------------------------------------------------------------------

    def revoke(self) -> None:
        """The assignment is ending: drain nothing more, and let nothing drained be delivered (thread safe)."""
        self.positioned = None
        self.epoch = next(self._epochs)
        self._owed, self._ahead = None, Drained()

    def is_current(self, tp: TP, epoch: int) -> bool:
        """Whether what was drained in ``epoch`` still stands behind the partition's position."""
        return epoch >= self.epoch and epoch >= self.epoch_of.get(tp, 0)

    async def seek_to_marks(self, marks: Mapping[TP, int | None]) -> dict[TP, int | None]:
        """Position every assigned partition: at its mark, else its committed offset, else where this assignment began.

        Returns the offset each partition was given, None where it starts by ``auto.offset.reset``.
        Raises Mend where a mark is not in the log.
        """
        result: dict[TP, int | None] = await self.call_thread(self._seek_to_marks, marks)
        return result

    async def _seek_to_marks(self, marks: Mapping[TP, int | None]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        subscription = consumer._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        tps = [TP(*tp) for tp in assignment.tps]
        marked = {tp: mark for tp in tps if (mark := marks.get(tp)) is not None}
        unmarked = [tp for tp in tps if tp not in marked]
        committed = dict(zip(unmarked, await asyncio.gather(*map(self._committed, unmarked)), strict=True))
        await self._check_marks(marked)
        if subscription is not consumer._subscription.subscription or subscription.assignment is not assignment:
            return {}
        # No await from here on: nothing may be drained between two seeks, nor between them and the new epoch.
        positions = self.transport.positions
        targets: dict[TP, int | None] = {}
        if not positions.same(assignment):
            positions.forget()
            positions.assignment = assignment
        for tp in tps:
            target = marked.get(tp, committed.get(tp))
            start = target if target is not None else positions.first.get(tp)
            if start is not None:
                consumer._fetcher.seek_to(TopicPartition(*tp), start)
                positions.sought(tp, start)
            targets[tp] = target
        self.positioned = assignment
        self.epoch = next(self._epochs)
        self.epoch_of.clear()
        return targets

    async def _committed(self, tp: TP) -> int | None:
        offset = await self._ensure_consumer().committed(TopicPartition(*tp))
        return offset if offset is not None and offset >= 0 else None

    async def _check_marks(self, marks: Mapping[TP, int]) -> None:
        bounds = await self._log_bounds(marks)
        for tp, mark in marks.items():
            first, end = bounds[tp]
            if not first <= mark <= end:
                raise Mend(
                    f"the checkpoint stands at offset {mark}, the log holds {first} to {end}",
                    f"{tp.topic}/{tp.partition}",
                    "was the topic made anew or its retention passed? run `citywatch worker --rebuild-from TIME`",
                )

    async def log_bounds(self, tps: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        """Earliest offset and end (next offset to be written) of each partition."""
        bounds: dict[TP, tuple[int, int]] = await self.call_thread(self._log_bounds, list(tps))
        return bounds

    async def _log_bounds(self, tps: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        keys = [TopicPartition(*tp) for tp in tps]
        if not keys:
            return {}
        consumer = self._ensure_consumer()
        first, end = await asyncio.gather(consumer.beginning_offsets(keys), consumer.end_offsets(keys))
        return {TP(*key): (first[key], end[key]) for key in keys}

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        """Offsets the group has committed, None where there is none."""
        keys = list(tps)

        async def ask() -> list[int | None]:
            return await asyncio.gather(*map(self._committed, keys))

        return dict(zip(keys, await self.call_thread(ask), strict=True))

    def seek(self, partition: TP, offset: int) -> None:
        # Called from the main thread: the thread's loop positions, so that no drain runs between seek and epoch.
        self.thread_loop.call_soon_threadsafe(self._seek_one, TP(*partition), offset)

    def _seek_one(self, tp: TP, offset: int) -> None:
        self._ensure_consumer().seek(TopicPartition(*tp), offset)
        self.transport.positions.sought(tp, offset)
        self.epoch_of[tp] = next(self._epochs)

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            self.transport.positions.sought(TP(*tp), offset)
            self.epoch_of[TP(*tp)] = next(self._epochs)
        await super()._seek_wait(consumer, {TopicPartition(*tp): offset for tp, offset in partitions.items()})

    # --- draining ---------------------------------------------------------------------------------------------------------

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        self._busy.clear()
        active = None if active_partitions is None else Asked(active_partitions)
        drained = self._ahead.part(active)
        with consumer._fetcher._subscriptions.fetch_context():
            await self._first(consumer, active, timeout or 0.0, drained)
        self._active = active_partitions
        self._busy.set()
        return self._batched(drained) if drained.records else None

    async def _take_ahead(self) -> None:
        """Between two polls, take what is fetched as it comes: aiokafka asks for no more of a partition while it holds
        any of it, and a broker may answer with the few records of one produce, so a busy worker would get too little."""
        while not self.should_stop:
            await self._busy.wait()
            if not self._busy.is_set():
                continue  # woken, and a poll has begun before this task came to run
            fetcher = self._ensure_consumer()._fetcher
            try:
                self._take(fetcher, self._active, self._ahead)
                if self._ahead.full or self._owed is not None or fetcher._closed:
                    self._busy.clear()  # until the next poll
                    continue
                waiter = fetcher._create_fetch_waiter()
                done, _ = await asyncio.wait([waiter], timeout=_LOOK_AGAIN_S if fetcher._records else _WAIT_S)
                if not done:
                    waiter.cancel()
                else:
                    waiter.result()
            except Exception as error:
                self._owed = error
                self._busy.clear()

    async def _first(self, consumer: Any, active: Any, timeout: float, drained: Drained) -> None:
        """What is there, or comes within ``timeout`` seconds, behind what is drained already."""
        fetcher = consumer._fetcher
        deadline = time.monotonic() + timeout
        while True:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            self._take(fetcher, active, drained)
            remaining = deadline - time.monotonic()
            if drained.records or remaining <= 0:
                return
            waiter = fetcher._create_fetch_waiter()
            wait = _LOOK_AGAIN_S if fetcher._records else _WAIT_S
            done, _ = await asyncio.wait([waiter], timeout=min(wait, remaining))
            if not done:
                waiter.cancel()
            else:
                waiter.result()  # an authorization error of the coordinator

    def _take(self, fetcher: Any, active: Any, drained: Drained) -> None:
        """:meth:`_drain`; what it raises behind drained records is owed to the next poll, for they must be delivered first."""
        if self._owed is not None:
            if drained.records:
                drained.full = True
                return
            owed, self._owed = self._owed, None
            raise owed
        try:
            self._drain(fetcher, active, drained)
        except Exception as error:
            if not drained.records:
                raise
            self._owed, drained.full = error, True

    def _batched(self, drained: Drained) -> Drained:
        for tp, records in drained.records.items():
            drained.records[tp] = [self._batch(tp, records)] if tp.topic in self.transport.batched else records.objects()
        return drained

    def _may_drain(self, fetcher: Any) -> bool:
        if not self.consumer.flow_active:
            return False
        if self.app.client_only:
            return True
        subscription = fetcher._subscriptions.subscription
        return (
            subscription is not None
            and self.positioned is not None
            and subscription.assignment is self.positioned
            and not fetcher._subscriptions.reassignment_in_progress
        )

    def _drain(self, fetcher: Any, active: Any, drained: Drained) -> None:
        """Take what is fetched for the active partitions, in one step of this thread's loop, behind what is drained."""
        if not self._may_drain(fetcher):
            drained.full = bool(drained.records)
            return
        transport = self.transport
        options = transport.options
        take = take_raw if options.raw else take_plain
        for key in list(fetcher._records):
            tp = TP(*key)
            if active is not None and tp not in active:
                if not fetcher._subscriptions.is_assigned(key):
                    del fetcher._records[key]
                continue
            result = fetcher._records[key]
            if type(result) is not FetchResult:
                del fetcher._records[key]
                fetcher._notify(fetcher._wait_consume_future)
                result.check_raise()
                continue
            batched = tp.topic in transport.batched
            held = drained.records.get(tp)
            room = options.batch_records - (len(held) if held is not None else 0)
            if room <= 0 or (held is not None and held.span_ms >= options.batch_span_ms):
                drained.full = True
                continue
            position = result._partition_records.next_fetch_offset if result.has_more() else None
            try:
                taken = (take if batched else take_plain)(result, key, room, options.batch_span_ms)
            except UnsupportedCodecError as error:
                raise Mend(str(error), f"{tp.topic}/{tp.partition}", "pip install cramjam (lz4, snappy, zstd)") from error
            if not result.has_more():
                del fetcher._records[key]
                fetcher._notify(fetcher._wait_consume_future)
            if taken is None or position is None:
                continue
            transport.positions.began(tp, position)
            if taken.begins is not None:
                self._note_gap(tp, taken.begins, taken.next_offset)
            if taken.records:
                transport.positions.taken[tp] = taken.records.last_offset + 1
                drained.add(tp, taken.records, max(self.epoch, self.epoch_of.get(tp, 0)))

    def _batch(self, tp: TP, records: Run) -> RawBatch:
        return raw_batch(tp.topic, tp.partition, records, playback=self.transport.options.playback)

    def _note_gap(self, tp: TP, got: int, next_offset: int) -> None:
        transport = self.transport
        missing = transport.positions.read(tp, got, next_offset, holes_allowed=tp.topic in transport.options.holes_allowed)
        if missing and transport.on_gap is not None:
            self.parent_loop.call_soon_threadsafe(transport.on_gap, tp, got - missing, got)

    def lags(self) -> dict[TP, int]:
        """High water minus position of each assigned partition that has both (thread safe reading)."""
        consumer = self._consumer
        subscription = consumer._subscription.subscription if consumer is not None else None
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        lags: dict[TP, int] = {}
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            if state.highwater is not None and state.has_valid_position:
                lags[TP(*tp)] = max(0, state.highwater - state.position)
        return lags

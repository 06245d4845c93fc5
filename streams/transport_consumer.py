"""The consumer of the batch transport: hands batches to agents and commits what was acknowledged without a hole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, cast

from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP, ConsumerMessage
from faust.types.transports import TPorTopicSet

from streams.batch import RawBatch
from streams.transport_drained import Drained
from streams.transport_offsets import InFlight
from streams.transport_thread import BatchConsumerThread

#: While no partition may be read, look again after this long.
_LOOK_AGAIN_S = 0.02


class BatchConsumer(Consumer):
    """Faust's consumer with batches, our marks, and commits that follow the acknowledged prefix (DESIGN section 6)."""

    _thread: BatchConsumerThread
    #: A BatchTransport; Faust's own type knows nothing of its hooks.
    transport: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.in_flight = InFlight()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- delivery ---------------------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """One message per batch and partition (per record on the ordinary path) of one poll.

        Faust's own drops what it drained where a partition was paused in between; here only a new position, which then
        lies in front of it, makes drained records void.
        """
        drained = await self._poll(timeout)
        if drained is None or self.should_stop:
            return
        for tp, record in self.scheduler.iterate(drained.records):
            if not self.flow_active:
                break
            if not self._thread.is_current(tp, drained.stamps[tp]):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            message = self._to_message(tp, record)
            if isinstance(record, RawBatch):
                read = self._read_offset[tp]
                if read is not None and message.offset < read:
                    self._read_offset[tp] = None  # the log began anew; Faust would drop the batch and we wait for it forever
                self.in_flight.add(tp, message)
            yield tp, message

    async def _poll(self, timeout: float) -> Drained | None:
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        active = None if self.app.client_only else self._get_active_partitions()
        if active is None or active:
            return cast(Drained | None, await self._getmany(active_partitions=active, timeout=timeout))
        # Faust sleeps a second here: each time all of a worker's partitions are full or paused, and at every start.
        await self.sleep(_LOOK_AGAIN_S)
        return None

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, RawBatch):
            return super()._to_message(tp, record)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offsets[-1],
            record.arrivals[-1] / 1000.0,
            1,
            None,
            None,
            cast(Any, record),
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    # --- positions --------------------------------------------------------------------------------------------------------

    async def subscribe(self, topics: Iterable[str]) -> None:
        self.transport.note_topics()
        await super().subscribe(topics)

    async def seek_to_committed(self) -> Any:
        """Position all partitions; our checkpoint's marks go before Kafka's committed offsets."""
        transport = self.transport
        assigned = {TP(*tp) for tp in self.assignment()}
        self.in_flight.reset()
        for tp in assigned & {tp for tp in self._acked if tp.topic in transport.batched}:
            self._clear_faust_books(tp)
        marks = dict(await transport.marks_provider(assigned)) if transport.marks_provider and assigned else {}
        try:
            return await self._thread.seek_to_marks(marks)
        except Exception as exc:
            await self.crash(exc)
            raise

    async def _seek(self, partition: TP, offset: int) -> None:
        self.in_flight.reset(TP(*partition))
        await super()._seek(partition, offset)

    async def seek_wait(self, partitions: Any) -> None:
        for tp in partitions:
            self.in_flight.reset(TP(*tp))
        await super().seek_wait(partitions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Drain nothing more; Faust then stops the flow and calls :meth:`wait_empty`, which settles."""
        self._thread.revoke()
        if revoked:
            self.stop_flow()
            self.app.flow_control.suspend()
            await self._settle()
        await super().on_partitions_revoked(revoked)
        self.in_flight.reset()

    # --- commits ----------------------------------------------------------------------------------------------------------

    def _filter_tps_with_pending_acks(self, topics: TPorTopicSet | None = None) -> Iterator[TP]:
        batched = self.transport.batched
        for tp in self.in_flight.acknowledged():
            if topics is None or tp in topics or tp.topic in topics:
                yield tp
        for tp in super()._filter_tps_with_pending_acks(topics):
            if tp.topic not in batched:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in self.transport.batched:
            return super()._new_offset(tp)
        self._clear_faust_books(tp)
        return self.in_flight.next_offset(tp)

    def _clear_faust_books(self, tp: TP) -> None:
        # The compiled stream iterator writes every acknowledged offset here; nobody else would take it out again.
        self._acked[tp].clear()
        self._acked_index[tp].clear()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Between the last offsets of two batches there is no gap, there is a batch. (Faust's own includes the message
        # that is not processed yet: acknowledging 5 and 9 with 8 pending committed 10.)
        if tp.topic not in self.transport.batched:
            await super()._add_gap(tp, offset_from, offset_to - 1)

    async def _settle(self) -> None:
        """Let the worker write its checkpoint and acknowledge, then commit; a worker that cannot loses nothing but time."""
        settle = self.transport.settle
        assigned = {TP(*tp) for tp in self.assignment()}
        if settle is not None and assigned:
            try:
                await asyncio.wait_for(settle(assigned), self.transport.options.settle_timeout_s)
            except TimeoutError:
                self.log.warning(
                    "no checkpoint within %s s; what it covers is read again", self.transport.options.settle_timeout_s
                )
        await self.commit_and_end_transactions()

    async def wait_empty(self) -> None:
        """Settle. Faust waits here for every event to be acknowledged, which late acknowledgement never answers.

        Batches that are not acknowledged are read again; topics on the ordinary path get Faust's waiting.
        """
        await self._settle()
        batched = self.transport.batched
        self._unacked_messages -= {m for m in self._unacked_messages if m.acked or m.topic in batched}
        if self._unacked_messages:
            await super().wait_empty()

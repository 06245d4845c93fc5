import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from alert_sinks.lane import Retry
from alert_sinks.outbox import DAY_MS, Outbox, OutboxSettings
from alert_sinks.routing import Route, Routing
from alert_sinks.sink import SinkAway, SinkRefused
from tests.alert_sinks.incidents import T0, Scripted, body, incident
from topologies.checkpoints.format import decode, encode
from topologies.checkpoints.protocol import Checkpoint, ShardKey

FAST = OutboxSettings(retry=Retry(first_s=0.001, longest_s=0.002))


def outbox_of(*sinks, settings=FAST, observe=None):
    routing = Routing(Route(sinks=[sink.name for sink in sinks]))
    extra = {"observe": observe} if observe else {}
    return Outbox({sink.name: sink for sink in sinks}, routing, settings, **extra)


def offer(outbox, *records):
    return [outbox.offer(record, body(record)) for record in records]


def delivered(sinks, records, settings=FAST):
    async def run():
        outbox = outbox_of(*sinks, settings=settings)
        offer(outbox, *records)
        outbox.start()
        assert await outbox.drained(5)
        await outbox.stop()

    asyncio.run(run())


def test_revisions_of_one_incident_arrive_in_order_despite_failures():
    sink = Scripted(script=[ValueError("x"), None, SinkAway("y"), ValueError("z")])
    delivered([sink], [incident(1, revision) for revision in (1, 2, 3, 4)])
    assert [revision for _, revision, _ in sink.got] == [1, 2, 3, 4]


def test_a_failing_incident_does_not_hold_up_another():
    class Sour(Scripted):
        async def deliver(self, delivery):
            if delivery.incident_id == incident(1).incident_id:
                raise ValueError("this one never works")
            await super().deliver(delivery)

    async def run():
        sink = Sour()
        outbox = outbox_of(sink)
        offer(outbox, incident(1), incident(2), incident(3))
        outbox.start()
        while len(sink.got) < 2:
            await asyncio.sleep(0.001)
        depth = outbox.depth()
        await outbox.stop()
        return depth

    assert asyncio.run(run()) == {"scripted": 1}


def test_a_refused_delivery_is_counted_and_the_next_revision_goes_on():
    results = []

    async def run():
        sink = Scripted(script=[SinkRefused("too large")])
        outbox = outbox_of(sink, observe=lambda name, delivery, result: results.append((delivery.revision, result)))
        offer(outbox, incident(1, 1), incident(1, 2))
        outbox.start()
        assert await outbox.drained(5)
        await outbox.stop()

    asyncio.run(run())
    assert results == [(1, "refused"), (2, "delivered")]


def test_a_repeated_revision_is_no_news():
    async def run():
        return offer(outbox_of(Scripted()), incident(1, 2), incident(1, 2), incident(1, 1), incident(1, 3))

    assert asyncio.run(run()) == [1, 0, 0, 1]


def test_a_sink_that_is_away_is_probed_by_one_delivery_at_a_time():
    async def run():
        sink = Scripted(script=[SinkAway("gone")] * 8)
        outbox = outbox_of(sink)
        offer(outbox, incident(1))
        outbox.start()
        while sink.calls < 3:
            await asyncio.sleep(0.001)
        offer(outbox, *(incident(n) for n in range(2, 50)))
        while sink.script:
            await asyncio.sleep(0.001)
        calls = sink.calls
        assert await outbox.drained(5)
        await outbox.stop()
        return calls, len(sink.got)

    calls, got = asyncio.run(run())
    assert got == 49
    assert calls <= 9


def test_one_sink_being_away_does_not_hold_up_another():
    class Gone(Scripted):
        async def deliver(self, delivery):
            raise SinkAway("for good")

    async def run():
        good = Scripted("good")
        outbox = outbox_of(Gone("gone"), good)
        offer(outbox, incident(1), incident(2))
        outbox.start()
        while len(good.got) < 2:
            await asyncio.sleep(0.001)
        depth = outbox.depth()
        await outbox.stop()
        return depth

    assert asyncio.run(run()) == {"gone": 2, "good": 0}


def test_a_full_outbox_makes_its_caller_wait_until_there_is_room():
    async def run():
        outbox = outbox_of(Scripted(), settings=OutboxSettings(deliveries=2, retry=FAST.retry))
        offer(outbox, incident(1), incident(2))
        was_full = outbox.full
        outbox.start()
        await asyncio.wait_for(outbox.room(), 5)
        await outbox.stop()
        return was_full, outbox.full

    assert asyncio.run(run()) == (True, False)


def test_the_level_that_was_left_travels_with_the_delivery():
    seen = []

    class Levels(Scripted):
        async def deliver(self, delivery):
            seen.append(delivery.left_level)

    delivered([Levels()], [incident(1, 1, level=3), incident(1, 2, level=3), incident(1, 3, level=1), incident(1, 4, level=2)])
    assert seen == [None, None, 3, 1]


def test_a_tombstone_follows_the_days_after_closure():
    async def run():
        sink = Scripted()
        outbox = outbox_of(sink)
        offer(outbox, incident(1, 4, status="resolved", event="resolved"), incident(2))
        outbox.pass_time(T0 + 29 * DAY_MS)
        early = outbox.depth()["scripted"]
        outbox.pass_time(T0 + 31 * DAY_MS)
        outbox.start()
        assert await outbox.drained(5)
        await outbox.stop()
        return early, sink.got[-1]

    early, last = asyncio.run(run())
    assert early == 2
    assert last == (incident(1).incident_id, 5, None)


def test_a_reopened_incident_gets_no_tombstone():
    async def run():
        outbox = outbox_of(Scripted())
        offer(outbox, incident(1, 4, status="resolved"), incident(1, 5, event="reopened"))
        outbox.pass_time(T0 + 40 * DAY_MS)
        return outbox.depth()

    assert asyncio.run(run()) == {"scripted": 2}


def through_a_checkpoint(saved):
    return decode(encode(Checkpoint(ShardKey("incident", "t", 0), "c", 1, 1, 0, {}, outbox=saved))).outbox


def test_what_was_pending_is_delivered_after_a_restart_with_the_same_bodies():
    async def run():
        class Gone(Scripted):
            async def deliver(self, delivery):
                raise SinkAway("x")

        first = outbox_of(Gone())
        records = [incident(1, 1, level=3), incident(1, 2, level=1), incident(2, 1)]
        offer(first, *records)
        saved = through_a_checkpoint(first.snapshot())
        sink = Scripted()
        second = outbox_of(sink)
        second.restore(saved)
        repeated = offer(second, *records)
        second.start()
        assert await second.drained(5)
        await second.stop()
        return sorted(sink.got), sorted((r.incident_id, r.revision, body(r)) for r in records), repeated

    got, expected, repeated = asyncio.run(run())
    assert got == expected
    assert repeated == [0, 0, 0]


def test_deliveries_of_a_sink_that_is_configured_no_more_are_counted_as_dropped():
    results = []

    async def run():
        first = outbox_of(Scripted("old"))
        offer(first, incident(1))
        second = outbox_of(Scripted("new"), observe=lambda sink, delivery, result: results.append((sink, result)))
        second.restore(first.snapshot())

    asyncio.run(run())
    assert results == [("old", "dropped")]


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3])), min_size=1, max_size=12),
    st.lists(st.sampled_from(["ok", "fail", "away"]), max_size=12),
)
def test_whatever_fails_every_revision_arrives_once_and_in_order(plan, script):
    errors = {"ok": None, "fail": ValueError("f"), "away": SinkAway("a")}
    sink = Scripted(script=[errors[word] for word in script])
    revisions: dict[int, int] = {}
    records = []
    for number, level in plan:
        revisions[number] = revisions.get(number, 0) + 1
        records.append(incident(number, revisions[number], level=level))
    delivered([sink], records)
    for number, last in revisions.items():
        assert [r for i, r, _ in sink.got if i == incident(number).incident_id] == list(range(1, last + 1))


@pytest.mark.parametrize("attempts", [1, 3, 1000])
def test_a_pause_is_never_longer_than_the_longest_with_its_jitter(attempts):
    assert 0 < Retry(0.1, 30.0).pause(attempts) <= 45.0

"""The order of D4 and what happens when a part of it fails, with a fake log and stage."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from streams.batch import RawBatch
from streams.errors import Mend
from streams.kafka import NotAcknowledged
from streams.transport import TP
from topologies.checkpoints import Checkpoint, Fenced, MemoryStore, ShardKey
from topologies.crash_points import CrashPoints
from topologies.metrics import Metrics
from topologies.worker_clock import wall_ms
from topologies.worker_shard import Shard
from topologies.worker_shards import Shards

TOPIC = "city.sensor.readings"
HERE = TP(TOPIC, 0)
KEY = ShardKey("detect", TOPIC, 0)


class Counting(Shard):
    """A stage that counts rows."""

    def __init__(self, place, found):
        super().__init__(place)
        self.rows = found.state.get("rows", 0) if found is not None else 0
        self.closed = False

    def decide(self, batch, received):
        self.rows += len(batch)

    def state(self):
        return {"rows": self.rows}

    async def close(self):
        self.closed = True


class Log:
    """The transport's questions and the producer's promise, in one place; ``happened`` is the order of things."""

    def __init__(self):
        self.happened = []
        self.low, self.high, self.committed_offset = 0, 1000, None
        self.failure = None
        self.paused = set()

    async def log_bounds(self, tps):
        return dict.fromkeys(tps, (self.low, self.high))

    async def committed(self, tps):
        return dict.fromkeys(tps, self.committed_offset)

    def pause(self, tps):
        self.paused |= tps

    def resume(self, tps):
        self.paused -= tps

    async def acknowledged(self):
        self.happened.append("outputs acknowledged")
        if self.failure:
            raise self.failure

    async def wait_for_room(self):
        return None


class Store(MemoryStore):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def write_bytes(self, *arguments):
        super().write_bytes(*arguments)
        self.log.happened.append("checkpoint written")


class Event:
    def __init__(self, log, first, rows, generation=1, partition=0):
        offsets = list(range(first, first + rows))
        self.log = log
        self.value = RawBatch(TOPIC, partition, offsets, offsets, [b""] * rows, [b""] * rows)
        self.message = SimpleNamespace(topic=TOPIC, partition=partition, generation_id=generation, value=self.value)

    def ack(self):
        self.log.happened.append("acknowledged")


class World:
    def __init__(self, cap=100):
        self.log = Log()
        self.store = Store(self.log)
        self.ends = []
        self.metrics = Metrics()
        self.shards = self.make(cap)

    def make(self, cap=100, partitions=1):
        shards = Shards(
            self.store, self.log, self.metrics, stage_of=lambda topic: "detect", make=Counting, ended=self.ends.append,
            cluster_id="c", partition_counts={TOPIC: partitions}, unacknowledged_records=cap, points=CrashPoints(),
        )  # fmt: skip
        shards.transport = self.log
        shards.generation = lambda: 1
        return shards


def play(steps, cap=100):
    """Run ``steps(world)`` on an event loop and return the world."""

    async def run():
        world = World(cap)
        await steps(world)
        return world

    return asyncio.run(run())


async def refused(world, *assigned):
    """Assign; the marks hook never returns after a refusal."""
    task = asyncio.ensure_future(world.shards.marks({HERE, *assigned}))
    await asyncio.wait([task], timeout=0.2)
    task.cancel()
    return world.ends


def test_a_checkpoint_follows_the_order_outputs_store_acknowledgement():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        await world.shards.take(Event(world.log, 3, 2))
        assert await world.shards.checkpoint()

    world = play(steps)
    began, *happened = world.log.happened
    assert began == "checkpoint written"
    assert happened == ["outputs acknowledged", "checkpoint written", "acknowledged", "acknowledged"]
    assert (world.store.read(KEY).mark, world.store.read(KEY).state) == (5, {"rows": 5})


@pytest.mark.parametrize(
    ("capture_s", "expected"),
    [
        (3600.0, ["outputs acknowledged", *["checkpoint written", "acknowledged"] * 2]),
        (0.0, ["outputs acknowledged", "checkpoint written", "acknowledged"] * 2),
    ],
)
def test_shards_are_captured_together_for_a_moment_and_then_written(monkeypatch, capture_s, expected):
    async def steps(world):
        world.shards = world.make(partitions=2)
        await world.shards.marks({HERE, TP(TOPIC, 1)})
        world.log.happened.clear()
        for partition in (0, 1):
            await world.shards.take(Event(world.log, 0, 3, partition=partition))
        assert await world.shards.checkpoint()

    monkeypatch.setattr("topologies.worker_shards._CAPTURE_S", capture_s)
    world = play(steps)
    assert world.log.happened == expected
    assert [world.store.read(ShardKey("detect", TOPIC, partition)).mark for partition in (0, 1)] == [3, 3]


def test_a_shard_that_begins_is_in_the_store_before_it_decides():
    async def steps(world):
        await world.shards.marks({HERE})
        world.found = world.store.read(KEY)

    found = play(steps).found
    assert (found.mark, found.state) == (0, {"rows": 0})


def test_the_next_owner_goes_on_at_the_mark_with_the_state():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        await world.shards.settle({HERE})
        again = world.make()
        world.marks = await again.marks({HERE})
        world.rows = again.held[HERE].rows

    world = play(steps)
    assert (world.marks, world.rows) == ({HERE: 3}, 3)


def test_settling_gives_the_shards_up():
    async def steps(world):
        await world.shards.marks({HERE})
        world.shard = world.shards.held[HERE]
        await world.shards.settle({HERE})

    world = play(steps)
    assert world.shard.closed and not world.shards.held


def test_rows_in_front_of_the_mark_are_not_decided_twice():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        await world.shards.take(Event(world.log, 0, 5))

    assert play(steps).shards.held[HERE].rows == 5


def test_a_batch_of_an_assignment_that_is_over_is_left_alone():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3, generation=0))

    assert play(steps).shards.held[HERE].rows == 0


def test_while_the_store_is_away_nothing_is_acknowledged_and_the_next_checkpoint_covers_it():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        world.store.away = True
        assert not await world.shards.checkpoint()
        world.while_away = list(world.log.happened)
        world.store.away = False
        assert await world.shards.checkpoint()

    world = play(steps)
    assert "acknowledged" not in world.while_away
    assert world.log.happened[-2:] == ["checkpoint written", "acknowledged"]
    assert world.metrics.registry.get_sample_value("citywatch_checkpoint_failures_total", {"reason": "away"}) == 1


def test_intake_pauses_at_the_cap_and_resumes_after_a_checkpoint():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 4))
        world.paused = set(world.log.paused)
        await world.shards.checkpoint()

    world = play(steps, cap=4)
    assert world.paused == {HERE} and world.log.paused == set()


def test_intake_pauses_where_too_many_small_batches_wait(monkeypatch):
    async def steps(world):
        await world.shards.marks({HERE})
        world.paused = []
        for offset in range(3):
            await world.shards.take(Event(world.log, offset, 1))
            world.paused.append(set(world.log.paused))
        await world.shards.checkpoint()

    monkeypatch.setattr("topologies.worker_shards._WAITING_BATCHES", 3)
    world = play(steps)
    assert world.paused == [set(), set(), {HERE}] and world.log.paused == set()


def test_a_checkpoint_is_written_before_its_time_where_a_backlog_comes_near_to_the_cap():
    async def steps(world):
        await world.shards.marks({HERE})
        world.log.happened.clear()
        written = asyncio.ensure_future(world.shards.checkpoints(3600.0))
        await world.shards.take(Event(world.log, 0, 3))
        await asyncio.sleep(0.05)
        world.before = list(world.log.happened)
        await world.shards.take(Event(world.log, 3, 2))
        await asyncio.wait_for(until(lambda: world.log.happened.count("acknowledged") == 2), 10)
        await world.shards.take(Event(world.log, 5, 3))
        await asyncio.sleep(0.05)
        world.again = world.log.happened.count("checkpoint written")
        written.cancel()

    world = play(steps, cap=10)
    assert "checkpoint written" not in world.before and world.again == 1 and world.log.paused == set()


def test_what_came_while_a_checkpoint_was_written_is_not_due_when_little_is_left():
    async def steps(world):
        late = await until_it_waits(world, cap=6)
        await world.shards.take(Event(world.log, 3, 2))
        world.meanwhile = world.shards._due.is_set()
        world.store.go_on.set()
        assert await late

    world = play(steps)
    assert world.meanwhile and not world.shards._due.is_set() and world.log.happened[-1] == "acknowledged"


def test_what_is_due_is_not_tried_without_a_pause_while_the_store_is_away():
    async def steps(world):
        await world.shards.marks({HERE})
        world.store.away = True
        written = asyncio.ensure_future(world.shards.checkpoints(0.5))
        for offset in range(0, 15, 3):
            await world.shards.take(Event(world.log, offset, 3))
            await asyncio.sleep(0.01)
        world.tries = failures(world)
        await asyncio.wait_for(until(lambda: failures(world) > world.tries), 10)
        world.store.away = False
        await asyncio.wait_for(until(lambda: "acknowledged" in world.log.happened), 10)
        written.cancel()

    world = play(steps, cap=10)
    assert world.tries == 1 and world.log.paused == set()


def failures(world):
    return world.metrics.registry.get_sample_value("citywatch_checkpoint_failures_total", {"reason": "away"}) or 0


async def until(true):
    while not true():
        await asyncio.sleep(0.005)


def test_a_kept_event_holds_no_records():
    async def steps(world):
        await world.shards.marks({HERE})
        world.event = Event(world.log, 0, 3)
        await world.shards.take(world.event)

    assert play(steps).event.value is None


def test_a_zombie_is_refused_and_ends():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.make().marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        assert not await world.shards.checkpoint()

    world = play(steps)
    assert [type(error) for error in world.ends] == [Fenced]
    assert not world.shards.held
    assert world.metrics.registry.get_sample_value("citywatch_fenced_total") == 1


class Slow(Store):
    """The first checkpoint waits until it may go on."""

    def __init__(self, log):
        super().__init__(log)
        self.waits, self.go_on = threading.Event(), threading.Event()

    def write_bytes(self, key, generation, mark, value):
        if mark and not self.waits.is_set():
            self.waits.set()
            assert self.go_on.wait(10)
        super().write_bytes(key, generation, mark, value)


async def until_it_waits(world, cap=100):
    world.store = Slow(world.log)
    world.shards = world.make(cap)
    await world.shards.marks({HERE})
    await world.shards.take(Event(world.log, 0, 3))
    late = asyncio.ensure_future(world.shards.checkpoint())
    assert await asyncio.to_thread(world.store.waits.wait, 10)
    return late


def test_a_checkpoint_that_is_overtaken_by_the_next_assignment_ends_nobody():
    async def steps(world):
        late = await until_it_waits(world)
        assert await world.shards.marks({HERE}) == {HERE: 0}
        world.store.go_on.set()
        assert not await late
        await world.shards.take(Event(world.log, 0, 3))
        assert await world.shards.checkpoint()

    world = play(steps)
    assert world.ends == [] and world.shards.held[HERE].mark == 3
    assert world.metrics.registry.get_sample_value("citywatch_fenced_total") == 0


def test_shards_are_given_up_even_where_there_is_no_time_for_their_checkpoint():
    async def steps(world):
        late = await until_it_waits(world)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.shards.settle({HERE}), 0.05)
        assert not world.shards.held
        # Another worker claims it; what was under way comes too late.
        await asyncio.to_thread(world.store.claim, KEY, 1)
        world.store.go_on.set()
        assert not await late

    assert play(steps).ends == []


class Overtaking(Store):
    """Another worker claims each shard right behind us, as long as ``busy``."""

    busy = True

    def claim(self, key, generation):
        claimed = super().claim(key, generation)
        if self.busy:
            super().claim(key, generation)
        return claimed


def overtaken(then):
    async def steps(world):
        world.store = Overtaking(world.log)
        world.shards = world.make()
        world.marks = await world.shards.marks({HERE})
        world.said = world.shards.waiting_for
        await world.shards.take(Event(world.log, 0, 3))
        await then(world)

    return play(steps)


def test_a_worker_that_is_overtaken_while_it_loads_waits_for_the_next_assignment():
    async def then(world):
        assert world.marks == {} and not world.shards.held
        world.store.busy = False
        world.marks = await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        assert await world.shards.checkpoint()

    world = overtaken(then)
    assert "another worker has taken over" in world.said
    assert world.marks == {HERE: 0} and world.shards.waiting_for == "" and world.ends == []
    assert world.shards.held[HERE].mark == 3


def test_a_worker_that_was_overtaken_ends_where_no_assignment_comes(monkeypatch):
    async def then(world):
        await asyncio.sleep(0.2)

    monkeypatch.setattr("topologies.worker_shards._NEXT_ASSIGNMENT_S", 0.05)
    assert [type(error) for error in overtaken(then).ends] == [Fenced]


def test_outputs_that_did_not_arrive_stop_the_checkpoint_and_the_worker():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        world.log.failure = NotAcknowledged(["x"], 1)
        assert not await world.shards.checkpoint()

    world = play(steps)
    assert world.log.happened == ["checkpoint written", "outputs acknowledged"]
    assert [type(error) for error in world.ends] == [NotAcknowledged]


def test_a_switch_stands_exactly_between_two_batches():
    async def steps(world):
        await world.shards.marks({HERE})
        await world.shards.take(Event(world.log, 0, 3))
        await world.shards.checkpoint(between=lambda: setattr(world.shards.held[HERE], "rows", 100))

    world = play(steps)
    assert (world.store.read(KEY).mark, world.store.read(KEY).state) == (3, {"rows": 3})
    assert world.shards.held[HERE].rows == 100


@pytest.mark.parametrize(
    ("low", "high", "cluster", "count"), [(5, 1000, "c", 1), (0, 2, "c", 1), (0, 1000, "other", 1), (0, 1000, "c", 2)]
)
def test_a_checkpoint_that_does_not_belong_to_the_log_is_refused(low, high, cluster, count):
    async def steps(world):
        world.store.write(Checkpoint(KEY, cluster, count, 1, 3, {"rows": 3}))
        world.log.low, world.log.high = low, high
        await refused(world)

    (error,) = play(steps).ends
    assert isinstance(error, Mend) and "--rebuild-from" in str(error)


def test_partitions_that_were_added_since_the_worker_began_are_refused_before_anything_is_claimed():
    async def steps(world):
        await refused(world, TP(TOPIC, 1))
        assert not world.shards.held and not world.store.keys()

    (error,) = play(steps).ends
    assert isinstance(error, Mend) and "it had 1 partitions" in str(error) and "--rebuild-from" in str(error)


def test_committed_offsets_without_a_checkpoint_are_refused():
    async def steps(world):
        world.log.committed_offset = 7
        await refused(world)

    (error,) = play(steps).ends
    assert isinstance(error, Mend) and "--rebuild-from" in str(error)


def test_a_new_group_begins_at_the_beginning_of_the_log():
    async def steps(world):
        world.log.low = 40
        world.marks = await world.shards.marks({HERE})

    assert play(steps).marks == {HERE: 40}


def test_a_store_that_is_away_at_the_assignment_is_waited_for_and_said():
    async def steps(world):
        world.store.away = True
        task = asyncio.ensure_future(world.shards.marks({HERE}))
        await asyncio.sleep(0.05)
        world.said = world.shards.waiting_for
        world.store.away = False
        world.marks = await asyncio.wait_for(task, 5)

    world = play(steps)
    assert "store is away" in world.said and world.marks == {HERE: 0} and world.shards.waiting_for == ""


def test_without_partitions_the_worker_says_so():
    async def steps(world):
        await world.shards.marks(set())

    assert play(steps).shards.waiting_for == "no partition is assigned"


# --- the log's clock


class Waiting(Counting):
    idled = ()

    def idle(self, high_water, fetch_started):
        self.idled = (*self.idled, fetch_started)


def idled(now, started):
    async def steps(world):
        shards = Shards(
            world.store, world.log, world.metrics, stage_of=lambda topic: "detect", make=Waiting, ended=world.ends.append,
            cluster_id="c", partition_counts={TOPIC: 1}, unacknowledged_records=100, points=CrashPoints(), log_now=lambda: now,
        )  # fmt: skip
        shards.transport, shards.generation = world.log, lambda: 1
        await shards.marks({HERE})
        shards.idle(HERE, 0, started)
        world.idled = shards.held[HERE].idled

    return play(steps).idled


def test_an_empty_fetch_is_told_by_the_log_s_clock():
    (told,) = idled(1_700_000_000_000, wall_ms() - 40)
    assert 1_700_000_000_000 - 30_000 < told <= 1_700_000_000_000 - 40


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_clock_that_is_stepped_moves_no_silence_forward(step_s):
    (told,) = idled(1_700_000_000_000, wall_ms() - step_s * 1000)
    assert 1_700_000_000_000 - 60_000 <= told <= 1_700_000_000_000


def test_before_the_first_heartbeat_no_time_passes():
    assert idled(None, wall_ms()) == ()

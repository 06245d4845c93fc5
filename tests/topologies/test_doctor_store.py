"""The doctor asks a store twice before it calls it away: partitions that were just made may have no leader yet."""

import pytest

from topologies import doctor
from topologies.checkpoints import FORMAT, Checkpoint, CheckpointStore, MemoryStore, ShardKey, StoreAway, encode
from topologies.checkpoints.format import writer
from topologies.checkpoints.upgrades import OLDEST
from topologies.settings import Settings


class Hesitant(MemoryStore):
    """Away for the first so many questions."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.hesitates = times

    def keys(self) -> list[ShardKey]:
        self.hesitates -= 1
        if self.hesitates >= 0:
            raise StoreAway("no leader")
        return super().keys()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_AGAIN_S", 0.0)


def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    store: CheckpointStore = Hesitant(times=1)
    assert doctor._asked_twice(store) == []


def test_a_store_that_stays_away_is_away() -> None:
    with pytest.raises(StoreAway, match="no leader"):
        doctor._asked_twice(Hesitant(times=2))


# --- what is held


def opened(monkeypatch: pytest.MonkeyPatch, store: MemoryStore, **settings: int) -> list[tuple[str, str]]:
    monkeypatch.setattr("topologies.worker.store_of", lambda _: store)
    return [(one.state, one.text) for one in doctor._held(Settings(**settings), "the store")]


def held(store: MemoryStore, partition: int, number: int = FORMAT) -> None:
    key = ShardKey("detect", "city.sensor.readings", partition)
    store.write_bytes(key, 1, 5, encode(Checkpoint(key, "c", 4, 1, 5, {}), number))


def test_the_doctor_says_who_wrote_the_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    held(store, 0)
    held(store, 1, OLDEST)
    held(store, 2, OLDEST)
    ((state, text),) = opened(monkeypatch, store)
    assert state == "ok" and f"checkpoints of 3 shards, written by {writer()} (1), format 1 (2)" in text
    assert text.endswith(f"workers here write format {FORMAT}")


def test_an_upgrade_that_is_not_finished_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(monkeypatch, MemoryStore(), checkpoint_format=FORMAT - 1)
    assert [state for state, _ in found] == ["ok", "warning"] and "leave checkpoint_format out" in found[1][1]


def test_a_checkpoint_that_cannot_be_read_is_a_fault_and_the_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    held(store, 0)
    store.write_bytes(ShardKey("detect", "city.sensor.readings", 1), 1, 5, b"something else")
    found = opened(monkeypatch, store)
    assert [state for state, _ in found] == ["ok", "fault"]
    assert "checkpoints of 1 shards" in found[0][1] and "city.sensor.readings/1" in found[1][1]

"""The doctor asks a store twice before it calls it away: partitions that were just made may have no leader yet."""

import pytest

from topologies import doctor
from topologies.checkpoints import CheckpointStore, MemoryStore, ShardKey, StoreAway


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

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from replay.merge import Merge
from replay.recording import Manifest
from streams.batch import RawBatch
from streams.records import Asset


class Lists:
    """A recording of arrivals only."""

    def __init__(self, partitions: list[list[int]]) -> None:
        self.path, self.manifest, self._partitions = Path("lists"), Manifest(), partitions

    def partitions(self) -> list[tuple[str, int]]:
        return [("t", number) for number in range(len(self._partitions))]

    def read(self, topic: str, partition: int, rows: int = 8192):  # type: ignore[no-untyped-def]
        arrivals = self._partitions[partition]
        for start in range(0, len(arrivals), rows):
            piece = arrivals[start : start + rows]
            n = len(piece)
            yield RawBatch(topic, partition, list(range(start, start + n)), piece, [b""] * n, [None] * n)

    def registry(self) -> list[Asset]:
        return []


def windows(partitions: list[list[int]], rows: int, until: int = 0) -> list[tuple[int, dict[int, list[int]]]]:
    recording = Lists(partitions)
    merge = Merge(recording, recording.partitions(), rows)
    found, last = [], False
    while not last:
        window = merge.window(until)
        last = window.last
        taken = {home[1]: [offset for one in batches for offset in one.offsets] for home, batches in window.rows.items()}
        found.append((window.horizon, taken))
    return found


@given(st.lists(st.lists(st.integers(1, 40), max_size=30), min_size=1, max_size=4), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_windows_hold_every_row_once_in_the_order_of_its_log(partitions: list[list[int]], rows: int) -> None:
    taken: dict[int, list[int]] = {number: [] for number in range(len(partitions))}
    for _, window in windows(partitions, rows):
        for number, offsets in window.items():
            taken[number] += offsets
    assert taken == {number: list(range(len(arrivals))) for number, arrivals in enumerate(partitions)}


@given(st.lists(st.lists(st.integers(1, 40), max_size=30), min_size=1, max_size=4), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_no_row_comes_after_the_horizon_that_covers_its_clock(partitions: list[list[int]], rows: int) -> None:
    before = 0
    for horizon, window in windows(partitions, rows):
        for number, offsets in window.items():
            clocks = [max(partitions[number][: offset + 1]) for offset in offsets]
            assert all(before < clock <= horizon for clock in clocks)
        before = horizon


def test_the_last_window_goes_on_until_the_recording_is_known() -> None:
    assert windows([[1, 2, 3]], 8, until=99)[-1][0] == 99


def test_an_empty_recording_has_one_window() -> None:
    assert windows([[]], 8, until=5) == [(5, {})]


def test_a_window_stops_before_a_change_of_the_registry() -> None:
    recording = Lists([[1, 2, 3, 4]])
    merge = Merge(recording, recording.partitions())
    assert merge.window(0, stop_before=3).horizon == 2
    assert merge.first == 3

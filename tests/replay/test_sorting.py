from hypothesis import given, settings
from hypothesis import strategies as st

import replay.sorting
from replay.sorting import ArrivalSort


def in_order(arrivals: list[int], run_rows: int) -> list[tuple[int, bytes | None]]:
    with ArrivalSort("t", 0, run_rows=run_rows) as sort:
        for i, arrival in enumerate(arrivals):
            sort.add(arrival, None, None, b"%d" % i)
        return [pair for batch, _ in sort.sorted() for pair in zip(batch.arrivals, batch.values, strict=True)]


def expected(arrivals: list[int]) -> list[tuple[int, bytes | None]]:
    return sorted(((arrival, b"%d" % i) for i, arrival in enumerate(arrivals)), key=lambda pair: pair[0])


@given(st.lists(st.integers(0, 30), max_size=200), st.sampled_from([1, 3, 7, 1000]), st.sampled_from([2, 5, 64]))
@settings(max_examples=60, deadline=None)
def test_any_order_comes_back_sorted_and_stable(arrivals: list[int], run_rows: int, chunk: int) -> None:
    before = replay.sorting.CHUNK_ROWS
    replay.sorting.CHUNK_ROWS = chunk
    try:
        assert in_order(arrivals, run_rows) == expected(arrivals)
    finally:
        replay.sorting.CHUNK_ROWS = before


def test_offsets_count_from_zero_without_a_gap() -> None:
    with ArrivalSort("t", 0, run_rows=4) as sort:
        for i in range(11):
            sort.add(100 - i, None, None, b"")
        assert [offset for batch, _ in sort.sorted() for offset in batch.offsets] == list(range(11))


def test_it_can_be_read_twice() -> None:
    with ArrivalSort("t", 0) as sort:
        sort.add(2, None, None, b"b")
        sort.add(1, None, None, b"a")
        once, twice = ([batch.values for batch, _ in sort.sorted()] for _ in range(2))
    assert once == twice == [[b"a", b"b"]]

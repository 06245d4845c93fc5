from __future__ import annotations

from dataclasses import dataclass

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.transport_offsets import InFlight, LogPositions

P0, P1 = TP("t", 0), TP("t", 1)


@dataclass
class Batch:
    offset: int
    acked: bool = False


def in_flight(*offsets: int) -> tuple[InFlight, list[Batch]]:
    books, batches = InFlight(), [Batch(offset) for offset in offsets]
    for batch in batches:
        books.add(P0, batch)
    return books, batches


def test_nothing_acknowledged_commits_nothing():
    books, _ = in_flight(9, 19)
    assert books.next_offset(P0) is None


def test_the_acknowledged_prefix_gives_the_next_offset():
    books, batches = in_flight(9, 19, 29)
    batches[0].acked = batches[1].acked = True
    assert books.next_offset(P0) == 20


def test_an_acknowledgement_behind_a_pending_batch_waits():
    # The case of faust-streaming #606: 5 and 9 acknowledged with 8 pending committed 10 there.
    books, batches = in_flight(5, 8, 9)
    batches[0].acked = batches[2].acked = True
    assert books.next_offset(P0) == 6


def test_the_last_answer_is_remembered_until_more_is_acknowledged():
    books, batches = in_flight(9, 19)
    batches[0].acked = True
    assert (books.next_offset(P0), books.next_offset(P0)) == (10, 10)


def test_an_acknowledgement_from_before_a_seek_counts_for_nothing():
    books, batches = in_flight(9)
    books.reset(P0)
    batches[0].acked = True
    assert books.next_offset(P0) is None


def test_partitions_do_not_wait_for_each_other():
    books, _ = in_flight(9)
    other = Batch(4, acked=True)
    books.add(P1, other)
    assert (books.next_offset(P0), books.next_offset(P1), books.acknowledged()) == (None, 5, [P1])


def test_pending_counts_what_is_not_acknowledged():
    books, batches = in_flight(9, 19, 29)
    batches[1].acked = True
    assert (books.pending(P0), books.pending_total()) == (2, 2)


@given(st.lists(st.booleans(), max_size=30), st.data())
def test_never_past_a_batch_that_is_not_acknowledged(acks, data):
    books, batches = in_flight(*range(len(acks)))
    for n in data.draw(st.permutations(range(len(acks)))):
        batches[n].acked = acks[n]
        committed = books.next_offset(P0) or 0
        assert all(batch.acked for batch in batches[:committed])


@given(st.permutations(range(12)))
def test_everything_acknowledged_in_any_order_commits_everything(order):
    books, batches = in_flight(*range(12))
    for n in order:
        batches[n].acked = True
    assert books.next_offset(P0) == 12


def test_records_that_follow_one_another_leave_nothing_missing():
    positions = LogPositions()
    positions.sought(P0, 0)
    assert (positions.read(P0, 0, 10), positions.read(P0, 10, 20), positions.missing.total()) == (0, 0, 0)


def test_a_log_that_goes_on_further_behind_misses_what_lies_between():
    positions = LogPositions()
    positions.sought(P0, 10)
    assert (positions.read(P0, 25, 30), positions.missing["t"]) == (15, 15)


def test_holes_of_a_compacted_topic_are_no_loss():
    positions = LogPositions()
    positions.sought(P0, 10)
    assert (positions.read(P0, 25, 30, holes_allowed=True), positions.missing.total()) == (0, 0)


def test_a_log_that_began_anew_misses_nothing_that_could_be_counted():
    positions = LogPositions()
    positions.sought(P0, 1_000)
    assert (positions.read(P0, 0, 5), positions.expected[P0]) == (0, 5)


def test_the_first_offset_of_an_assignment_stays():
    positions = LogPositions()
    positions.began(P0, 7)
    positions.read(P0, 7, 9)
    positions.began(P0, 9)
    assert positions.first[P0] == 7


def test_what_was_missing_outlives_the_assignment():
    positions = LogPositions()
    positions.sought(P0, 0)
    positions.read(P0, 3, 4)
    positions.forget()
    assert (positions.missing["t"], positions.first, positions.expected) == (3, {}, {})


def test_where_reading_begins_everything_before_has_been_taken():
    positions = LogPositions()
    positions.began(P0, 7)
    assert positions.taken[P0] == 7
    positions.sought(P0, 3)
    assert positions.taken[P0] == 3

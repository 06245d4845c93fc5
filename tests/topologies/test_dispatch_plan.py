from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.dispatch_plan import Calendar, day_name, handle_by


def at(text: str) -> int:
    return round(datetime.fromisoformat(text + "+08:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("words", "start", "due"),
    [
        ("2uh", "2023-11-17 23:30", "2023-11-18 01:30"),
        ("1ud", "2023-11-17 10:00", "2023-11-18 10:00"),
        ("24 h", "2023-11-17 10:00", "2023-11-18 10:00"),
        ("4wh", "2023-11-13 09:00", "2023-11-13 15:00"),
        ("4wh", "2023-11-13 12:30", "2023-11-13 18:00"),
        ("4wh", "2023-11-17 17:00", "2023-11-20 11:00"),
        ("1wh", "2023-11-18 10:00", "2023-11-20 09:00"),
        ("5wd", "2023-11-13 08:00", "2023-11-17 18:00"),
        ("5wd", "2023-11-15 10:00", "2023-11-22 10:00"),
        ("1wd", "2023-11-13 20:00", "2023-11-14 18:00"),
    ],
)
def test_words_of_a_rule_become_a_time_in_the_working_calendar(words: str, start: str, due: str) -> None:
    assert handle_by(words, at(start), Calendar()) == at(due)


def test_holidays_are_not_worked_and_exchanged_weekends_are() -> None:
    calendar = Calendar(holidays=frozenset({"2023-10-06"}), worked=frozenset({"2023-10-07"}))
    assert handle_by("4wh", at("2023-10-05 17:00"), calendar) == at("2023-10-07 11:00")


@pytest.mark.parametrize("words", ["plan", "–", "", "wd", "-2uh", "9999999wd", "2 weeks"])
def test_words_without_a_time_give_no_deadline(words: str) -> None:
    assert handle_by(words, at("2023-11-13 09:00"), Calendar()) == 0


def test_a_calendar_without_work_gives_no_deadline() -> None:
    assert handle_by("1wd", at("2023-11-13 09:00"), Calendar(slots=())) == 0


@given(st.integers(-(2**63), 2**63), st.sampled_from(["2uh", "4wh", "5wd"]))
def test_no_start_raises(start: int, words: str) -> None:
    assert handle_by(words, start, Calendar()) >= 0
    assert len(day_name(start)) == 8


@given(st.integers(1_600_000_000_000, 1_800_000_000_000), st.integers(1, 40), st.integers(1, 40))
def test_more_working_hours_are_never_due_earlier(start: int, some: int, more: int) -> None:
    assert start < handle_by(f"{some}wh", start, Calendar()) <= handle_by(f"{some + more}wh", start, Calendar())

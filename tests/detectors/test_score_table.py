from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.group_scoring import scorer_of
from detectors.score_table import Report, ScoredTable, TableOptions
from streams.errors import Mend


def score(text: str, detector: str | None = None, **options: Any) -> tuple[list[dict[str, str]], Report]:
    table = ScoredTable(TableOptions("t.csv", **options), lambda columns: scorer_of(columns, detector))
    out = list(table.lines(io.StringIO(text)))
    delimiter = ";" if ";" in out[0] else ","
    return list(csv.DictReader(out, delimiter=delimiter)), table.report


def series(count: int = 120, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [f"2024-05-{1 + i // 24:02d} {i % 24:02d}:00:00,{10 + rng.gauss(0, 1):.3f}" for i in range(count)]


def table(rows: Sequence[str], header: str = "timestamp,value") -> str:
    return "\n".join([header, *rows]) + "\n"


def test_every_row_keeps_its_cells_and_gets_a_score_and_a_flag() -> None:
    rows = [*series(), "2024-05-08 00:00:00,99"]
    told, report = score(table(rows))
    assert [f"{row['timestamp']},{row['value']}" for row in told] == rows
    assert told[-1]["flag"] == "1" and float(told[-1]["anomaly_score"]) >= 0.5
    assert {row["flag"] for row in told[:-1]} == {"0"} and (report.rows, report.scored, report.flagged) == (121, 121, 1)


def test_rows_that_cannot_be_read_keep_their_place_and_are_counted_with_the_reason() -> None:
    rows = series(6)
    broken = ["2024-05-09 00:00:00,", "2024-05-09 00:00:00,abc", ",5", "soon,5", "2024-05-09 00:00:00", "2024-05-09,1,2"]
    told, report = score(table([*rows, *broken, *rows]))
    assert [row["anomaly_score"] == "" for row in told] == [False] * 6 + [True] * 6 + [False] * 6
    assert dict(report.unread) == {
        "no value": 1,
        "value that is no number": 1,
        "no time": 1,
        "time that cannot be read": 1,
        "too few cells": 1,
        "more than 2 cells": 1,
    }
    assert report.first["no value"] == 8


def test_an_unreadable_row_changes_no_other_score() -> None:
    rows = series(200)
    told, _ = score(table([*rows[:100], "broken", "2024-05-05 05:00:00,inf", *rows[100:]]))
    plain, _ = score(table(rows))
    assert [row for row in told if row["anomaly_score"]] == plain


@given(cut=st.integers(2, 150), seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_what_is_said_of_a_row_does_not_depend_on_the_rows_after_it(cut: int, seed: int) -> None:
    rows = series(150, seed)
    assert score(table(rows[:cut]))[0] == score(table(rows))[0][:cut]


def test_each_line_is_answered_before_the_next_is_asked_for() -> None:
    asked = []

    def lines():
        for i, line in enumerate(table(series(5)).splitlines(keepends=True)):
            asked.append(i)
            yield line

    told = ScoredTable(TableOptions("-"), lambda columns: scorer_of(columns)).lines(lines())
    next(told)
    for i in range(1, 6):
        next(told)
        assert asked[-1] == i


@pytest.mark.parametrize(
    ("text", "time", "value"),
    [
        ("time;flow\n2024-05-01 08:00;2,5\n", "time", "flow"),
        ("value,when\n7,2024-05-01 08:00\n", "when", "value"),
        ("id,ts,anomaly,temp\n1,1714550400,0,7\n", "ts", "temp"),
        ("site,lat,at,depth\nA,31.8,1714550400000,7\n", "at", "depth"),
        (",date,x\n0,2024-05-01,7\n", "date", "x"),
        ("Date;Time;CO(GT)\n10/03/2004;18.00.00;2,6\n", "Date", "CO(GT)"),
        ("year,month,day,hour,PM2.5\n2013,3,1,7,9\n", "year", "PM2.5"),
        ("t,y\n0,5\n1,6\n", "t", "y"),
        ("timestamp,other,value\n2024-05-01 08:00,3,\n2024-05-01 09:00,3,4\n", "timestamp", "value"),
    ],
)
def test_time_and_value_are_found_by_what_they_hold(text: str, time: str, value: str) -> None:
    seen: list[str] = []

    def make(columns: Sequence[str]):
        seen.extend(columns)
        return scorer_of(columns)

    scored = ScoredTable(TableOptions("t.csv"), make)
    list(scored.lines(io.StringIO(text)))
    assert seen == [value] and scored.report.scored >= 1


def test_a_table_without_a_header_gets_one() -> None:
    told, _ = score("2024-05-01 08:00,5\n2024-05-01 09:00,6\n")
    assert list(told[0]) == ["column1", "column2", "anomaly_score", "flag"] and len(told) == 2


def test_columns_are_named_by_name_or_place() -> None:
    text = "a;b;c\n2024-05-01 08:00;1;2\n"
    assert score(text, time=["a"], value=["c"])[1].scored == score(text, time=["1"], value=["3"])[1].scored == 1


def test_date_and_time_of_day_are_joined_where_both_are_named() -> None:
    _, report = score("d,n,h,v\n2024-05-01,x,08:00,1\n", time=["d", "h"], value=["v"])
    assert report.scored == 1


def test_a_name_that_is_taken_is_kept_and_the_new_column_is_numbered() -> None:
    told, report = score(table(["2024-05-01 08:00,5,old"], "timestamp,value,flag"))
    assert told[0]["flag"] == "old" and told[0]["flag_2"] == "0" and "flag_2" in report.notes[0]


def test_several_values_are_one_group_and_say_who_carries_it() -> None:
    rows = [f"{i},{i % 7},{i % 5}" for i in range(1_714_550_400, 1_714_550_500)]
    told, _ = score(table(rows, "ts,a,b"), "river_model", value=["a", "b"])
    assert list(told[0]) == ["ts", "a", "b", "anomaly_score", "flag", "carriers", "changepoint"]


def test_older_rows_are_told() -> None:
    rows = series(30)
    _, report = score(table([*rows, rows[3]]))
    assert "1 rows were older" in report.notes[0] and report.scored == 31


def test_blank_lines_are_no_rows_and_a_carriage_return_is_no_cell() -> None:
    told, report = score("timestamp,value\r\n\r\n2024-05-01 08:00,5\r\n\r\n")
    assert len(told) == 1 and report.rows == 1 and told[0]["flag"] == "0"


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "t.csv: is empty; "),
        ("timestamp,value\n", {}, "has no rows"),
        ("a,b\nx,5\n", {}, "t.csv: no column of a, b holds a time; name it with --time"),
        ("a,b\n2024-05-01,x\n", {}, "holds a number beside the time; name it with --value"),
        ("a,b\n2024-05-01,5\n", {"value": ["c"]}, "t.csv: line 1: no column 'c'; --value"),
        ("a,pressure\n2024-05-01,5\n", {"value": ["presure"]}, "did you mean 'pressure'"),
        ("a,b\n2024-05-01,5\n", {"value": ["b", "b"]}, "the same column twice"),
        ("a,b\nx,5\n", {"time": ["a"], "value": ["b"]}, "no row could be read"),
        ("a,b\n01/05/2024,5\n05/13/2024,5\n", {}, "t.csv: line 3: '05/13/2024' has no month 13.*--month-first"),
        ("\0a\0,\0b\n", {}, "UTF-8"),
    ],
)
def test_what_is_no_table_is_one_line_with_file_place_and_mend(text: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Mend, match=sentence) as error:
        score(text, **options)
    assert "\n" not in str(error.value)


@given(st.lists(st.text(max_size=20), max_size=30))
@settings(deadline=None)
def test_no_text_raises_anything_but_a_sentence(lines: list[str]) -> None:
    text = "timestamp,value\n2024-05-01 08:00,5\n" + "\n".join(lines)
    try:
        told, report = score(text)
    except Mend as error:
        assert "month" in str(error)
    else:
        assert len(told) == report.rows == report.scored + sum(report.unread.values())


@pytest.mark.parametrize("detector", [None, "robust_z", "change_point"])
@pytest.mark.parametrize("at_once", [7, 1000])
def test_rows_scored_together_are_told_as_row_by_row(detector: str | None, at_once: int) -> None:
    rows = series(300)
    rows[20:20] = ["broken", "2024-05-01 20:30:00,", rows[3]]
    rows[150] = rows[150].split(",")[0] + ",99"
    alone, together = (score(table(rows), detector, at_once=n, train_rows=25) for n in (1, at_once))
    assert together == alone


def test_what_stands_before_a_time_that_cannot_be_is_told_also_where_rows_are_scored_together() -> None:
    text = table(["01/02/2024 08:00,5", "01/02/2024 09:00,6", "05/13/2024 08:00,7"])
    told = ScoredTable(TableOptions("t.csv", at_once=100), scorer_of).lines(io.StringIO(text))
    assert [next(told).split(",")[0] for _ in range(3)] == ["timestamp", "01/02/2024 08:00", "01/02/2024 09:00"]
    with pytest.raises(Mend):
        next(told)

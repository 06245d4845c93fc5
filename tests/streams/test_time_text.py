from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import Mend
from streams.time_text import TimeText

#: 2024-05-01 08:00:00 UTC.
AT = 1_714_550_400_000


@pytest.mark.parametrize(
    "text",
    [
        "1714550400",
        "1714550400.0",
        "1.7145504e9",
        "1714550400000",
        "1714550400000000",
        "1714550400000000000",
        "2024-05-01T08:00:00Z",
        "2024-05-01T16:00:00+08:00",
        "2024-05-01 08:00:00",
        "2024-05-01 08:00",
        " 2024-05-01 08:00:00.000 ",
        "20240501T080000Z",
        "20240501080000",
        "2024/05/01 08:00:00",
        "2024/5/1 8:00",
        "01/05/2024 08:00:00",
        "1/5/2024 8:00",
        "01/05/2024 8:00 AM",
        "01.05.2024 08:00",
        "01-05-2024 08:00:00",
        "01/05/2024 08.00.00",
    ],
)
def test_one_moment_is_read_from_every_form_of_it(text: str) -> None:
    assert TimeText().read(text) == AT


@pytest.mark.parametrize(
    "text", ["", "yesterday", "01/05/24", "31/02/2024", "2024-13-01", "12:30", "nan", "1e300", "13/14/2024"]
)
def test_what_is_no_time_is_none_and_raises_nothing(text: str) -> None:
    assert TimeText().read(text) is None


def test_the_afternoon_is_twelve_hours_later() -> None:
    assert TimeText().read("01/05/2024 08:00:00 pm") == AT + 12 * 3_600_000
    assert TimeText().read("01/05/2024 12:00 AM") == AT - 8 * 3_600_000


def test_milliseconds_are_kept() -> None:
    assert TimeText().read("2024-05-01T08:00:00.257") == AT + 257
    assert TimeText().read("01/05/2024 08:00:00.257") == AT + 257
    assert TimeText().read("1714550400.257") == AT + 257


def test_a_date_that_can_only_be_month_first_ends_the_reading_with_the_mend() -> None:
    with pytest.raises(Mend, match="--month-first"):
        TimeText().read("05/13/2024")


def test_after_a_date_that_can_only_be_day_first_it_is_a_mistake_of_its_row() -> None:
    clock = TimeText()
    assert clock.read("13/05/2024") is not None
    assert clock.read("05/13/2024") is None


def test_month_first_reads_the_other_order() -> None:
    assert TimeText(month_first=True).read("05/01/2024 08:00") == AT


@given(st.datetimes(datetime(1973, 6, 1), datetime(2099, 1, 1)))
def test_forms_of_a_time_agree(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    forms = ("%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d/%m/%Y %I:%M:%S %p")
    read = [TimeText().read(moment.strftime(form)) if moment.day > 12 or "/%m" not in form else expected for form in forms]
    assert read == [expected] * len(forms)
    assert TimeText().read(str(expected // 1000)) == TimeText().read(str(expected)) == expected


@given(st.text())
def test_no_text_raises_but_a_date_in_the_other_order(text: str) -> None:
    try:
        read = TimeText().read(text)
    except Mend as error:
        assert "month" in str(error)
    else:
        assert read is None or isinstance(read, int)

"""The job that citywatch is measured by: written row by row, written in columns, and as the detect stage does it."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import job
from benchmarks.job_columns import Sensors
from benchmarks.readings import START, readings
from benchmarks.throughput import agree, expected

RULES = job.THRESHOLD_RULE, job.Z_RULE, job.STUCK_RULE, job.SILENCE_RULE
rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(-2, 400).map(lambda second: START + second * 1000),
        st.sampled_from([1.0, 1.1, 1.2, 25.0, float("nan")]),
        st.sampled_from([None, "%LEL", "ppm"]),
        st.sampled_from([None, "good", "bad"]),
        # Until it arrives, behind the one before.
        st.sampled_from([0, 0, 500, 1_000, 31_000, 100_000]),
    ),
    max_size=300,
)


def row_by_row(read: list[tuple[job.Reading, int]]) -> Counter[str]:
    """With the silences that have fallen due by the end, which row by row nobody would tell."""
    found, states = Counter[str](), {}
    for reading, arrival in read:
        if not job.fits(reading, arrival):
            found["refused"] += 1
            continue
        raised = job.step(states.setdefault(reading.sensor_id, job.fresh()), reading.ts, reading.value, arrival)
        found["processed"] += raised is not None
        for rule, at in raised or ():
            job.tell(found, rule, reading.sensor_id, at)
    for name, (*_, heard) in states.items():
        if heard and job.due(heard) <= read[-1][1]:
            job.tell(found, job.SILENCE_RULE, name, job.due(heard))
    return found


def in_columns(read: list[tuple[job.Reading, int]], size: int) -> Counter[str]:
    sensors = Sensors(Counter())
    for start in range(0, len(read), size):
        part = read[start : start + size]
        sensors.take([reading for reading, _ in part], [arrival for _, arrival in part])
    return sensors.found


@given(rows, st.integers(1, 70))
def test_rows_and_columns_find_the_same_in_any_readings_cut_anyhow(some, size):
    arrivals = accumulate((step for *_, step in some), initial=START)
    read = [
        (job.Reading(name, ts, "ch4", value, unit, quality), at)
        for (name, ts, value, unit, quality, _), at in zip(some, list(arrivals)[1:], strict=True)
    ]
    assert +in_columns(read, size) == +row_by_row(read)


def test_the_detect_stage_raises_the_same_alarms_in_the_readings_of_the_benchmark():
    read = [(job.decode(value), arrival) for _, value, arrival in readings(60_000, 300)]
    wanted, standing = expected(60_000, 300)
    alerts = job.alerts(wanted)
    assert alerts["processed"] == 60_000
    assert min(alerts[f"{rule} raised"] for rule in RULES) > 5
    assert job.alerts(row_by_row(read)) == alerts
    assert job.alerts(in_columns(read, 4_000)) == alerts
    assert standing[f"{job.SILENCE_RULE} raised"] < 5


def test_whoever_has_no_timers_is_asked_for_the_silences_that_ended():
    wanted, standing = Counter({"bench-silence raised": 2, "alerts": 9}), Counter({"bench-silence raised": 1, "alerts": 4})
    told = Counter({"bench-silence raised": 1, "alerts": 5})
    agree("bytewax", told, wanted, standing)
    with pytest.raises(RuntimeError, match="hand_loop found"):
        agree("hand_loop", told, wanted, standing)


def test_a_contender_that_misses_an_alarm_fails_the_run():
    wanted = Counter({"bench-z raised": 2, "alerts": 9, "processed": 5})
    with pytest.raises(RuntimeError, match="hand_loop found"):
        agree("hand_loop", Counter({"bench-z raised": 1, "alerts": 4, "processed": 5}), wanted, Counter())
    agree("hand_loop", wanted + Counter({"refused": 1}), wanted, Counter())

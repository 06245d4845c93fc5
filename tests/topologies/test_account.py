"""The account in progress records: it adds up to the rows before its place, wherever batches were cut (law 8)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.records import Control
from streams.registry import Registry
from topologies.account import OUTCOMES
from topologies.audit import rows_of
from topologies.detect import DetectStage

START = 1_751_241_600_000
BOOK = RuleBook.of([RuleBook.default()["gas-methane-well"]], RuleBook.default().families)


def reading(ts: int, value: float = 1.0, sensor: str = "S-1", **more: Any) -> dict[str, Any]:
    return {"sensor_id": sensor, "metric": "ch4", "unit": "%LEL", "value": value, "ts": ts, **more}


#: What a record is made of, given its arrival: good, repeated, late, unreadable, unbelievable, an array of both.
KINDS = (
    lambda now: orjson.dumps(reading(now)),
    lambda now: orjson.dumps(reading(START, sensor="S-2", seq=7)),
    lambda now: orjson.dumps(reading(now - 20_000)),
    lambda now: b'{"sensor_id": "S-1", "ts"',
    lambda now: None,
    lambda now: orjson.dumps(reading(now + 86_400_000)),
    lambda now: orjson.dumps([reading(now, sensor="A-1"), reading(now, sensor="A-2", unit="parsec"), {"sensor_id": 7}]),
    lambda now: b"[]",
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[tuple[int, bytes | None]], list[int]]:
    now, rows = START, []
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([0, 10, 900, 4_000, 5_000, 31_000]))
        rows.append((now, KINDS[draw(st.integers(0, len(KINDS) - 1))](now)))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(rows) - 1)), max_size=6)))
    return rows, [cut for cut in cuts if cut < len(rows)]


def accounts(
    rows: list[tuple[int, bytes | None]], cuts: list[int], restart: bool = False
) -> tuple[list[tuple[int, int, dict[str, int]]], Counter[str]]:
    """(offset, tick, outcomes) of every progress record, and the outcomes of all calls together."""
    topic = "city.sensor.readings"
    stage = DetectStage(topic, 0, BOOK, Registry())
    found: list[tuple[int, int, dict[str, int]]] = []
    total: Counter[str] = Counter()
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        part = rows[start:stop]
        arrivals, values = [arrival for arrival, _ in part], [value for _, value in part]
        detected = stage.process(RawBatch(topic, 0, list(range(start, stop)), arrivals, values, [None] * len(part)))
        total.update(detected.outcomes)
        for told in detected.signals:
            if isinstance(told, Control) and told.control == "tick":
                assert told.outcomes is not None
                found.append((told.source.offset, told.source.tick, told.outcomes))
        if restart:
            stage = DetectStage.restore(topic, 0, BOOK, Registry(), None, stage.snapshot())
    (last,) = [one for one in stage.idle(rows[-1][0] + 5_000, len(rows)).signals if isinstance(one, Control)]
    assert last.outcomes is not None
    found.append((last.source.offset, last.source.tick, last.outcomes))
    return found, total


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs())
def test_every_account_adds_up_to_the_rows_before_its_place(log: tuple[list[tuple[int, bytes | None]], list[int]]) -> None:
    rows, cuts = log
    for offset, _, outcomes in accounts(rows, cuts)[0]:
        assert sum(outcomes.values()) == sum(rows_of(value) for _, value in rows[:offset])
        assert min(outcomes.values()) >= 0 and tuple(outcomes) == OUTCOMES


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs())
def test_the_last_account_is_the_sum_of_what_every_call_said(log: tuple[list[tuple[int, bytes | None]], list[int]]) -> None:
    rows, cuts = log
    found, total = accounts(rows, cuts)
    assert +Counter(found[-1][2]) == +total


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs())
def test_cutting_and_restarting_change_no_account(log: tuple[list[tuple[int, bytes | None]], list[int]]) -> None:
    rows, cuts = log
    assert accounts(rows, [])[0] == accounts(rows, cuts, restart=True)[0]

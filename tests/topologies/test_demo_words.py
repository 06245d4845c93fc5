"""The last lines of ``citywatch demo``: what became of every record, in words."""

from typing import Any

import pytest

from topologies.demo import _tell


def summary(records: int, **outcomes: int) -> dict[str, Any]:
    return {
        "records": records,
        "outcomes": outcomes,
        "signals": 4,
        "incidents": 2,
        "by_level": {"2": 1, "3": 1, "4": 0},
        "by_stream": {"sensor": 2},
        "injected": 2,
        "found": 2,
        "false": 0,
        "alert_latency_ms": {"p50": 31.2, "p99": 80.0},
    }


def test_records_under_way_when_it_ended_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    _tell(summary(1_200, processed=1_000, late=3), playback=False)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1,200 records: 1,000 processed, 3 late; 197 were not accounted for yet when the demo ended",
        "4 signals, 2 incidents (1 of level 2, 1 of level 3; 2 sensor)",
        "2 hazards injected, 2 found, 0 false incidents",
        "arrival to subscriber: median 31 ms, 99 % within 80 ms",
    ]


def test_where_all_are_accounted_for_nothing_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    _tell(summary(1_000, processed=990, dead_letter=10), playback=True)
    assert capsys.readouterr().out.splitlines()[1] == "1,000 records: 990 processed, 10 dead_letter"

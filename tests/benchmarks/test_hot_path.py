"""The profile's samples: each belongs to the part of the way that its innermost known frame stands in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import hot_path
from benchmarks.hot_path import OTHER, PARTS, START, part_of, samples, table

LOOP = "main (benchmarks/contender.py:307);BaseEventLoop.run_forever (asyncio/base_events.py:607)"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("frames", "part"),
    [
        ("DetectStage.process (topologies/detect.py:1);scan (streams/scan.py:3)", "JSON into columns"),
        ("DetectStage.process (topologies/detect.py:1)", "stage: clock, progress, account"),
        ("RuleRunner._said (topologies/rule_runner.py:1);Alarm.run (detectors/alarm.py:2);f (numpy/x.py:3)", "alarms"),
        ("RobustZ.measure (detectors/robust_z.py:1);fetch (streams/slot_memory.py:2)", "memory fetched for detectors and gate"),
        ("citywatch (benchmarks/contender.py:40);compile_loops (detectors/warm.py:2)", START),
        ("citywatch.<locals>.detect (benchmarks/contender.py:64);DetectStage.process (topologies/detect.py:1)",
         "stage: clock, progress, account"),
        ("Unusual._looped (detectors/unusual.py:94);_Loop.__call__ (streams/compiled.py:71)", "detectors"),
        ("EpollSelector.select (selectors.py:468)", "Faust and event loops"),
    ],
)  # fmt: skip
def test_a_sample_counts_where_it_was_taken(frames: str, part: str) -> None:
    assert part_of(f"{LOOP};{frames}") == part


def test_what_nobody_knows_is_other() -> None:
    assert part_of("f (somewhere/else.py:1)") == OTHER


def test_samples_are_counted_by_part_and_the_start_is_left_out() -> None:
    text = f"{LOOP};a (streams/scan.py:1) 30\n{LOOP};b (streams/scan.py:9) 10\n{LOOP};citywatch (benchmarks/contender.py:1) 7\n"
    found = samples(text + f"{LOOP};c (topologies/detect.py:4) 10\n")
    assert found == Counter({"JSON into columns": 40, "stage: clock, progress, account": 10, START: 7})
    shown = table(found, {"processor": 1.0, "timed": 1_000_000}, "four")
    assert shown.rows == [["JSON into columns", "80.0%", "800"], ["stage: clock, progress, account", "20.0%", "200"]]


def test_every_part_names_files_that_are_there() -> None:
    ours = [
        one
        for beginnings in PARTS.values()
        for one in beginnings
        if one.split("/")[0] in ("streams", "detectors", "topologies")
    ]
    assert not [one for one in ours if not list(ROOT.glob(f"{one}*"))]


def test_without_py_spy_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hot_path.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(hot_path.shutil, "which", lambda _: None)
    with pytest.raises(hot_path.Mend, match="make venv"):
        hot_path.spy()

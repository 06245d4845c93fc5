"""The scorer of the Numenta benchmark on a series one can score by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import detection
from benchmarks.nab_score import File, Tally, gains, read, tally, total


def series(windows: list[tuple[int, int]], rows: int = 1000) -> File:
    ts = np.arange(rows, dtype=np.int64) * 300_000
    return File("made/one.csv", [str(t) for t in ts], ts, np.zeros(rows), windows)


def test_nothing_flagged_is_nought_and_the_first_row_of_every_window_a_hundred() -> None:
    file = series([(400, 499), (700, 799)])
    assert tally(file, []).score("standard") == 0
    assert tally(file, [400, 700]).score("standard") == pytest.approx(100.0)


def test_a_later_hit_is_worth_less_and_only_the_best_of_a_window_counts() -> None:
    file = series([(400, 499)])
    scores = [tally(file, rows).score("standard") for rows in ([410], [450], [490], [450, 490])]
    assert scores[0] > scores[1] > scores[2] > 50
    assert scores[3] == scores[1]


def test_a_false_flag_costs_and_twice_as_much_in_the_low_fp_profile() -> None:
    one = tally(series([(400, 499)]), [300])
    assert one.score("low FP") == pytest.approx(2 * one.score("standard"))
    assert one.score("standard") < 0


def test_a_flag_just_behind_a_window_costs_less_than_one_before_it() -> None:
    gain, window = gains(series([(400, 499)]))
    assert window[505] == -1
    assert -0.5 < gain[505] < 0
    assert gain[300] == -1


def test_the_first_rows_do_not_count() -> None:
    assert tally(series([(400, 499)]), [10, 149]) == Tally(0.0, 0.0, 0, 1, 0)


def test_tallies_add_up() -> None:
    file = series([(400, 499)])
    assert total([tally(file, [400]), tally(file, [300])]).windows == 2


def test_the_benchmark_runs_on_a_directory_and_writes_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nab" / "data" / "made").mkdir(parents=True)
    (tmp_path / "nab" / "labels").mkdir()
    values = np.random.default_rng(1).normal(10, 1, 500)
    values[400] = 90
    stamps = [f"2024-01-{1 + i // 48:02d} {i % 48 // 2:02d}:{i % 2 * 30:02d}:00" for i in range(500)]
    with (tmp_path / "nab" / "data" / "made" / "one.csv").open("w", newline="") as sink:
        csv.writer(sink).writerows([("timestamp", "value"), *zip(stamps, values.tolist(), strict=True)])
    labels = {"made/one.csv": [[stamps[395], stamps[420]]]}
    (tmp_path / "nab" / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    assert read(tmp_path / "nab")[0].windows == [(395, 420)]

    words = ["--only", "nab", "--nab", str(tmp_path / "nab"), "--out", str(tmp_path / "out")]
    assert detection.main(words) == 0
    table = capsys.readouterr().out
    assert "| unusual (threshold fixed) |" in table
    assert "river HalfSpaceTrees" in table
    with (tmp_path / "out" / "nab" / "made" / "unusual_one.csv").open() as source:
        rows = list(csv.DictReader(source))
    assert [i for i, row in enumerate(rows) if float(row["anomaly_score"]) >= 0.5] == [400]
    assert [row["label"] for row in rows[394:397]] == ["0", "1", "1"]


def test_a_directory_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert detection.main(["--only", "nab", "--nab", str(tmp_path / "none")]) == 2
    assert "give it by --nab DIR" in capsys.readouterr().err

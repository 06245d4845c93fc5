"""The scorer of benchmarks/detection_skab.py on tables small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection_skab import read, run
from benchmarks.skab_score import Marks, score
from streams.errors import Mend


def marks(anomaly: list[int], flagged: list[int], changed: list[int] = [], told: list[int] = []) -> Marks:  # noqa: B006
    n = len(anomaly)
    at = [np.isin(np.arange(n), rows) for rows in (changed, told)]
    return Marks("other", np.arange(n), np.array(anomaly) > 0, at[0], np.array(flagged) > 0, at[1])


def test_outliers_are_counted_over_all_files_together() -> None:
    scored = score([marks([0, 1, 1, 1], [0, 1, 1, 0]), marks([0, 0, 0, 1], [1, 0, 0, 0])])
    assert scored.f1 == pytest.approx(2 / (2 + (2 + 1) / 2))
    assert scored.far == pytest.approx(100 / 4)
    assert scored.mar == pytest.approx(100 * 2 / 4)


def test_a_change_found_at_once_is_perfect_and_none_at_all_is_zero() -> None:
    none = [0] * 300
    assert score([marks(none, none, [100], [100])]).change == pytest.approx(100)
    assert score([marks(none, none, [100], [])]).change == pytest.approx(0)


def test_a_late_detection_earns_less_and_a_false_one_costs() -> None:
    none = [0] * 300
    early, late = (score([marks(none, none, [100], [at])]).change for at in (110, 150))
    both = score([marks(none, none, [100], [110, 250])])
    assert early > late
    assert both.change == pytest.approx(early - 100 * 0.11 / 2)
    assert both.false == 1


def test_of_two_changes_closer_than_a_window_the_second_window_begins_where_the_first_ends() -> None:
    none = [0] * 300
    scored = score([marks(none, none, [100, 150], [155])])
    assert (scored.missed, scored.windows, scored.false) == (1, 2, 0)


def test_a_folder_without_the_data_set_is_named(tmp_path) -> None:
    with pytest.raises(Mend, match="no file of SKAB"):
        run(tmp_path, tmp_path / "out")


def test_a_file_is_read_with_its_labels(tmp_path) -> None:
    path = tmp_path / "valve1" / "0.csv"
    path.parent.mkdir()
    path.write_text("datetime;A;B;anomaly;changepoint\n2020-03-09 10:14:33;1.5;2;0.0;0.0\n2020-03-09 10:14:35;1.6;3;1.0;1.0\n")
    held = read(path)
    assert (held.group, held.name, held.sensors) == ("valve1", "0", ["A", "B"])
    assert held.time[1] - held.time[0] == 2
    assert held.rows.tolist() == [[1.5, 2], [1.6, 3]]
    assert held.anomaly.tolist() == held.changepoint.tolist() == [False, True]

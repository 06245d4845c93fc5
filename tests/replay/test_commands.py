"""``citywatch replay`` as a person meets it: exit codes, one line for what is wrong, JSON where a machine reads."""

import json
from pathlib import Path

import pytest

from citywatch import main

START = 1_700_000_000_000


def recording(folder: Path) -> Path:
    folder.mkdir()
    rows = [{"sensor_id": "S1", "ts": START + i * 1000, "metric": "ph", "value": 7.0} for i in range(50)]
    (folder / "sensor.readings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def table(folder: Path) -> tuple[Path, Path]:
    (folder / "m.toml").write_text(
        'name = "m"\nabout = "m"\n[source]\nformat = "csv"\n[time]\ncolumns = ["time"]\n'
        '[[readings]]\nsensor = "S"\nmetric = "ph"\ncolumn = "v"\n'
    )
    (folder / "t.csv").write_text("time,v\n2024-05-01,7\n2024-05-02,x\n")
    return folder / "m.toml", folder / "t.csv"


def test_run_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "run", str(recording(tmp_path / "in")), "--out", str(tmp_path / "out"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["total"] == {"processed": 50}


def test_run_judges_by_a_truth_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text('{"hazard_id":"H1","category":"gas","lat":31,"lon":117,"from_ts":1,"to_ts":2}\n')
    arguments = ["replay", "run", str(recording(tmp_path / "in")), "--out", str(tmp_path / "out"), "--truth", str(truth)]
    assert main(arguments) == 0
    assert "0 of 1 hazards found, 1 missed, 0 duplicate, 0 false" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["truth"]["missed"] == ["H1"]


def test_import_counts_and_info_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapping, csv = table(tmp_path)
    assert main(["replay", "import", str(mapping), str(csv), "--out", str(tmp_path / "bag"), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert (counted["rows"], counted["rows_used"], counted["rows_skipped"]) == (2, 1, {"no_value": 1})
    assert main(["replay", "info", str(tmp_path / "bag"), "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified_files"] == 2


def test_import_lists_the_shipped_mappings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "import", "--list"]) == 0
    assert "river_stage" in capsys.readouterr().out


def test_diff_of_the_same_rules_finds_nothing(tmp_path: Path) -> None:
    import detectors.rules

    rules = str(Path(str(detectors.rules.__file__)).parent)
    assert main(["replay", "diff", str(recording(tmp_path / "in")), "--base", rules, "--candidate", rules]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere", "--out", "out"], "nowhere: no such bag"),
        (["verify", "nowhere"], "nowhere: no such bag"),
        (["import", "rivers", "x", "--out", "out"], "no such mapping"),
        (["import", "river_stage"], "needs a mapping"),
        (["import", "river_stage", "nowhere", "--out", "out"], "nowhere: no such file"),
        (["play", "nowhere", "--speed", "fast"], "'fast' is no speed"),
        (["diff", "nowhere", "--base", "nowhere", "--candidate", "nowhere"], "nowhere: is no directory"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["replay", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_verify_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "verify", str(recording(tmp_path / "in"))]) == 2
    assert "city.signals" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["record", "info", "play", "run", "diff", "verify", "import", "simulate"])
def test_every_help_shows_an_example(capsys: pytest.CaptureFixture[str], action: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(["replay", action, "--help"])
    assert left.value.code == 0
    assert "example: citywatch replay" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["info", "."], ["verify", "."], ["run", ".", "--out", "o"], ["run", "..", "--out", "o"]])
def test_a_folder_without_a_recording_is_told_also_where_it_is_the_current_one(words, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["replay", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("option", "value"), [("--hours", "0"), ("--hours", "-1"), ("--hours", "nan"), ("--sensors", "-5")])
def test_a_city_of_no_time_or_less_than_nothing_is_refused(option, value, tmp_path, capsys):
    assert main(["replay", "simulate", option, value, "--out", str(tmp_path / "city")]) == 2
    assert option in capsys.readouterr().err


def test_a_file_without_rows_is_no_recording(tmp_path, capsys):
    (tmp_path / "empty.csv").touch()
    assert main(["replay", "import", "skab", str(tmp_path / "empty.csv"), "--out", str(tmp_path / "bag")]) == 2
    assert "no row became a record: there are no rows" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()

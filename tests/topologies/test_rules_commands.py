from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest

from streams.errors import Mend
from topologies.rules_commands import add_parser

RULES = Path(__file__).parents[2] / "detectors" / "rules"


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["rules", *words])
    return int(options.run(options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("water-turbidity.toml", "families.toml"):
        shutil.copy(RULES / name, tmp_path / name)
    text = (tmp_path / "families.toml").read_text("utf-8")
    head = next(part for part in text.split("[[family]]") if 'name = "water-quality"' in part).split("[[family.escalate]]")[0]
    (tmp_path / "families.toml").write_text("[[family]]" + head, "utf-8")
    return tmp_path


def test_check_says_that_a_good_rulebook_can_be_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", str(folder)) == 0
    assert capsys.readouterr().out == "the rulebook can be used\n"


def test_check_names_file_and_place_of_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "water-turbidity.toml"
    path.write_text(path.read_text("utf-8").replace('use = "threshold"', 'use = "treshold"'), "utf-8")
    assert run("check", str(folder)) == 1
    assert "water-turbidity.toml: [detector.use]" in capsys.readouterr().out


def test_list_shows_every_rule_with_its_fingerprint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", str(folder), "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["name"], len(row["fingerprint"])) for row in listed["rules"]] == [("water-turbidity", 16)]


def test_test_runs_every_case(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", str(folder)) == 0
    assert capsys.readouterr().out == "1 rules, 3 cases, 0 failed\n"


def test_test_exits_1_and_names_the_case_that_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "water-turbidity.toml"
    path.write_text(path.read_text("utf-8").replace("for_s = 900.0", "for_s = 90000.0"), "utf-8")
    assert run("test", str(folder), "--json") == 1
    failed = json.loads(capsys.readouterr().out)["failed"]
    assert [row["case"] for row in failed] == ["1.05 NTU raises after 15 minutes"]


def test_a_folder_that_is_not_there_is_named_with_the_mend() -> None:
    with pytest.raises(Mend, match="is no folder"):
        run("check", "nowhere")

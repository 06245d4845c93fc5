"""A rulebook in a folder: what is accepted, and how each mistake is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detectors import rulebook
from detectors.rulebook import RuleBook, RuleError

FAMILIES = """
[[family]]
name = "gas"
title = "Gas leak"
title_zh = "燃气泄漏"
categories = ["gas"]
radius_m = 300
within_s = 1800
"""
RULE = """
name = "gas-leak"
version = "1"
hazard = "GAS-01"
category = "gas"
title = "Methane"
title_zh = "甲烷"
family = "gas"

[match]
stream = "sensor"
metrics = ["ch4"]

[detector]
use = "threshold"

[department]
lead = "gas company"

[deadlines]
confirm_min = 15
dispatch_min = 30
handle = "2uh"

[[levels]]
level = 3
raise = 20
clear = 10

[[levels]]
level = 2
raise = 50

[[provenance]]
what = "20 %LEL"
source = "proposed"
tag = "P"

[[case]]
name = "a leak"
series = [[0, 25]]
expect = [{at_s = 0, phase = "raised", level = 3}]

[[case]]
name = "clean air"
series = [[0, 1]]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(*changes: tuple[str, str], families: str = FAMILIES, second: str | None = None) -> Path:
        text = RULE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "gas-leak.toml").write_text(text, encoding="utf-8")
        (tmp_path / "families.toml").write_text(families, encoding="utf-8")
        if second is not None:
            (tmp_path / "second.toml").write_text(second, encoding="utf-8")
        return tmp_path

    return put


def test_a_right_book_has_no_problems(write: Write) -> None:
    assert RuleBook.problems(write()) == []


def test_a_book_gives_each_rule_its_typed_parameters(write: Write) -> None:
    book = RuleBook.from_dir(write())
    assert book.params["gas-leak"] == book.detector(book["gas-leak"]).Params()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"GAS-01"', '"GAS1"', "[hazard] 'GAS1' is no hazard code; write it as GAS-01"),
        ('"threshold"', '"treshold"', "[detector.use] no detector 'treshold'; did you mean 'threshold'?"),
        ('use = "threshold"', "", "[detector.use] is missing; name one of "),
        (
            '"threshold"',
            '"threshold"\ncolum = "value"',
            "[detector.colum] no field 'colum'; did you mean 'column'?",
        ),
        ('"threshold"', '"stuck"\nmin_rows = 1', "[detector.min_rows] Expected int >= 2; it is 1 now"),
        ('"threshold"', '"stuck"\neps = "0"', "[detector.eps] Expected float, got str; it is '0' now"),
        ('"threshold"', '"river_model"\nmodel = "rive"', "[detector] 'rive' names no river model"),
        ("clear = 10", "clear = 30", "[levels[0].clear] clear 30 lies beyond raise 20; put clear below raise"),
        (
            "raise = 50",
            "raise = 15",
            "[levels[1].raise] level 2 raises at 15, level 3 at 20; the more severe level must lie further above",
        ),
        ("level = 2", "level = 3", "[levels[1].level] a second rung of level 3; a level has one rung"),
        ("raise = 50", "raise = nan", "[levels[1].raise] nan is no bound; give a finite number"),
        (
            "raise = 50",
            'raise = {limit = "waring"}',
            "[levels[1].raise.limit] no limit 'waring'; did you mean 'warning'?, or name it in match.needs_limits",
        ),
        ("raise = 50", "raise = 50\nfor_sec = 5", "[levels[1].for_sec] no field 'for_sec'; did you mean 'for_s'?"),
        ("raise = 50", 'raise = "50"', "[levels[1].raise] Expected float | object, got str; it is '50' now"),
        ("raise = 50", 'raise = 50\nfor_mode = "any"', '[levels[1].for_mode] "any" of one condition always holds'),
        ('family = "gas"', 'family = "gass"', "[family] no family 'gass' in families.toml; did you mean 'gas'?"),
        ('category = "gas"', 'category = "water"', "[category] 'water' is not of the family 'gas'"),
        ('"2uh"', '"2 hours"', "[deadlines.handle] '2 hours' is no deadline; write 2uh, 4wh or 5wd"),
        ('stream = "sensor"', 'stream = "hotline"', "[match.stream] threshold does not read the stream 'hotline'"),
        ('stream = "sensor"', 'stream = "sensors"', "[match.stream] Invalid enum value 'sensors'"),
        ('"threshold"', '"stuck"\n[direction]', "[direction] Expected str, got object"),
        ('version = "1"', "", "[version] is missing; add version = …"),
        ("[[provenance]]", "[[provenances]]", "[provenance] is missing; add provenance = …"),
        ('tag = "P"', 'tag = "X"', "[provenance[0].tag] Invalid enum value 'X'"),
        ("expect = [", "shows = [", "[case[0].shows] no field 'shows'"),
        ('phase = "raised"', 'phase = "raise"', "[case[0].expect[0].phase] 'raise' is no phase"),
        ("level = 3}", "level = 4}", "[case[0].expect[0].level] the rule has no level 4; it has [2, 3]"),
        ("series = [[0, 1]]", "", "[case[1]] nothing happens in it; give records, a series or until_s"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_mend(write: Write, old: str, new: str, line: str) -> None:
    problems = RuleBook.problems(write((old, new)))
    assert any(problem.startswith(f"gas-leak.toml: {line}") for problem in problems), problems


def test_a_rule_without_cases_is_refused(write: Write) -> None:
    folder = write()
    text = (folder / "gas-leak.toml").read_text(encoding="utf-8")
    (folder / "gas-leak.toml").write_text(text[: text.index("[[case]]")], encoding="utf-8")
    assert [p.split(";")[0] for p in RuleBook.problems(folder)] == [
        "gas-leak.toml: [case] no [[case]] expects a signal",
        "gas-leak.toml: [case] no [[case]] expects silence",
    ]


def test_below_turns_the_ladder_round(write: Write) -> None:
    folder = write(('family = "gas"', 'family = "gas"\ndirection = "below"'))
    wheres = [p.split("]; ")[0].split("] ")[0] for p in RuleBook.problems(folder)]
    assert wheres == ["gas-leak.toml: [levels[0].clear", "gas-leak.toml: [levels[1].raise"]


def test_a_detector_that_only_grows_is_not_judged_from_below(write: Write) -> None:
    folder = write(('"threshold"', '"stuck"'), ('family = "gas"', 'family = "gas"\ndirection = "below"'))
    assert any("[direction] the measure of stuck grows with the trouble" in p for p in RuleBook.problems(folder))


def test_the_same_bound_is_further_when_it_lasts_longer(write: Write) -> None:
    assert RuleBook.problems(write(("raise = 50", "raise = 20\nfor_s = 600"))) == []


def test_rungs_of_one_limit_are_compared(write: Write) -> None:
    folder = write(
        ("raise = 20\nclear = 10", 'raise = {limit = "high", times = 2}'), ("raise = 50", 'raise = {limit = "high"}')
    )
    assert any("level 2 raises at limit high, level 3 at limit high × 2" in p for p in RuleBook.problems(folder))


def test_a_limit_of_the_rules_own_is_named_in_needs_limits(write: Write) -> None:
    folder = write(('metrics = ["ch4"]', 'needs_limits = ["alarm_set"]'), ("raise = 50", 'raise = {limit = "alarm_set"}'))
    assert RuleBook.problems(folder) == []


def test_a_momentary_rule_holds_nothing(write: Write) -> None:
    folder = write(('family = "gas"', 'family = "gas"\nmomentary = true'))
    assert any("[levels[0]] a momentary alarm has no end to hold" in p for p in RuleBook.problems(folder))


def test_a_syntax_error_names_its_line(write: Write) -> None:
    folder = write(("level = 3", "level = = 3"))
    line = (folder / "gas-leak.toml").read_text(encoding="utf-8").split("\n").index("level = = 3") + 1
    said = f"gas-leak.toml: not TOML: Invalid value (at line {line}, column 9)"
    assert any(said in problem for problem in RuleBook.problems(folder))


def test_two_rules_of_one_name_are_refused(write: Write) -> None:
    assert RuleBook.problems(write(second=RULE)) == [
        "second.toml: [name] 'gas-leak' is already the rule of gas-leak.toml; give one of the two another name"
    ]


def test_problems_of_all_files_come_at_once(write: Write) -> None:
    folder = write(('"GAS-01"', '"GAS1"'), second="a = [")
    assert [problem.split(":")[0] for problem in RuleBook.problems(folder)] == ["gas-leak.toml", "second.toml"]


def test_several_mistakes_of_form_come_at_once(write: Write) -> None:
    folder = write(("level = 3", 'level = "3"'), ("confirm_min = 15", ""), ('tag = "P"', 'tag = "Q"'))
    assert len(RuleBook.problems(folder)) == 3


def test_a_missing_family_file_is_a_problem(write: Write) -> None:
    folder = write()
    (folder / "families.toml").unlink()
    assert RuleBook.problems(folder)[0].startswith("families.toml: is missing")


def test_a_mistake_in_one_family_does_not_hide_the_others(write: Write) -> None:
    bad = FAMILIES.replace('"gas"', '"fire"').replace("radius_m = 300", "radius = 300")
    assert [p.split("]")[0] for p in RuleBook.problems(write(families=FAMILIES + bad))] == [
        "families.toml: [family[1",
        "families.toml: [family[1",
    ]


def test_an_escalation_needs_rules_of_the_book(write: Write) -> None:
    more = '[[family.escalate]]\nname = "x"\nlevel = 1\nreason = "y"\n[[family.escalate.needs]]\nrules = ["gas-smell"]\n'
    assert RuleBook.problems(write(families=FAMILIES + more)) == [
        "families.toml: [family gas, escalate x] needs a rule 'gas-smell' that is not in the book; mend its name"
    ]


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="no such folder of rules; name a folder with rule files"):
        RuleBook.from_dir(tmp_path / "nowhere")


def test_the_error_is_one_line_that_counts_the_rest(write: Write) -> None:
    with pytest.raises(RuleError) as caught:
        RuleBook.from_dir(write(('"GAS-01"', '"GAS1"'), ('"2uh"', '"2"')))
    assert str(caught.value).endswith("write it as GAS-01 (and 1 more: citywatch rules check)")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "Methane"', 'title = "Gas"'),
        ('source = "proposed"', 'source = "DB34/T 4021"'),
        ('name = "a leak"', 'name = "the leak"'),
        ("raise = 20", "raise = 20.0"),
        ('use = "threshold"', 'use = "threshold"\ncolumn = "value"'),
    ],
)
def test_what_cannot_change_an_answer_leaves_the_fingerprint(write: Write, old: str, new: str) -> None:
    assert RuleBook.from_dir(write()).fingerprint == RuleBook.from_dir(write((old, new))).fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [("raise = 20", "raise = 21"), ('lead = "gas company"', 'lead = "fire"'), ('"ch4"', '"co"'), ('"2uh"', '"3uh"')],
)
def test_what_can_change_an_answer_changes_the_fingerprint(write: Write, old: str, new: str) -> None:
    assert RuleBook.from_dir(write()).fingerprint != RuleBook.from_dir(write((old, new))).fingerprint


def test_the_reach_of_a_family_is_part_of_the_books_fingerprint(write: Write) -> None:
    wider = FAMILIES.replace("300", "400")
    assert RuleBook.from_dir(write()).fingerprint != RuleBook.from_dir(write(families=wider)).fingerprint


def test_another_department_keeps_the_states(write: Write) -> None:
    other = ('lead = "gas company"', 'lead = "fire"')
    assert RuleBook.from_dir(write()).state_keys == RuleBook.from_dir(write(other)).state_keys


def test_another_bound_voids_the_states(write: Write) -> None:
    assert RuleBook.from_dir(write()).state_keys != RuleBook.from_dir(write(("raise = 20", "raise = 21"))).state_keys


def test_the_version_that_is_shown_names_the_fingerprint(write: Write) -> None:
    book = RuleBook.from_dir(write())
    assert book.version(book["gas-leak"]) == f"1+{book.fingerprints['gas-leak'][:8]}"


def test_a_link_that_is_switched_while_rules_are_read_gives_one_of_the_two_books(tmp_path, monkeypatch):
    for name, version in (("before", "1"), ("after", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "families.toml").write_text(FAMILIES, encoding="utf-8")
        for rule in ("first", "second"):
            text = RULE.replace('"gas-leak"', f'"{rule}"').replace('version = "1"', f'version = "{version}"')
            (tmp_path / name / f"{rule}.toml").write_text(text, encoding="utf-8")
    link = tmp_path / "rules"
    link.symlink_to("before")
    read = rulebook._toml

    def read_and_switch(path):
        (tmp_path / "next").symlink_to("after")
        (tmp_path / "next").replace(link)
        return read(path)

    monkeypatch.setattr(rulebook, "_toml", read_and_switch)
    assert {rule.version for rule in RuleBook.from_dir(link)} == {"1"}
    monkeypatch.undo()
    assert {rule.version for rule in RuleBook.from_dir(link)} == {"2"}

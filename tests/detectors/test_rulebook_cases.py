"""Every case of every rule of the house's rulebook, through the real detect stage."""

from __future__ import annotations

from functools import cache

import pytest

from detectors.rule import Limit
from detectors.rulebook import RuleBook
from topologies.rule_cases import run_case


@cache
def book() -> RuleBook:
    return RuleBook.default()


CASES = [(rule.name, number) for rule in book() for number in range(len(rule.case))]


@cache
def alone(name: str) -> RuleBook:
    return RuleBook.of([book()[name]], book().families)


@pytest.mark.parametrize(("name", "number"), CASES, ids=[f"{name}-{number}" for name, number in CASES])
def test_the_case_holds(name: str, number: int) -> None:
    rule = book()[name]
    outcome = run_case(alone(name), rule, rule.case[number])
    assert outcome.held, f"{rule.case[number].name}: {outcome.problem}"


def test_at_least_twenty_four_hazards_are_covered() -> None:
    assert len({rule.hazard for rule in book() if not rule.shadow}) >= 24


CATEGORIES = (
    "gas water drainage ponding flood heat bridge cover lighting road structure site muck sanitation patrol order fire "
    "hazard_source weather device indicator"
)


@pytest.mark.parametrize("category", CATEGORIES.split())
def test_every_category_has_a_rule_that_opens_incidents(category: str) -> None:
    assert any(rule.category == category and not rule.shadow for rule in book())


def test_every_threshold_has_its_provenance() -> None:
    assert all(rule.provenance and all(entry.source and entry.what for entry in rule.provenance) for rule in book())


def test_titles_are_bilingual() -> None:
    assert all(rule.title.isascii() and not rule.title_zh.isascii() for rule in book())


def test_rules_by_a_limit_say_in_their_match_that_they_need_it() -> None:
    for rule in book():
        named = {bound.limit for rung in rule.levels for bound in (rung.raise_, rung.clear) if isinstance(bound, Limit)}
        assert named <= {*rule.match.needs_limits, "guaranteed", "record"}, rule.name

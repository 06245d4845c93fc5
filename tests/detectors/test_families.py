from __future__ import annotations

import msgspec
import pytest

from detectors.families import Escalation, Families, Family, FamilyTable, Need, problems


def family(name: str, related: list[str] | None = None, escalate: list[Escalation] | None = None) -> Family:
    return Family(name, name, name, [name], 300.0, 1800.0, related or [], escalate or [])


def whats(*families: Family) -> list[str]:
    return [what for _, what, _ in problems(FamilyTable(list(families)))]


def test_a_signal_may_join_its_own_family() -> None:
    assert Families(FamilyTable([family("gas")])).may_join("gas", "gas")


def test_joining_is_directed() -> None:
    families = Families(FamilyTable([family("gas", ["fire"]), family("fire")]))
    assert (families.may_join("fire", "gas"), families.may_join("gas", "fire")) == (True, False)


def test_an_unknown_relative_is_a_problem() -> None:
    assert whats(family("gas", ["fyre"])) == ["no family 'fyre'"]


def test_two_families_of_one_name_are_a_problem() -> None:
    assert whats(family("gas"), family("gas")) == ["a second family 'gas'"]


def test_a_need_without_a_condition_is_a_problem() -> None:
    assert whats(family("gas", escalate=[Escalation("x", [Need()], 1, "why")])) == [
        "a need without any condition would always hold"
    ]


def test_an_unknown_stream_in_a_need_is_a_problem() -> None:
    assert whats(family("gas", escalate=[Escalation("x", [Need(streams=["phone"])], 1, "why")])) == ["no stream 'phone'"]


def test_a_radius_must_be_positive() -> None:
    tree = msgspec.to_builtins(family("gas")) | {"radius_m": 0}
    with pytest.raises(msgspec.ValidationError, match="radius_m"):
        msgspec.convert(tree, Family)


def test_titles_are_no_part_of_the_canonical_form() -> None:
    one, other = family("gas"), msgspec.structs.replace(family("gas"), title="Leak")
    assert Families(FamilyTable([one])).canonical() == Families(FamilyTable([other])).canonical()

from __future__ import annotations

import math

import numpy as np

from detectors.group_rounds import Rounds


def told(rounds: Rounds, readings: list[tuple[str, float]]) -> list[list[float]]:
    """Vectors that were completed, NaN as None would be lost in comparison, so as -1."""
    out = []
    for name, value in readings:
        vector = rounds.hear(name, value)
        if vector is not None:
            out.append(np.nan_to_num(vector, nan=-1.0).tolist())
    return out


def known(*names: str, share: float = 0.6, most: int = 8, away: int = 3) -> Rounds:
    """A group whose members are known, in the middle of no round."""
    rounds = Rounds(share, most, away)
    assert told(rounds, [(name, 0.0) for name in (*names, *names)]) == [[0.0] * len(names)]
    return rounds


def test_the_first_turn_only_finds_out_who_belongs_to_the_group() -> None:
    assert told(Rounds(0.6, 8, 3), [("a", 1), ("b", 2), ("a", 3), ("b", 4)]) == [[3, 4]]


def test_a_round_ends_when_all_have_spoken_in_whatever_order() -> None:
    assert told(known("a", "b", "c"), [("c", 3), ("a", 1), ("b", 2), ("b", 5), ("c", 6), ("a", 4)]) == [[1, 2, 3], [4, 5, 6]]


def test_a_round_ends_without_the_missing_when_somebody_speaks_again() -> None:
    assert told(known("a", "b", "c"), [("a", 1), ("b", 2), ("a", 4)]) == [[1, 2, -1]]


def test_of_a_member_that_speaks_more_often_the_mean_counts() -> None:
    assert told(known("a", "b", "c"), [("a", 1), ("a", 3), ("a", 5), ("b", 2), ("c", 9)]) == [[3, 2, 9]]


def test_a_member_that_left_is_not_waited_for() -> None:
    rounds = known("a", "b", away=2, share=0.5)
    assert told(rounds, [("a", float(i)) for i in range(6)])[-1] == [5.0, -1]
    assert told(rounds, [("b", 7.0), ("a", 8.0)])[-1] == [8.0, 7.0]


def test_a_member_that_joins_is_part_of_the_round_it_joins_in() -> None:
    assert told(known("a", "b"), [("a", 1), ("c", 9), ("b", 2), ("a", 3), ("b", 4), ("c", 5)]) == [[1, 2, 9], [3, 4, 5]]


def test_a_full_group_hears_nobody_new_until_somebody_left() -> None:
    rounds = known("a", "b", most=2, away=2, share=0.5)
    assert rounds.hear("c", 1.0) is None and rounds.names == ["a", "b"]
    told(rounds, [("a", 1.0)] * 5)
    rounds.hear("c", 7.0)
    assert rounds.names == ["a", "c"] and rounds.taken == 1


def test_huge_values_stay_numbers() -> None:
    vectors = told(known("a", "b"), [("a", 1.7e308), ("a", 1.7e308), ("b", -1.7e308)])
    assert all(math.isfinite(value) for value in vectors[0])

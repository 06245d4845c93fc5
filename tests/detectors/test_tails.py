from __future__ import annotations

import numpy as np
import pytest

from detectors import tails
from detectors.base import Columns

SLOT = np.zeros(1, dtype=np.int32)
ALL = np.ones(1, dtype=np.bool_)


def fresh() -> Columns:
    state = Columns(**tails.COLUMNS)  # type: ignore[arg-type]
    state.grow(1)
    return state


def feed(state: Columns, values: np.ndarray, memory: float = 3000.0) -> None:
    for value in values:
        tails.Ranked(state, SLOT, np.full((1, 5), value), memory).count(state, SLOT, memory, ALL, ALL)


def rarity(state: Columns, value: float, memory: float = 3000.0) -> float:
    return float(tails.Ranked(state, SLOT, np.full((1, 5), value), memory).rarity[0, tails.TEN])


def test_the_rarity_of_noise_is_its_tail() -> None:
    """Of 20,000 normal deviates one in a hundred is above 2.33, one in twenty below −1.64."""
    state = fresh()
    feed(state, np.random.default_rng(1).standard_normal(20_000), 1e9)
    assert rarity(state, 2.326, 1e9) == pytest.approx(2.0, abs=0.05)
    assert rarity(state, -1.645, 1e9) == pytest.approx(1.3, abs=0.05)


def test_each_side_is_ranked_by_itself() -> None:
    state = fresh()
    feed(state, np.abs(np.random.default_rng(1).standard_normal(2000)))
    assert rarity(state, -1.0) > 3
    assert rarity(state, 1.0) < 1


def test_further_beyond_everything_seen_is_rarer() -> None:
    state = fresh()
    feed(state, np.random.default_rng(1).standard_normal(2000))
    found = [rarity(state, value) for value in (10.0, 30.0, 90.0)]
    assert found[0] + 0.9 < found[1] < found[2] - 0.9


def test_what_was_seen_long_ago_is_rare_again() -> None:
    state = fresh()
    rng = np.random.default_rng(1)
    feed(state, rng.standard_normal(500), 200.0)
    feed(state, np.full(20, 50.0), 200.0)
    known = rarity(state, 50.0, 200.0)
    feed(state, rng.standard_normal(2000), 200.0)
    assert rarity(state, 50.0, 200.0) > known + 1


def test_bringing_weights_back_to_one_changes_no_rarity() -> None:
    """Ten thousandfold weight is reached after 9.2 memories; the tail of a stationary series stays what it is."""
    state = fresh()
    feed(state, np.random.default_rng(1).standard_normal(3000), 300.0)
    assert float(state["tail_weight"][0]) < 1e4
    assert rarity(state, 1.28, 300.0) == pytest.approx(1.0, abs=0.15)


def test_a_channel_without_a_scale_says_nothing() -> None:
    assert rarity(fresh(), 1e9) == 0.0


def test_what_lies_beyond_is_forgotten_on_purpose() -> None:
    state = fresh()
    feed(state, np.random.default_rng(1).standard_normal(2000))
    feed(state, np.full(24, 40.0))
    known = rarity(state, 40.0)
    tails.forget_beyond(state, SLOT, 8.0)
    assert rarity(state, 40.0) > known + 1


def test_places_rise_with_the_size() -> None:
    size = np.geomspace(1e-3, 1e6, 400)
    which, inside = tails.place(size)
    assert (np.diff(which + inside) >= -1e-12).all()
    assert which.min() == 0
    assert ((inside >= 0) & (inside <= 1)).all()

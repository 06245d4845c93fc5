from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from detectors import pace
from detectors.base import Columns

SLOT = np.zeros(1, dtype=np.int32)


def advance(seconds: list[float]) -> list[tuple[float, float, float]]:
    state = Columns(**pace.COLUMNS)  # type: ignore[arg-type]
    state.grow(1)
    told = [pace.advance(state, SLOT, np.array([round(at * 1000)])) for at in seconds]
    return [(float(a[0]), float(b[0]), float(c[0])) for a, b, c, _ in told]


def test_readings_a_day_follow_the_interval() -> None:
    assert advance([300.0 * i for i in range(50)])[-1] == pytest.approx((288.0, 49 * 300 / 86_400, 1.0))


def test_a_gap_is_no_slower_pace() -> None:
    steps = [300.0 * i for i in range(200)]
    a_day, _, gap = advance([*steps, steps[-1] + 30 * 86_400.0])[-1]
    assert a_day == pytest.approx(288, rel=0.05)
    assert gap > 8000


def test_repeated_and_older_times_count_nothing() -> None:
    steps = [300.0 * i for i in range(50)]
    assert advance([*steps, steps[-1], steps[10], steps[-1] + 300])[-1][0] == pytest.approx(288.0)


@pytest.mark.parametrize("readings", [100.0, 1e3, 1e5, 1e8])
def test_the_reach_of_noise_is_the_normal_quantile(readings: float) -> None:
    assert float(pace.reach(np.array([readings]))[0]) == pytest.approx(NormalDist().inv_cdf(1 - 0.5 / readings), abs=0.05)

"""topologies.rule_context: where time passes in a batch, and the fences of a registry."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.records import Asset, Period
from streams.registry import Registry
from topologies.rule_context import fences_of, passing


@given(st.integers(0, 50), st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 12))
def test_a_grid_time_is_passed_at_the_first_row_that_is_not_before_it(since: int, steps: list[int], step: int) -> None:
    clock = since + np.cumsum(np.array(steps, dtype=np.int64))
    before = [since, *clock[:-1].tolist()]
    assert passing(clock, since, step) == [
        row for row, (old, new) in enumerate(zip(before, clock.tolist(), strict=True)) if new // step > old // step
    ]


def test_all_partitions_share_the_fences_of_a_registry() -> None:
    square = {"type": "Polygon", "coordinates": [[[117.0, 31.0], [117.1, 31.0], [117.1, 31.1], [117.0, 31.0]]]}
    fence: dict[str, Any] = {"fence": square, "fence_kind": "school"}
    sites = [Asset(f"S{number:03d}", "site", [Period(0, attributes=fence)]) for number in range(150)]
    registry = Registry.from_assets([*sites, Asset("GAS-1", "sensor", [Period(0)])])
    assert [one.fence_id for one in fences_of(registry).fences] == [site.asset_id for site in sites]
    assert fences_of(registry) is fences_of(registry)
    assert len(fences_of(registry.without("S000")).fences) == 149

from __future__ import annotations

import itertools

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.transport_idle import Pace

UPTIMES = st.floats(0.0, 1e9, allow_nan=False)
ONE, OTHER = TP("one", 0), TP("one", 1)


@given(UPTIMES, st.sampled_from([0.05, 0.1, 0.2, 0.25, 1.0]))
def test_a_partition_never_told_of_is_due_at_any_uptime(now: float, every_s: float) -> None:
    assert Pace(every_s).due(ONE, now)


@given(st.lists(UPTIMES, min_size=1, max_size=30).map(sorted))
def test_what_was_told_is_due_again_only_after_the_pace(times: list[float]) -> None:
    pace = Pace(0.1)
    told = [now for now in times if pace.due(ONE, now)]
    assert told[0] == times[0]
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(told))


def test_each_partition_has_a_pace_of_its_own() -> None:
    pace = Pace(0.1)
    assert pace.due(ONE, 5.0)
    assert pace.due(OTHER, 5.05)
    assert not pace.due(ONE, 5.05)

"""One row at a time, many at once, and rows of one series in a run: the same alarm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import alarm as module
from detectors.alarm import Alarm, Transition
from detectors.ladder import Ladder
from detectors.rule import Limit, Rung
from detectors.series import Series
from streams.batch import rounds

SLOTS = 4


@st.composite
def alarms(draw: Any) -> dict[str, Any]:
    rungs = []
    for level in sorted(draw(st.sets(st.integers(1, 4), min_size=1, max_size=3))):
        up = 5.0 - level
        rungs.append(
            Rung(
                level,
                Limit("high", plus=up) if draw(st.booleans()) else up,
                clear=draw(st.sampled_from([None, Limit("high", plus=up - 0.5), up - 0.5])),
                for_s=draw(st.sampled_from([0.0, 3.0])),
                for_count=draw(st.integers(1, 3)),
                for_mode=draw(st.sampled_from(["all", "any"])),
                hold_s=draw(st.sampled_from([0.0, 4.0])),
                hold_count=draw(st.integers(1, 2)),
            )
        )
    return {
        "rungs": rungs,
        "direction": draw(st.sampled_from(["above", "below"])),
        "momentary": draw(st.booleans()),
        "quiet_s": draw(st.sampled_from([0.0, 5.0])),
    }


def _alarm(kind: dict[str, Any]) -> Alarm:
    # One series in two lacks the limit; its rung is not judged.
    series = [Series(f"S{i}", limits={"high": 0.0} if i % 2 else {}) for i in range(SLOTS)]
    alarm = Alarm(Ladder(kind["rungs"], kind["direction"], series), momentary=kind["momentary"], quiet_s=kind["quiet_s"])
    alarm.grow(SLOTS)
    return alarm


rows = st.lists(
    st.tuples(
        st.integers(0, SLOTS - 1),
        st.sampled_from([-4.0, -2.5, -1.0, 0.0, 1.5, 2.5, 3.5, 9.0, float("nan")]),
        st.integers(-2, 4),
    ),
    max_size=60,
)


def _columns(drawn: Any) -> tuple[Any, Any, Any]:
    slot = np.array([one[0] for one in drawn], dtype=np.int32)
    ts = 1_000_000 + np.cumsum([1000 * one[2] for one in drawn]).astype(np.int64)
    return slot, np.array([one[1] for one in drawn], dtype=np.float64), ts


def _by_numpy(alarm: Alarm, slot: Any, measure: Any, ts: Any) -> list[Transition]:
    found = [
        module.replace(one, row=int(piece[one.row]))
        for piece in rounds(slot)
        for one in alarm.step(slot[piece], measure[piece], ts[piece])
    ]
    return sorted(found, key=lambda one: one.row)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(alarms(), rows, st.integers(0, 60))
def test_rows_one_by_one_in_a_run_and_in_numpy_raise_the_same(
    monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any], drawn: Any, cut: int
) -> None:
    slot, measure, ts = _columns(drawn)
    singly, together, numpy_only = (_alarm(kind) for _ in range(3))
    one_by_one = [
        module.replace(one, row=row)
        for row in range(len(slot))
        for one in singly.step(slot[row : row + 1], measure[row : row + 1], ts[row : row + 1])
    ]
    monkeypatch.setattr(module, "_FEW", 0)
    by_numpy = _by_numpy(numpy_only, slot, measure, ts)
    monkeypatch.setattr(module, "_FEW", 2)
    runs = together.run(slot[:cut], measure[:cut], ts[:cut])
    runs += [module.replace(one, row=one.row + cut) for one in together.run(slot[cut:], measure[cut:], ts[cut:])]
    assert repr(one_by_one) == repr(by_numpy) == repr(runs)
    for name, held in numpy_only.snapshot().items():
        np.testing.assert_array_equal(singly.snapshot()[name], held)
        np.testing.assert_array_equal(together.snapshot()[name], held)

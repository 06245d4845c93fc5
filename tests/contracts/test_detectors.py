"""The laws of detectors/base.py, over every registered detector there is or will be."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors  # noqa: F401  (registers the house's detectors)
from detectors.base import Detector, registered
from tests.contracts.examples import EXAMPLES, Example
from tests.contracts.rows import Play, Row, alike, batch_of, generate, same, series_of, through_bytes

SLOTS = 4
CASES = [
    pytest.param(name, example, stream, id=f"{name}-{i}-{stream}")
    for name, detector in sorted(registered().items())
    for i, example in enumerate(EXAMPLES.get(name, []))
    for stream in sorted(detector.streams)
]
#: Of detectors that say which timers rows may set.
FORESEEING = [case for case in CASES if registered()[str(case.values[0])].soonest is not Detector.soonest]
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=4, deadline=None)


def build(name: str, example: Example, stream: str, series: Any = None) -> Detector[Any]:
    kind = registered()[name]
    detector = kind(msgspec.convert(example.params, kind.Params), series or series_of(stream, SLOTS))
    example.prepare(detector)
    return detector


def play(name: str, example: Example, stream: str) -> Play:
    return Play(build(name, example, stream), stream, SLOTS)


@pytest.mark.parametrize("name", sorted(registered()))
def test_every_registered_detector_has_an_example(name: str) -> None:
    assert EXAMPLES.get(name), f"add parameters for {name!r} to tests/contracts/examples.py, so that the laws are tested on it"


def test_every_example_is_of_a_registered_detector() -> None:
    assert set(EXAMPLES) <= set(registered())


@pytest.mark.parametrize("name", sorted(registered()))
def test_some_example_makes_the_detector_speak(name: str) -> None:
    """Laws that hold because nothing was ever measured would prove nothing."""
    streams = [case.values[1:] for case in CASES if case.values[0] == name]
    assert any(
        value[0] > 0
        for example, stream in streams
        for value in play(name, example, stream).show(generate(stream, 3, 400, SLOTS)).values()
    )


@pytest.mark.parametrize(("name", "example", "stream"), CASES)
@given(seed=seeds, share=st.floats(0.05, 1.0))
@quick
def test_batch_cutting_changes_nothing(name: str, example: Example, stream: str, seed: int, share: float) -> None:
    rows = generate(stream, seed, 150, SLOTS)
    rng = random.Random(seed)
    cuts = [i for i in range(len(rows)) if rng.random() < share]
    whole, cut = play(name, example, stream), play(name, example, stream)
    assert same(whole.show(rows), cut.show(rows, cuts))
    assert alike(whole.detector.snapshot(), cut.detector.snapshot())


@pytest.mark.parametrize(("name", "example", "stream"), FORESEEING)
@given(seed=seeds, at=st.integers(0, 150))
@quick
def test_no_row_sets_a_timer_earlier_than_was_foreseen(name: str, example: Example, stream: str, seed: int, at: int) -> None:
    rows = generate(stream, seed, 200, SLOTS)
    playing = play(name, example, stream)
    playing.show(rows[:at])
    detector, batch = playing.detector, batch_of(stream, rows[at:], at, [False] * (200 - at))
    before, soonest = detector.due(), detector.soonest(batch)
    assert soonest is not None and len(soonest) == len(batch)
    for row in range(len(batch)):
        detector.measure(batch.cut(row, row + 1))
        due = detector.due()
        bounds = soonest[: row + 1].tolist() + ([] if before is None else [before])
        assert due is None or due >= min(bounds)


@pytest.mark.parametrize(("name", "example", "stream"), CASES)
@given(seed=seeds, at=st.integers(0, 150))
@quick
def test_a_snapshot_that_went_through_bytes_changes_nothing(
    name: str, example: Example, stream: str, seed: int, at: int
) -> None:
    rows = generate(stream, seed, 150, SLOTS)
    straight = play(name, example, stream)
    straight.show(rows[:at])
    straight.show(rows[at:])
    broken = play(name, example, stream)
    broken.show(rows[:at])
    saved = through_bytes(broken.detector.snapshot())
    other = build(name, example, stream)
    other.grow(SLOTS)
    other.changed(range(SLOTS))
    other.restore(saved)
    broken.resume(other)
    broken.show(rows[at:])
    assert same(straight.said, broken.said)


@pytest.mark.parametrize(("name", "example", "stream"), CASES)
@given(seed=seeds)
@quick
def test_the_numbers_of_slots_mean_nothing(name: str, example: Example, stream: str, seed: int) -> None:
    rows = generate(stream, seed, 120, SLOTS)
    order = np.random.default_rng(seed).permutation(SLOTS).tolist()
    series = series_of(stream, SLOTS)
    turned = [series[order.index(slot)] for slot in range(SLOTS)]
    there = Play(build(name, example, stream, turned), stream, SLOTS).show(
        [Row(order[row.slot], row.ts, row.arrival, row.record) for row in rows]
    )
    here = play(name, example, stream).show(rows)
    renamed = {(key[0], key[1], order[key[2]]) if key[0] == "tick" else key: value for key, value in here.items()}
    assert same(renamed, there)


@pytest.mark.parametrize(("name", "example", "stream"), CASES)
@given(seed=seeds)
@quick
def test_no_row_raises_and_no_score_leaves_its_range(name: str, example: Example, stream: str, seed: int) -> None:
    said = play(name, example, stream).show(generate(stream, seed, 200, SLOTS, extreme=True))
    assert all(0 <= score <= 1 for _, _, score, _ in said.values() if score == score)


@pytest.mark.parametrize(("name", "example", "stream"), CASES)
def test_state_grows_with_slots_and_not_with_rows(name: str, example: Example, stream: str) -> None:
    playing = play(name, example, stream)
    playing.show(generate(stream, 7, 1500, SLOTS))
    encoded = msgspec.msgpack.encode(
        {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in playing.detector.snapshot().items()}
    )
    assert len(encoded) <= 512 + SLOTS * example.bytes_per_slot


@pytest.mark.parametrize(("name", "example", "stream"), CASES)
@given(seed=seeds)
@quick
def test_a_forgotten_slot_begins_anew(name: str, example: Example, stream: str, seed: int) -> None:
    rows = generate(stream, seed, 200, 1)
    # A series the registry does not know: registered ones start their clock with the shard, not with the row.
    used, unused = (Play(build(name, example, stream, series_of(stream, 3)[2:]), stream, 1) for _ in range(2))
    used.show(rows[:100])
    used.detector.forget(np.array([0]))
    used.detector.changed([0])
    used.said.clear()
    used._newest.clear()
    used.show(rows[100:])
    unused._count, unused._tick = 100, used_tick(rows)
    unused.show(rows[100:])
    assert same(used.said, unused.said)


def used_tick(rows: list[Row]) -> int:
    return rows[99].arrival // 1000 * 1000


# Single series: in a group the vector after the wild rows would differ by whose turn it is, not by what was learned.
BASELINES = [case for case in CASES if case.values[1].baseline and case.values[2] == "sensor"]


def _ordinary(stream: str, seed: int, count: int) -> list[Row]:
    return generate(stream, seed, count, 1, extreme=False)


def _with_value(row: Row, value: float) -> Row:
    return Row(row.slot, row.ts, row.arrival, msgspec.structs.replace(row.record, value=value))


@pytest.mark.parametrize(("name", "example", "stream"), BASELINES)
@given(seed=seeds, value=st.floats(-100, 100))
@quick
def test_what_is_expected_of_a_row_does_not_depend_on_it(
    name: str, example: Example, stream: str, seed: int, value: float
) -> None:
    rows = _ordinary(stream, seed, 120)
    plain = play(name, example, stream).show(rows)
    key = [key for key in plain if key[0] == "row"][-1]
    changed = [*rows[: key[1]], _with_value(rows[key[1]], value), *rows[key[1] + 1 :]]
    assert np.array_equal(plain[key][1], play(name, example, stream).show(changed)[key][1], equal_nan=True)


@pytest.mark.parametrize(("name", "example", "stream"), BASELINES)
@given(seed=seeds)
@quick
def test_rows_beyond_the_freeze_are_not_learned(name: str, example: Example, stream: str, seed: int) -> None:
    """Four rows that are out of the question, then ordinary ones: as if the four had never been."""
    rows = [row for row in _ordinary(stream, seed, 400) if row.ts == row.arrival]
    cut = len(rows) * 3 // 4
    before, after = rows[:cut], rows[cut:]
    wild = [Row(0, before[-1].ts, before[-1].arrival, msgspec.structs.replace(before[-1].record, value=1e6)) for _ in range(4)]
    plain, disturbed = play(name, example, stream), play(name, example, stream)
    plain.show(before)
    disturbed.show([*before, *wild])
    scores = [disturbed.said[("row", len(before) + i)][0] for i in range(4)]
    freeze = disturbed.detector.params.freeze
    if not all(score > freeze for score in scores):
        # The model did not call them wild, so it may learn them.
        return
    plain.said.clear()
    disturbed.said.clear()
    plain.show(after)
    disturbed.show(after)
    measures = [[value[0] for key, value in p.said.items() if key[0] == "row"] for p in (plain, disturbed)]
    assert np.array_equal(measures[0], measures[1], equal_nan=True)

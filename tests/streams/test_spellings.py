"""Slots by spelling are those that the index gives out, whatever ids look like and however many there are."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import compiled
from streams.batch import RawBatch
from streams.codec import decode
from streams.gate import Gate
from streams.registry import Registry
from streams.scan import ColumnFields

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="nothing is compiled here")

T0 = 1_750_000_000_000
#: From ids that are whole in their entry to such as differ only far behind it, of one byte a letter and of three.
ids = st.one_of(
    st.integers(0, 30).map(lambda n: f"G{n}"),
    st.integers(0, 30).map(lambda n: f"PROVINCE-CITY-COUNTY-{n}"),
    st.integers(14, 18).map(lambda n: "x" * n),
    st.integers(0, 5).map(lambda n: "井盖" * 20 + str(n)),
)


def raw(names: Sequence[tuple[str, str]], first: int) -> RawBatch:
    values: list[bytes | None] = [
        orjson.dumps({"sensor_id": name, "ts": T0 + first + i, "metric": metric, "value": 1.0})
        for i, (name, metric) in enumerate(names)
    ]
    count = len(names)
    offsets = list(range(first, first + count))
    return RawBatch("city.sensor.readings", 0, offsets, [T0 + at for at in offsets], values, [None] * count)


class Shown:
    """A gate, and what an index by names would say; rows are many enough to be scanned."""

    def __init__(self) -> None:
        self.gate, self.slots, self.next = Gate("sensor", Registry()), dict[tuple[str, str], int](), 0
        self.last: dict[int, int] = {}

    def __call__(self, names: Sequence[tuple[str, str]]) -> None:
        batch = raw(names, self.next)
        decoded = decode("sensor", batch)
        assert isinstance(decoded.fields, ColumnFields)
        admitted = self.gate.admit(decoded, batch)
        wanted = [self.slots.setdefault(name, len(self.slots)) for name in names]
        assert admitted.batch.slot.tolist() == wanted
        self.last |= {slot: T0 + self.next + i for i, slot in enumerate(wanted)}
        assert self.gate.series.last_arrival[: len(self.last)].tolist() == [self.last[slot] for slot in sorted(self.last)]
        self.next += len(names)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(ids, st.sampled_from(["ch4", "radon"])), min_size=64, max_size=80), max_size=4))
def test_every_row_finds_the_slot_of_its_series(batches: list[list[tuple[str, str]]]) -> None:
    shown = Shown()
    for names in batches:
        shown(names)


def test_thousands_of_series_are_told_apart() -> None:
    shown = Shown()
    names = [(f"{'A-VERY-LONG-PREFIX-' * (n % 3)}{n:05d}", "ch4") for n in range(5_000)]
    for _ in range(2):
        for first in range(0, len(names), 500):
            shown(names[first : first + 500])


def test_a_forgotten_series_begins_anew_and_the_others_keep_their_slots() -> None:
    shown = Shown()
    names = [(f"SENSOR-OF-A-LONG-NAME-{n}", "ch4") for n in range(100)]
    shown(names)
    shown.gate.forget([7])
    del shown.slots[names[7]]
    shown(names[:7] + names[8:])
    batch = raw([names[7]] * 64, shown.next)
    assert set(shown.gate.admit(decode("sensor", batch), batch).batch.slot.tolist()) == {7}

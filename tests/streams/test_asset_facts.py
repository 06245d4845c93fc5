"""streams.asset_facts: facts of assets that are read together share what they have alike, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streams.asset_facts import FactReader, Facts
from streams.records import Asset, Period

ODD: list[Any] = [1, 1.0, True, "1", None, [1], {"a": 1}, {"a": True}]
PERIOD = st.fixed_dictionaries(
    {},
    optional={
        "lat": st.sampled_from([31.5, 31.6]),
        "lon": st.sampled_from([117.0, 117.1]),
        "city": st.sampled_from(["1", "2"]),
        "grid_code": st.sampled_from(["1", "2"]),
        "gateway": st.sampled_from(["1", "g"]),
        "metric": st.sampled_from(["ch4", "level"]),
        "unit": st.sampled_from(["%LEL", "%VOL", "m"]),
        "interval_s": st.sampled_from([1.0, 10.0]),
        "limits": st.dictionaries(st.sampled_from(["high", "warning"]), st.sampled_from([0.0, 1.0])),
        "sentinels": st.lists(st.sampled_from([-9999.0, 0.0]), max_size=2),
        "attributes": st.dictionaries(st.sampled_from("ab"), st.sampled_from(ODD), max_size=2),
    },
)


def told(facts: Facts) -> bytes:
    """All of it, with types: 1, 1.0 and True are equal and not the same."""
    own = {name: getattr(facts, name) for name in ("asset_id", "valid_from", "lat", "lon", "grid_code", "group", "gateway")}
    own |= {name: dict(getattr(facts, name)) for name in ("limits", "attributes")}
    return msgspec.json.encode([own, facts.common])


@given(st.lists(st.tuples(st.integers(0, 1), PERIOD), max_size=12))
def test_read_together_they_are_as_read_alone(periods: list[tuple[int, dict[str, Any]]]) -> None:
    assets = [Asset(f"a{i}", "sensor", [Period(start, **facts)]) for i, (start, facts) in enumerate(periods)]
    reader = FactReader()
    for asset in assets:
        together, alone = reader.read(asset), FactReader().read(asset)
        assert together == alone and [*map(told, together[0])] == [*map(told, alone[0])]


def test_what_is_alike_is_one_object() -> None:
    reader = FactReader()

    def read(name: str, **facts: Any) -> Facts:
        text = msgspec.json.encode(Asset(name, "sensor", [Period(0, city="340100", metric="ch4", **facts)]))
        [found], _ = reader.read(msgspec.json.decode(text, type=Asset))
        return found

    one, other = (read(name, gateway="GW", limits={"high": 1.0}, attributes={"place": "well"}) for name in "ab")
    assert one.common is other.common and one.gateway is other.gateway
    assert one.limits is other.limits and one.attributes is other.attributes
    assert read("c", interval_s=1.0).common is not one.common

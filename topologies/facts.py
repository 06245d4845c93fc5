"""From the registry's facts of an asset to the series a detector knows."""

from __future__ import annotations

from collections.abc import Callable

from detectors.series import Series, role_of
from streams.asset_facts import Facts
from streams.batch import Float64
from streams.event_time import FOREVER
from streams.registry import Registry
from streams.row_fields import RowFields
from streams.vocabulary import METRICS

#: Kind of asset that speaks on a stream and may be missed; a camera speaks only of what it sees, a caller when they call.
ASSET_KIND = {"sensor": "sensor", "vehicle": "vehicle"}
#: States of a truck as numbers, in the order of what is wrong with them; "unknown" is NaN.
_STATES: dict[str, dict[str, float]] = {
    "load": {"empty": 0.0, "half": 1.0, "full": 2.0},
    "lid": {"closed": 0.0, "open": 1.0},
    "hopper": {"down": 0.0, "up": 1.0},
}


def series_of(
    stream: str,
    key: tuple[str, str | None],
    kind: str | None,
    registry: Registry,
    now: int,
    comes_here: Callable[[Facts], bool],
) -> Series:
    """The series of a slot with the facts that hold at ``now``.

    ``kind`` is what the record said of itself (vehicle kind, hotline); the registry's attribute ``vehicle_kind`` is stronger.
    ``comes_here`` says whether the records of an asset of :data:`ASSET_KIND` go to the slot's partition.
    """
    entity, second = key
    if stream == "video":
        kind = second
    facts = registry.at(entity, now) if stream != "hotline" else None
    if facts is None and stream == "group":
        members = [found for member in registry.members(entity, now) if (found := registry.at(member, now)) is not None]
        if members:
            # A group nobody registered as an asset stands where its first member does and is what all its members are.
            facts = members[0]
            shared = {
                name: value
                for name, value in facts.attributes.items()
                if all(name in member.attributes and member.attributes[name] == value for member in members)
            }
            place = {"city": facts.city or "", "lat": facts.lat, "lon": facts.lon, "grid_code": facts.grid_code}
            return Series(entity, None, stream, gateway=facts.gateway, group=entity, attributes=shared, **place)  # type: ignore[arg-type]
    if facts is None:
        return Series(entity, second, stream, unit=canonical_unit(second) if stream == "sensor" else None, kind=kind)
    # Limits and expected interval belong to the metric the registry names; other metrics of the same device have none of it.
    own = stream != "sensor" or facts.metric is None or facts.metric == second
    if stream == "vehicle":
        named = facts.attributes.get("vehicle_kind")
        kind = named if isinstance(named, str) else kind
    awaited = stream not in ASSET_KIND or comes_here(facts)
    unit = canonical_unit(second) if stream == "sensor" else None
    return Series.of(facts, role_of(second, stream, True, awaited, unit, kind, own))


def report_after_ms(series: Series) -> int:
    """Silence (ms) after which the registry wants a series reported, three intervals where it names no other time; 0: never."""
    after_s = series.report_after_s or 3.0 * (series.interval_s or 0.0)
    return round(min(max(after_s, 0.0), 1e9) * 1000)


def canonical_unit(metric: str | None) -> str | None:
    """The unit readings of a metric have behind the gate; None for a metric the vocabulary does not know."""
    known = METRICS.get(metric or "")
    return known.unit if known is not None else None


def partition_key(facts: Facts) -> str:
    """The key an asset's records come under: its own id, unless ``attributes.key`` is ``gateway`` or another id."""
    named = facts.attributes.get("key")
    if named == "gateway" and facts.gateway:
        return facts.gateway
    return named if isinstance(named, str) and named else facts.asset_id


def next_boundary(registry: Registry, entity: str, now: int) -> int:
    """The next time (ms) after ``now`` at which the facts of an asset change by date."""
    found = FOREVER
    for period in registry.periods(entity):
        if now < period.valid_from < found:
            found = period.valid_from
        end = period.valid_to
        if end is not None and now < end < found:
            found = end
    return found


def state_columns(fields: RowFields) -> dict[str, Float64]:
    """Load, lid and hopper of vehicle fixes as columns, as the detectors of vehicles read them."""
    columns: dict[str, Float64] = {}
    for name, codes in _STATES.items():
        given = f"{name}_state"
        columns[name] = fields.coded(given, codes)
    return columns

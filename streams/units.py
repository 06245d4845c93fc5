"""Units: a value in any unit of its quantity becomes a value in the metric's canonical unit.

A conversion is (factor, offset, divisor): ``(value * factor + offset) / divisor``. Multiplying and then dividing keeps round
numbers round (3 bar are 0.3 MPa, not 0.30000000000000004), so that a threshold of 0.3 is met by both.
"""

from __future__ import annotations

from streams.vocabulary import ALIASES, METRICS, OWN_UNIT_SUFFIXES, QUANTITIES

Conversion = tuple[float, float, float]
SAME: Conversion = (1.0, 0.0, 1.0)


def canonical_unit(metric: str) -> str | None:
    """The unit in which readings of ``metric`` are kept; None for a metric the vocabulary does not know."""
    known = METRICS.get(metric)
    return None if known is None else known.unit


def conversion(metric: str, unit: str | None) -> Conversion | None:
    """Conversion from ``unit`` to the metric's canonical unit; None where the unit is unknown or of another quantity.

    No unit means the canonical one. The values of an unknown metric are kept as they are, whatever their unit.

    >>> conversion("ch4", "%VOL"), conversion("heat_temperature", "K"), conversion("ch4", "kPa")
    ((20.0, 0.0, 1.0), (1.0, -273.15, 1.0), None)
    """
    known = METRICS.get(metric)
    if known is None or unit is None or unit == known.unit:
        return SAME
    units = QUANTITIES[known.quantity]
    size = units.get(unit)
    if size is None:
        spelled = unit.strip()
        size = units.get(ALIASES.get(spelled, spelled))
    if size is None:
        return None
    base = units[known.unit]
    return size[0], size[1] - base[1], base[0]


def convert(value: float, conversion: Conversion) -> float:
    factor, offset, divisor = conversion
    return (value * factor + offset) / divisor


def to_canonical(metric: str, value: float, unit: str | None) -> float | None:
    """``value`` in the metric's canonical unit; None where the unit does not fit (reason ``unit_unknown``).

    >>> to_canonical("water_pressure", 3.0, "bar")
    0.3
    """
    found = conversion(metric, unit)
    return None if found is None else convert(value, found)


def limits_in_canonical(metric: str | None, unit: str | None, limits: dict[str, float]) -> dict[str, float]:
    """Limits of an asset (given in ``unit``) in the metric's canonical unit.

    Those whose name ends in a unit of its own (``speed_kmh``) stay, and all stay where the unit does not fit.
    """
    found = None if metric is None else conversion(metric, unit)
    if found is None or found == SAME:
        return dict(limits)
    return {name: value if name.endswith(OWN_UNIT_SUFFIXES) else convert(value, found) for name, value in limits.items()}

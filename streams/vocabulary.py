"""The vocabulary of metrics, read from ``vocabulary.toml``: canonical unit, quantity, what a working channel can show."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_name("vocabulary.toml").read_text("utf-8"))


@dataclass(slots=True, frozen=True)
class Metric:
    """One metric: readings are kept in ``unit``. ``low``, ``high`` and ``rate_per_min`` (None: not known) are in it too.

    ``tag`` is the provenance of range and rate: V verified, M common knowledge of the trade, P proposal.
    """

    name: str
    quantity: str
    unit: str
    low: float | None
    high: float | None
    rate_per_min: float | None
    tag: str


def _metric(name: str, row: dict[str, Any]) -> Metric:
    low, high = row.get("range", (None, None))
    rate = row.get("rate_per_min")
    return Metric(
        name,
        row["quantity"],
        row["unit"],
        None if low is None else float(low),
        None if high is None else float(high),
        None if rate is None else float(rate),
        row["tag"],
    )


#: Metric by name; a metric that is not here is no error, its readings keep the unit they come in.
METRICS: Final[dict[str, Metric]] = {name: _metric(name, row) for name, row in _DATA["metrics"].items()}

#: Quantity → unit → (factor, offset) into the quantity's base unit.
QUANTITIES: Final[dict[str, dict[str, tuple[float, float]]]] = {
    quantity: {
        unit: (float(size[0]), float(size[1])) if isinstance(size, list) else (float(size), 0.0) for unit, size in units.items()
    }
    for quantity, units in _DATA["quantities"].items()
}

ALIASES: Final[dict[str, str]] = _DATA["aliases"]
#: A limit whose name ends so is in the unit the name says, whatever the unit of the metric.
OWN_UNIT_SUFFIXES: Final[tuple[str, ...]] = tuple(_DATA["limits"]["own_unit_suffixes"])

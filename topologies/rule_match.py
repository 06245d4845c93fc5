"""Which series a rule watches: a pure question of the rule's ``match`` and the facts of the series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectors.base import Series
from detectors.rule import Match


def matches(match: Match, series: Series) -> bool:
    """Whether every condition the match names holds.

    >>> matches(Match("sensor", metrics=["ch4"]), Series("GAS-1", "ch4"))
    True
    >>> matches(Match("sensor", metrics=["ch4"], attributes={"place": ["well", "tunnel"]}), Series("GAS-1", "ch4"))
    False
    """
    if match.stream != series.stream:
        return False
    if match.metrics and series.metric not in match.metrics:
        return False
    if match.not_metrics and series.metric in match.not_metrics:
        return False
    if match.kinds and series.kind not in match.kinds:
        return False
    if match.registered_only and not series.registered:
        return False
    limits = series.limits
    if any(name not in limits for name in match.needs_limits) or any(name in limits for name in match.without_limits):
        return False
    if any(_agrees(wanted, series.attributes, name) for name, wanted in match.not_attributes.items()):
        return False
    if any(_agrees(wanted, series.attributes, name) for name, wanted in match.not_attributes.items()):
        return False
    return all(_agrees(wanted, series.attributes, name) for name, wanted in match.attributes.items())


def _agrees(wanted: Any, attributes: Mapping[str, Any], name: str) -> bool:
    """A scalar must be equal to the attribute, a list must contain it."""
    if name not in attributes:
        return False
    found = attributes[name]
    return bool(found in wanted if isinstance(wanted, list) else found == wanted)

"""Which series a rule watches: a pure question of the rule's ``match`` and the facts of the series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectors.rule import Match
from detectors.series import Series

#: Sorts of series that are remembered at once.
_SORTS = 4_096
#: Stands for an attribute the series does not have.
_ABSENT = object()


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
    return all(_agrees(wanted, series.attributes, name) for name, wanted in match.attributes.items())


def _agrees(wanted: Any, attributes: Mapping[str, Any], name: str) -> bool:
    """A scalar must be equal to the attribute, a list must contain it."""
    if name not in attributes:
        return False
    found = attributes[name]
    return bool(found in wanted if isinstance(wanted, list) else found == wanted)


class Matching:
    """Which of several rules watch a series, remembered for all series alike in what the rules ask for: a city of ten thousand
    sensors knows a few dozen sorts of them, and asking 130 rules of each took a replay a second before its first record.

    >>> matching = Matching()
    >>> matching.add(4, Match("sensor", metrics=["ch4"])); matching.add(7, Match("sensor", attributes={"place": "well"}))
    >>> matching(Series("GAS-1", "ch4")), matching(Series("GAS-2", "ch4", attributes={"place": "well", "floor": 1}))
    ((4,), (4, 7))
    """

    def __init__(self) -> None:
        self._matches: list[tuple[int, Match]] = []
        #: Attributes that any rule asks for; no other one makes a difference.
        self._names: tuple[str, ...] = ()
        self._known: dict[Any, tuple[int, ...]] = {}

    def add(self, place: int, match: Match) -> None:
        self._matches.append((place, match))
        self._names = tuple({name: None for _, one in self._matches for name in (*one.attributes, *one.not_attributes)})
        self._known.clear()

    def __call__(self, series: Series) -> tuple[int, ...]:
        """Places of the rules that watch the series, in the order in which they were added."""
        sort = self._sort(series)
        try:
            return self._known[sort]
        except KeyError:
            found = tuple(place for place, match in self._matches if matches(match, series))
        except TypeError:  # an attribute that is a list or a table
            return tuple(place for place, match in self._matches if matches(match, series))
        if len(self._known) >= _SORTS:
            self._known.clear()
        self._known[sort] = found
        return found

    def _sort(self, series: Series) -> tuple[Any, ...]:
        """All that :func:`matches` looks at. True equals 1 for it as well, so the key need not tell them apart."""
        given = series.attributes
        asked = tuple(given.get(name, _ABSENT) for name in self._names) if given else ()
        return series.stream, series.metric, series.kind, series.registered, tuple(series.limits), asked

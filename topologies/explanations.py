"""What a signal says in plain words: what was measured, against which bound, since when."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from detectors.alarm import Transition
from detectors.rule import Rule
from detectors.series import Series


def moment(ms: int) -> str:
    """UTC time of an epoch in milliseconds.

    >>> moment(1_700_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    try:
        return _second(ms // 1000)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


@lru_cache(maxsize=4096)
def _second(epoch: int) -> str:
    """Signals of a batch speak of few seconds, and writing one down takes as long as all the rest of a sentence."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def explain(rule: Rule, change: Transition, series: Series, value: float | None, text: str | None) -> str:
    """One sentence per signal; the detector's own words first where it has any."""
    what = text or _measured(series, value)
    bound = "" if change.threshold != change.threshold else _bound(rule, change)
    since = f"since {moment(change.since_ts)}"
    if change.phase == "cleared":
        return f"{what}; cleared{bound and f' ({bound})'} {since}"
    eased = ", eased" if change.before and change.level > change.before else ""
    return "; ".join(filter(None, (what, bound and f"{bound}{eased}", since)))


def _measured(series: Series, value: float | None) -> str:
    name = series.metric or series.kind or series.stream
    unit = f" {series.unit}" if series.unit and series.unit != "1" else ""
    return name if value is None else f"{name} {value:.6g}{unit}"


def _bound(rule: Rule, change: Transition) -> str:
    beyond = "at or below" if rule.direction == "below" else "at or above"
    if change.phase == "cleared":
        beyond = "back above" if rule.direction == "below" else "back below"
    return f"{beyond} {change.threshold:.6g} (level {change.level})"

"""When the devices behind a gateway can be missed: what the registry says of their reporting, asked by the outage step."""

from __future__ import annotations

from streams.records import Signal
from topologies.reference import Assets

#: Times the interval after which a silence is reported where the registry names no time (as the rule of silent devices does).
_FACTOR = 3.0
_LONGEST_S = 1e9


def last_heard(signal: Signal) -> int:
    """Arrival (ms) of the last word of a device whose silence this is; its value is the seconds of silence."""
    silent_s = signal.value
    if silent_s is None or not 0 <= silent_s < _LONGEST_S:
        return signal.arrival_ts
    return signal.arrival_ts - round(silent_s * 1000)


def _ms(seconds: object) -> int | None:
    if isinstance(seconds, int | float) and 0 < seconds < _LONGEST_S:
        return round(seconds * 1000)
    return None


class Reporting:
    """Questions to one registry; answers are in ms."""

    def __init__(self, registry: Assets) -> None:
        self.registry = registry

    def after_ms(self, entity: str, at: int) -> int:
        """Silence after which the device is reported; 0 where the registry does not say."""
        facts = self.registry.at(entity, at)
        after = _ms(getattr(facts, "report_after_s", None))
        if after is not None:
            return after
        return round(_FACTOR * (_ms(getattr(facts, "interval_s", None)) or 0))

    def every_ms(self, entity: str, at: int) -> int | None:
        """Interval at which the device reports; None where the registry does not say."""
        every = _ms(getattr(self.registry.at(entity, at), "interval_s", None))
        after = self.after_ms(entity, at)
        return every or (round(after / _FACTOR) if after else None)

    def missed(self, signal: Signal) -> int:
        """When the first report that did not come was due."""
        last = last_heard(signal)
        return last + (self.every_ms(signal.entity, last) or 0)

    def due(self, gateway: str, since: int, at: int) -> set[str]:
        """Members reported by ``at`` had they been silent since ``since``; also those of whom nothing is known."""
        return {member for member in self.registry.behind(gateway) if since + self.after_ms(member, at) <= at}

    def told_at(self, gateway: str, since: int, needed: int) -> int | None:
        """When ``needed`` members can have been missed had all been silent since ``since``; None with fewer members."""
        times = sorted(since + self.after_ms(member, since) for member in self.registry.behind(gateway))
        return times[needed - 1] if len(times) >= needed > 0 else None

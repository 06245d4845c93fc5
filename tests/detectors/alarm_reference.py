"""The alarm's meaning in plain Python, one row at a time: what detectors/alarm.py must equal, written without looking fast."""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors.ladder import resolve
from detectors.rule import Rung
from detectors.series import Series


@dataclass
class RungState:
    count: int = 0
    since: int = 0
    held: bool = False
    within: int = 0
    within_since: int = 0


@dataclass
class SlotState:
    level: int = 0
    worst: int = 0
    last: int | None = None
    raised: int | None = None
    rungs: list[RungState] = field(default_factory=list)


Change = tuple[str, int, int, int, int, int]


class ReferenceAlarm:
    def __init__(self, rungs: list[Rung], direction: str, series: list[Series], momentary: bool, quiet_s: float) -> None:
        self.rungs = sorted(rungs, key=lambda rung: rung.level)
        self.below = direction == "below"
        self.series = series
        self.momentary = momentary
        self.quiet_ms = round(quiet_s * 1000)
        self.slots = [SlotState(rungs=[RungState() for _ in rungs]) for _ in series]

    def row(self, slot: int, measure: float, ts: int) -> Change | None:
        """``(phase, level, before, raised_ts, since_ts, ts)`` or None."""
        if measure != measure:
            return None
        state = self.slots[slot]
        reached = [self._reached(rung, slot, measure) for rung in self.rungs]
        waiting = any(rung.held or rung.count for rung in state.rungs)
        if not any(reached) and not waiting:
            return None
        now = ts if state.last is None else max(ts, state.last)
        state.last = now
        before = state.level
        quiet = self.quiet_ms and state.raised is not None and now - state.raised < self.quiet_ms
        quiet = quiet and (before == 0 or self.momentary)
        met = []
        for rung, held, is_reached in zip(self.rungs, state.rungs, reached, strict=True):
            if not is_reached:
                held.count = 0
                met.append(False)
                continue
            if held.count == 0 and not held.held:
                held.since = now
            held.count += 1
            counted, lasted = held.count >= rung.for_count, now - held.since >= round(rung.for_s * 1000)
            is_met = (counted or lasted) if rung.for_mode == "any" else (counted and lasted)
            met.append(is_met and not (quiet and rung.level >= state.worst))
        if self.momentary:
            for rung, held, is_met in zip(self.rungs, state.rungs, met, strict=True):
                if is_met:
                    state.raised, state.worst = now, rung.level
                    return ("raised", rung.level, 0, now, held.since, now)
            return None
        for rung, held, is_met in zip(self.rungs, state.rungs, met, strict=True):
            if held.held and self._left(rung, slot, measure):
                if held.within == 0:
                    held.within_since = now
                held.within += 1
                if held.within >= rung.hold_count and now - held.within_since >= round(rung.hold_s * 1000):
                    held.held = False
            else:
                held.within = 0
            if is_met:
                held.held = True
            if not held.held:
                # What began the end is told in the transition, so it is wiped below.
                held.within = 0
        state.level = next((rung.level for rung, held in zip(self.rungs, state.rungs, strict=True) if held.held), 0)
        if state.level == before:
            return None
        if before == 0:
            state.raised, state.worst = now, state.level
        state.worst = min(state.worst, state.level or before)
        assert state.raised is not None
        named = state.level or before
        own = next(held for rung, held in zip(self.rungs, state.rungs, strict=True) if rung.level == named)
        since = own.since if state.level else own.within_since
        phase = "raised" if before == 0 else "updated" if state.level else "cleared"
        return (phase, named, before, state.raised, since, now)

    def _bound(self, bound: object, slot: int) -> float:
        return resolve(bound, self.series[slot])  # type: ignore[arg-type]

    def _judged(self, rung: Rung, slot: int) -> bool:
        up = self._bound(rung.raise_, slot)
        down = up if rung.clear is None else self._bound(rung.clear, slot)
        return up == up and down == down

    def _reached(self, rung: Rung, slot: int, measure: float) -> bool:
        if not self._judged(rung, slot):
            return False
        up = self._bound(rung.raise_, slot)
        return measure <= up if self.below else measure >= up

    def _left(self, rung: Rung, slot: int, measure: float) -> bool:
        if not self._judged(rung, slot):
            return True
        if self._reached(rung, slot, measure):
            return False
        down = self._bound(rung.raise_ if rung.clear is None else rung.clear, slot)
        return measure >= down if self.below else measure <= down

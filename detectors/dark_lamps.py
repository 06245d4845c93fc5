"""Dark lamps: how many lamps of one circuit are off in lighting hours (domain.md LGT-02: five adjacent lamps or a circuit).

It watches the group stream, where the registry has put the lamps of a circuit together. A lamp counts as dark when its
newest reading is below ``dark_below`` although it has burnt within ``memory_s``: one that never burns is a spare, not an
outage. A circuit of fewer than ``circuit`` lamps that is dark altogether counts as that many. Outside the lighting hours the
measure is 0. Do not use it for lamps that are dimmed to nothing at night on purpose; give those other hours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Detector, Measures, Params, Snapshot, register
from detectors.daily import daily_window, in_daily
from detectors.series import Series
from streams.batch import Batch

#: Lamps remembered of one group; a circuit has some forty.
_LAMPS_KEPT = 200


class DarkLampsParams(Params, frozen=True):
    """Amperes of a dark and a burning lamp; local lighting hours ``lit_from``–``lit_to``; ``fresh_s``: older says nothing."""

    metric: str = "lamp_current"
    dark_below: Annotated[float, Meta(ge=0)] = 0.1
    lit_above: Annotated[float, Meta(gt=0)] = 0.2
    lit_from: str = "19:30"
    lit_to: str = "05:00"
    memory_s: Annotated[float, Meta(gt=0)] = 172_800.0
    fresh_s: Annotated[float, Meta(gt=0)] = 3600.0
    circuit: Annotated[int, Meta(ge=2)] = 5

    def __post_init__(self) -> None:
        daily_window(self.lit_from, self.lit_to)
        if self.lit_above <= self.dark_below:
            raise ValueError("`lit_above` must be above `dark_below`")


@register
class DarkLamps(Detector[DarkLampsParams]):
    """State per group and lamp: newest time and current, and when it burnt last.

    >>> from types import SimpleNamespace
    >>> detector = DarkLamps(DarkLampsParams(), [Series("C1", stream="group")]); detector.grow(1)
    >>> night = 1_700_060_400_000  # 23:00 +08:00
    >>> def read(lamp, minutes, value):
    ...     zero, at = np.zeros(1, dtype=np.int32), np.array([night + minutes * 60_000])
    ...     record = SimpleNamespace(sensor_id=lamp, metric="lamp_current")
    ...     return Batch("group", zero, at, at, at, zero, zero > 0, [record], {"value": np.array([value])})
    >>> burning = [detector.measure(read(f"L{i}", 0, 0.9)).measure[0].item() for i in range(6)]
    >>> [detector.measure(read(f"L{i}", 10, 0.0)).measure[0].item() for i in range(6)]
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    """

    name: ClassVar[str] = "dark_lamps"
    streams: ClassVar[frozenset[str]] = frozenset({"group"})
    Params: ClassVar[type[Params]] = DarkLampsParams

    def __init__(self, params: DarkLampsParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._hours = daily_window(params.lit_from, params.lit_to)
        #: Slot -> lamp -> [newest ts, its current, newest ts at which it burnt (0: never)].
        self._lamps: dict[int, dict[str, list[float]]] = {}

    def measure(self, batch: Batch) -> Measures:
        measure = np.full(len(batch), np.nan)
        value = batch.columns.get("value")
        if value is None:
            return Measures(measure)
        lit = in_daily(self._hours, batch.ts)
        known: dict[int, tuple[int, int]] = {}
        for row in np.flatnonzero(np.isfinite(value)).tolist():
            record = batch.records[row]
            if record.metric != self.params.metric:
                continue
            lamps = self._lamps.setdefault(int(batch.slot[row]), {})
            ts = int(batch.ts[row])
            self._see(lamps, record.sensor_id, ts, float(value[row]))
            dark, heard = self._dark(lamps, ts)
            whole = heard >= 2 and dark == heard
            measure[row] = (max(dark, self.params.circuit) if whole else dark) if lit[row] else 0.0
            known[row] = (dark, heard)
        return Measures(measure, explain=lambda row: "{} of {} lamps of the circuit are dark".format(*known.get(row, (0, 0))))

    def _see(self, lamps: dict[str, list[float]], lamp: str, ts: int, value: float) -> None:
        state = lamps.get(lamp)
        if state is None:
            if len(lamps) >= _LAMPS_KEPT:
                return
            state = lamps[lamp] = [0.0, 0.0, 0.0]
        if ts >= state[0]:
            state[0], state[1] = float(ts), value
        if value >= self.params.lit_above:
            state[2] = max(state[2], float(ts))

    def _dark(self, lamps: Mapping[str, Sequence[float]], now: int) -> tuple[int, int]:
        """(dark lamps, lamps that were heard lately and have burnt lately)."""
        fresh, memory = now - self.params.fresh_s * 1000, now - self.params.memory_s * 1000
        heard = [state for state in lamps.values() if state[0] >= fresh and state[2] and state[2] >= memory]
        return sum(state[1] < self.params.dark_below for state in heard), len(heard)

    def forget(self, slots: NDArray[Any]) -> None:
        for slot in np.atleast_1d(slots).tolist():
            self._lamps.pop(int(slot), None)

    def snapshot(self) -> Snapshot:
        slots = sorted(self._lamps)
        flat = [state for slot in slots for state in self._lamps[slot].values()]
        return {
            "slots": np.array(slots, dtype=np.int64),
            "names": json.dumps([list(self._lamps[slot]) for slot in slots], ensure_ascii=False),
            "values": np.array(flat, dtype=np.float64).reshape(-1, 3),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        rows = iter(np.asarray(saved["values"], dtype=np.float64).reshape(-1, 3).tolist())
        self._lamps = {
            int(slot): {name: next(rows) for name in names}
            for slot, names in zip(np.asarray(saved["slots"]).tolist(), json.loads(saved["names"]), strict=True)
        }

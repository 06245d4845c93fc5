"""Counter: cumulative meters (water, gas, heat, electricity) as what they tell: the rate between two readings, and resets.

A counter only rises. Where it falls it has *rolled over* (it was near the end of its figures and is near 0 now), been *reset*
(exchanged, restarted), or one reading was *wrong* (the next goes on from before it). Take it in front of every judgement of a
meter: the raw reading is always higher than everything seen, and its jump at a reset is no event of the street.

* Rollover: ``capacity`` where the meter's is known, else the next power of ten or of two (16, 24, 32 bits) above the last
  reading. Accepted in the last tenth of it only, and where the rise through it is no more than ``most`` times the usual rate.
* A reset leaves one interval without a rate, for nobody knows what was counted in it.
* Readings of one moment are taken together; a rate needs time to have passed.

Do not use it for quantities that fall by nature (levels, pressures), nor for counts per report (:mod:`detectors.accumulation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Columns, Detector, Measures, Params, Snapshot, register
from detectors.robust_z import RobustZ, RobustZParams
from detectors.series import Series
from streams.batch import Batch, Bool, Float64

_NEVER = np.iinfo(np.int64).min // 2
#: Where counters roll over when nobody says: figures of a dial, and registers of 16, 24 and 32 bits.
_ENDS = np.array(sorted([10.0**n for n in range(3, 13)] + [2.0**bits for bits in (16, 24, 31, 32)]))
#: A rollover is believed from the last tenth of the capacity into the first.
_NEAR = 0.1
#: Rows after which the usual rate is known well enough to tell a rollover from a reset by it.
_KNOWN_ROWS = 5
#: A wrong reading is believed to have been one while the next few go on from before it.
_DOUBT_ROWS = 3
_MEMORY = 200.0


class CounterParams(Params, frozen=True):
    """``say``: what is measured: ``reset``, the share of the reading that was lost (0 on ordinary rows); ``rate``, the rise per
    ``per_s`` seconds, in the metric's unit; ``unusual``, how unusual that rate is (:mod:`detectors.robust_z`, ``warmup`` rows,
    frozen beyond ``freeze``).

    ``capacity``: reading at which the meter begins anew, 0: unknown. ``jitter``: falls up to this are none (rounding).
    """

    say: Literal["reset", "rate", "unusual"] = "reset"
    per_s: Annotated[float, Meta(gt=0)] = 3600.0
    capacity: Annotated[float, Meta(ge=0)] = 0.0
    jitter: Annotated[float, Meta(ge=0)] = 0.0
    most: Annotated[float, Meta(gt=1)] = 10.0
    warmup: Annotated[int, Meta(ge=10)] = 60
    freeze: Annotated[float, Meta(gt=1)] = 8.0


@register
class Counter(Detector[CounterParams]):
    """Measure: by ``say``; NaN on the first row, and for rates on rows between which nothing can be told."""

    name: ClassVar[str] = "counter"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = CounterParams

    def __init__(self, params: CounterParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._usual = RobustZ(RobustZParams(warmup=params.warmup, freeze=params.freeze), series)

    def columns(self) -> Columns:
        return Columns(
            last=(np.float64, np.nan),
            at=(np.int64, _NEVER),
            # The reading before the last fall, while it may have been a wrong reading.
            before=(np.float64, np.nan),
            before_at=(np.int64, _NEVER),
            doubt=(np.int8, 0),
            pace=(np.float64, 0.0),
            rows=(np.int32, 0),
        )

    def measure(self, batch: Batch) -> Measures:
        return self._measure(batch, self._usual.measure)

    def teach(self, batch: Batch) -> None:
        self._measure(batch, self._usual.teach)

    def _measure(self, batch: Batch, judge: Any) -> Measures:
        value, n = batch.columns.get("value"), len(batch)
        if value is None:
            return Measures(np.full(n, np.nan))
        known = np.flatnonzero(np.abs(value) < 1e100)
        whole = len(known) == n
        part = batch if whole else batch.take(known)
        lost, rate, last = self._read(part, value[known])
        if self.params.say == "unusual":
            rates = Batch(
                part.stream, part.slot, part.ts, part.arrival, part.offset, part.part, part.late, part.records, {"value": rate}
            )
            told: Measures | None = judge(rates)
            if told is None:
                told = Measures(np.full(len(known), np.nan))
            return told if whole else _spread(told, known, n)
        measure, expected = (lost, last) if self.params.say == "reset" else (rate, None)

        def explain(i: int) -> str:
            if self.params.say == "reset":
                return f"the meter fell from {last[i]:g} to {value[known][i]:g}"
            return f"{rate[i]:g} in {self.params.per_s:g} s, the meter reads {value[known][i]:g}"

        return _spread(Measures(measure, expected, explain=explain), known, n)

    def _read(self, batch: Batch, value: Float64) -> tuple[Float64, Float64, Float64]:
        """``(share lost, rate per per_s, last reading)`` of each row; the state is moved on."""
        slot, ts, state = batch.slot, batch.ts, self.state
        last, at = state["last"][slot], state["at"][slot]
        heard = last == last
        wrong = (state["doubt"][slot] > 0) & (value >= state["before"][slot] - self.params.jitter)
        # The fall before was a wrong reading: the count goes on from the one before that.
        last = np.where(wrong, state["before"][slot], last)
        at = np.where(wrong, state["before_at"][slot], at)
        rise, seconds = value - last, (ts - at) / 1000.0
        fell = heard & (rise < -self.params.jitter)
        through, rolled = self._rolled(slot, last, value, seconds, fell)
        reset = fell & ~rolled
        rise = np.where(rolled, through, np.maximum(rise, 0.0))
        tells = heard & ~reset & (seconds > 0)
        pace = np.divide(rise, seconds, out=np.full(len(slot), np.nan), where=tells)
        self._learn(slot, pace, tells)
        with np.errstate(over="ignore"):
            share = np.minimum(np.divide(last - value, np.abs(last), out=np.ones(len(slot)), where=last != 0), 1e6)
        lost = np.where(heard, np.where(reset, share, 0.0), np.nan)
        moves = ~heard | reset | (seconds > 0)
        state["before"][slot] = np.where(reset, last, np.where(wrong, np.nan, state["before"][slot]))
        state["before_at"][slot] = np.where(reset, at, state["before_at"][slot])
        doubt = np.maximum(state["doubt"][slot] - 1, 0)
        state["doubt"][slot] = np.where(reset, _DOUBT_ROWS, np.where(wrong, 0, doubt)).astype(np.int8)
        state["last"][slot] = np.where(moves, value, last)
        state["at"][slot] = np.where(moves, ts, at)
        return lost, pace * self.params.per_s, last

    def _rolled(self, slot: NDArray[Any], last: Float64, value: Float64, seconds: Float64, fell: Bool) -> tuple[Float64, Bool]:
        """What was counted through a rollover, and whether there was one."""
        if not fell.any():
            return np.zeros(len(slot)), np.zeros(len(slot), dtype=np.bool_)
        if self.params.capacity:
            end = np.full(len(slot), self.params.capacity)
        else:
            end = _ENDS[np.minimum(np.searchsorted(_ENDS, np.nan_to_num(last), side="right"), len(_ENDS) - 1)]
        through = end - last + value
        near = (last >= (1 - _NEAR) * end) & (last <= end) & (value >= 0) & (value <= _NEAR * end)
        known = self.state["rows"][slot] >= _KNOWN_ROWS
        usual = self.params.most * self.state["pace"][slot] * np.maximum(seconds, 0.0)
        return through, fell & near & (~known | (through <= usual))

    def _learn(self, slot: NDArray[Any], pace: Float64, tells: Bool) -> None:
        """Usual rate a second: the mean at first, then exponentially; no row counts for more than ``most`` times it."""
        state = self.state
        rows, usual = state["rows"][slot], state["pace"][slot]
        cap = np.where((rows >= _KNOWN_ROWS) & (usual > 0), usual * self.params.most, np.inf)
        step = (np.minimum(np.where(tells, pace, 0.0), cap) - usual) / np.minimum(rows + 1.0, _MEMORY)
        state["pace"][slot] = np.where(tells, usual + step, usual)
        state["rows"][slot] = np.where(tells, np.minimum(rows, 2**30) + 1, rows)

    def grow(self, size: int) -> None:
        super().grow(size)
        self._usual.grow(size)

    def forget(self, slots: NDArray[Any]) -> None:
        super().forget(slots)
        self._usual.forget(slots)

    def snapshot(self) -> Snapshot:
        return {**super().snapshot(), **{f"usual_{name}": saved for name, saved in self._usual.snapshot().items()}}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self._usual.restore({name.removeprefix("usual_"): part for name, part in saved.items() if name.startswith("usual_")})


def _spread(told: Measures, rows: NDArray[np.intp], n: int) -> Measures:
    """Measures of some rows as measures of ``n``; the others say nothing."""
    if len(rows) == n:
        return told
    place = {int(row): i for i, row in enumerate(rows.tolist())}

    def wide(part: Float64 | None) -> Float64 | None:
        if part is None:
            return None
        full = np.full(n, np.nan)
        full[rows] = part
        return full

    measure = wide(told.measure)
    assert measure is not None
    words = told.explain
    explain = None if words is None else lambda i: words(place[i])
    return Measures(measure, wide(told.expected), wide(told.score), explain)

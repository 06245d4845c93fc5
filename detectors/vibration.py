"""Vibration: whether the energy of a signal, whole or by frequency, is still what it was for this series.

A bearing that wears, a bridge hanger that lost its tension, a billboard in the wind: the mean says nothing, the spread and
where in the spectrum it lies say it early. ``rows`` readings make a window, whatever the sampling; of each window the
root mean square about its own mean (``feature = "rms"``), the same by bands of frequency (``"bands"``), or both are compared,
as logarithms, with the series' own history by :mod:`detectors.robust_z`: learned, clipped, frozen and adopted as there.

* Bands are octaves below the sampling's own limit (half of one reading per interval), or ``bands_hz`` where a structure's
  frequencies are known; a band the sampling does not reach says nothing.
* Spectra need even sampling. A window in which one interval was more than 1.6 times the mean one is judged by its RMS only; a
  gap of more than five intervals begins the window anew.
* Works on raw acceleration at 100 Hz and on a feature that is reported once a minute alike; there "Hz" are those of the
  reports, so leave ``bands_hz`` out.

Do not use it where a standard gives the RMS (:mod:`detectors.threshold` on ``acc_rms``). Hann window as in Harris, *On the Use
of Windows for Harmonic Analysis*, Proc. IEEE 1978.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Columns, Detector, Measures, Params, Snapshot, register
from detectors.robust_z import RobustZ, RobustZParams
from detectors.series import Series
from streams.batch import Batch, Bool, Float64

_NEVER = np.iinfo(np.int64).min // 2
#: Of an even sampling no interval is much longer than the mean one; a gap is one of more than five.
_UNEVEN, _GAP = 1.6, 5.0
#: Energy below this share of the window's mean is rounding.
_ROUNDING = 1e-9


class VibrationParams(Params, frozen=True):
    """``rows``: readings a window (a power of two is quickest). ``side``: more energy, or less as well.

    ``unit``: measure in usual deviations of the logarithm, or in ``times`` the usual energy (as RMS). ``warmup``, ``memory``,
    ``freeze`` (in deviations), ``adopt_after``: in windows, as of :mod:`detectors.robust_z`. ``floor``: an RMS below counts as
    this one, in the metric's unit.
    """

    rows: Annotated[int, Meta(ge=4, le=1024)] = 64
    feature: Literal["rms", "bands", "both"] = "both"
    bands_hz: tuple[tuple[float, float], ...] = ()
    side: Literal["above", "both"] = "above"
    unit: Literal["deviations", "times"] = "deviations"
    floor: Annotated[float, Meta(ge=0)] = 0.0
    warmup: Annotated[int, Meta(ge=10)] = 30
    memory: Annotated[float, Meta(ge=20)] = 300.0
    freeze: Annotated[float, Meta(gt=1)] = 8.0
    adopt_after: Annotated[int, Meta(ge=5)] = 60

    def __post_init__(self) -> None:
        if len(self.bands_hz) > 8 or not all(0 <= low < high for low, high in self.bands_hz):
            raise ValueError("bands_hz are at most 8 pairs [low, high] with 0 <= low < high")


@register
class Vibration(Detector[VibrationParams]):
    """Measure: the largest deviation of a window's features, on the row that completes it; NaN on others and in warm-up."""

    name: ClassVar[str] = "vibration"
    streams: ClassVar[frozenset[str]] = frozenset({"sensor"})
    Params: ClassVar[type[Params]] = VibrationParams

    def __init__(self, params: VibrationParams, series: Sequence[Series]) -> None:
        self._octaves = _octaves(params.rows)
        bands = len(params.bands_hz) or len(self._octaves)
        #: Features of a slot: the RMS first, then the bands.
        self._features = {"rms": 1, "bands": bands, "both": 1 + bands}[params.feature]
        self._hann = np.hanning(params.rows + 1)[:-1]
        super().__init__(params, series)
        usual = RobustZParams(
            warmup=params.warmup, memory=params.memory, freeze=params.freeze, adopt_after=params.adopt_after, side=params.side
        )
        # A slot of the history is one feature of one series.
        self._history = RobustZ(usual, [])

    def columns(self) -> Columns:
        return Columns(
            held=(np.float64, 0.0, (self.params.rows,)),
            count=(np.int32, 0),
            first=(np.int64, _NEVER),
            last=(np.int64, _NEVER),
            widest=(np.int64, 0),
        )

    def measure(self, batch: Batch) -> Measures:
        return self._measure(batch, good=False)

    def teach(self, batch: Batch) -> None:
        self._measure(batch, good=True)

    def _measure(self, batch: Batch, good: bool) -> Measures:
        n, value = len(batch), batch.columns.get("value")
        measure, score = np.full(n, np.nan), np.full(n, np.nan)
        if value is None:
            return Measures(measure, None, score)
        known = np.flatnonzero(np.abs(value) < 1e100)
        full = known[self._hold(batch.slot[known], batch.ts[known], value[known])]
        if not len(full):
            return Measures(measure, None, score)
        slot = batch.slot[full]
        hertz = self._hertz(slot)
        energy = self._energies(self.state["held"][slot], hertz)
        self.state["count"][slot] = 0
        told, tale = self._judge(batch, full, energy, good)
        if told is None:
            return Measures(measure, None, score)
        rated = np.reshape(told.measure, energy.shape)
        spoken = np.flatnonzero(~np.isnan(rated).all(axis=1))
        which = np.zeros(len(full), dtype=np.intp)
        which[spoken] = np.nanargmax(rated[spoken], axis=1)
        assert told.expected is not None and told.score is not None
        every = np.arange(len(full))
        deviation = rated[every, which]
        usual = np.reshape(told.expected, energy.shape)[every, which]
        with np.errstate(over="ignore"):
            times = np.power(10.0, np.clip(energy[every, which] - usual, -12, 12))
        if self.params.side == "both":
            times = np.maximum(times, 1 / times)
        times = np.where(np.isnan(deviation), np.nan, times)
        measure[full] = deviation if self.params.unit == "deviations" else times
        score[full] = np.reshape(told.score, energy.shape)[every, which]
        place = {int(row): i for i, row in enumerate(full.tolist())}

        def explain(i: int) -> str:
            k = place[i]
            what = self._words(int(which[k]), float(hertz[k]))
            return f"{what} {10 ** energy[k, which[k]]:.3g}, usually {10 ** usual[k]:.3g} (RMS): {times[k]:.1f} times; {tale}"

        return Measures(measure, None, score, explain)

    def _hold(self, slot: NDArray[Any], ts: NDArray[Any], value: Float64) -> Bool:
        """Take the rows into their windows; True where the window is full now."""
        state = self.state
        count, gap = state["count"][slot], ts - state["last"][slot]
        pace = (state["last"][slot] - state["first"][slot]) / np.maximum(count - 1, 1)
        anew = (count == 0) | ((count > 2) & (gap > _GAP * np.maximum(pace, 1.0)))
        place = np.where(anew, 0, count)
        state["held"][slot, place] = value
        state["first"][slot] = np.where(anew, ts, state["first"][slot])
        state["widest"][slot] = np.where(anew, 0, np.maximum(state["widest"][slot], gap))
        state["last"][slot] = ts
        state["count"][slot] = place + 1
        full: Bool = place + 1 == self.params.rows
        return full

    def _hertz(self, slot: NDArray[Any]) -> Float64:
        """Readings a second of each full window; NaN where they came too unevenly for a spectrum."""
        mean = (self.state["last"][slot] - self.state["first"][slot]) / (self.params.rows - 1)
        even = (mean > 0) & (self.state["widest"][slot] <= _UNEVEN * mean + 1)
        hertz: Float64 = np.divide(1000.0, mean, out=np.full(len(slot), np.nan), where=even)
        return hertz

    def _energies(self, windows: Float64, hertz: Float64) -> Float64:
        """Base-10 logarithms of the RMS of each feature; shape (windows, features), NaN where there is none."""
        mean = windows.mean(axis=1)
        away = windows - mean[:, None]
        floor = np.maximum(np.maximum(np.abs(mean) * _ROUNDING, self.params.floor), 1e-30)
        parts: list[Float64] = []
        if self.params.feature != "bands":
            parts.append(np.sqrt((away * away).mean(axis=1)))
        if self.params.feature != "rms":
            power = np.abs(np.fft.rfft(away * self._hann, axis=1)) ** 2 * 2.0
            power /= self.params.rows * (self._hann**2).sum()
            for mask in self._masks(hertz, power.shape[1]):
                inside = mask.any(axis=1) & np.isfinite(hertz)
                parts.append(np.where(inside, np.sqrt(np.where(mask, power, 0.0).sum(axis=1)), np.nan))
        energies: Float64 = np.log10(np.maximum(np.stack(parts, axis=1), floor[:, None]))
        return energies

    def _masks(self, hertz: Float64, bins: int) -> list[Bool]:
        """Which bins of the spectrum each band holds, per window."""
        if not self.params.bands_hz:
            line = np.arange(bins)
            return [np.broadcast_to((line >= low) & (line < high), (len(hertz), bins)) for low, high in self._octaves]
        frequency = np.arange(bins) / self.params.rows * np.nan_to_num(hertz)[:, None]
        reaches = np.nan_to_num(hertz)[:, None] / 2
        return [
            (frequency >= low) & (frequency < high) & (frequency > 0) & (high <= reaches) for low, high in self.params.bands_hz
        ]

    def _judge(self, batch: Batch, full: NDArray[np.intp], energy: Float64, good: bool) -> tuple[Measures | None, str]:
        slot = (batch.slot[full].astype(np.int64)[:, None] * self._features + np.arange(self._features)).reshape(-1)
        each = np.repeat(full, self._features)
        wide = batch.take(each, slot.astype(np.int32))
        wide.columns = {"value": energy.reshape(-1)}
        tale = f"window of {self.params.rows} readings"
        if good:
            self._history.teach(wide)
            return None, tale
        return self._history.measure(wide), tale

    def _words(self, feature: int, hertz: float) -> str:
        band = feature - (self.params.feature != "bands")
        if band < 0:
            return "vibration"
        if self.params.bands_hz:
            low, high = self.params.bands_hz[band]
        else:
            low, high = (line * hertz / self.params.rows for line in self._octaves[band])
        return f"vibration from {low:.3g} to {high:.3g} Hz"

    def grow(self, size: int) -> None:
        super().grow(size)
        self._history.grow(size * self._features)

    def forget(self, slots: NDArray[Any]) -> None:
        super().forget(slots)
        first = np.asarray(slots, dtype=np.int64)[:, None] * self._features
        self._history.forget((first + np.arange(self._features)).reshape(-1))

    def snapshot(self) -> Snapshot:
        return {**super().snapshot(), **{f"usual_{name}": saved for name, saved in self._history.snapshot().items()}}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self._history.restore({name.removeprefix("usual_"): part for name, part in saved.items() if name.startswith("usual_")})


def _octaves(rows: int) -> list[tuple[int, int]]:
    """Bands of the spectrum's lines, each twice as wide as the one below it, from the top down to the first line.

    >>> _octaves(64)
    [(1, 4), (4, 8), (8, 16), (16, 33)]
    """
    edges, edge, top = [1], 4, rows // 2 + 1
    while edge < top - 1:
        edges.append(edge)
        edge *= 2
    return list(pairwise([*edges, top]))

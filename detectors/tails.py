"""Tails: how rare a deviation is among the series' own past deviations, from a histogram with fading memory.

Nothing is assumed about the distribution: the rarity of a deviation is the share of past ones that were at least as large, on
the same side. Sizes are counted in units of a scale (the mean deviation), in 26 bins whose width is a third of an octave, with
linear interpolation inside a bin. Where the past ends, one imagined reading with a Pareto tail stands in, so a deviation ten
times beyond anything seen is rarer than one just beyond it. Old readings fade: a reading counts a third after ``memory`` rows.
The fading costs nothing per row, because new readings weigh more instead; from time to time a slot is brought back to one.

Each measured quantity (*channel*) has its own scale and its own pair of tails; a channel that has only an upper side shares
the bins of one. Per slot 9 × 26 × 4 bytes and 24 more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.base import Columns
from streams.batch import Bool, Float64, Int32

#: Bins of a third of an octave; the first one holds everything below a third of a scale, the last everything beyond 110.
_BINS = 26
_PER_OCTAVE = 3.0
_LOWEST = -1.5
#: The imagined reading: a tail that falls with the square of the size beyond three scales.
_IMAGINED_AT = 3.0
#: Weight of a row at which a slot is brought back to one: 32-bit counts keep four digits.
_HEAVY = 1e4
#: A row changes a scale as if it were at most so many scales.
_CLIP = 10.0
_SCALE_ROWS = 10_000.0
_SMALLEST = 1e-300

CHANNELS = ("hour", "ten minutes", "short mean", "spread", "long mean")
HOUR, TEN, SHORT, SPREAD, LONG = range(5)
#: Upper and lower tail of each channel. Of the spread only the rise is judged; its lower side is never read.
_UPPER = np.array([0, 2, 4, 6, 7])
_LOWER = np.array([1, 3, 5, 6, 8])
_SIDES = 9
_EVERY = np.arange(_BINS)

COLUMNS = {
    "tails": (np.float32, 0.0, (_SIDES, _BINS)),
    "tail_weight": (np.float32, 1.0),
    "tail_rows": (np.int32, 0),
    "channel_scale": (np.float32, 0.0, (len(CHANNELS),)),
}


def place(size: Float64) -> tuple[NDArray[np.int64], Float64]:
    """Bin of each size (in scales) and how far into the bin it lies, 0 to 1."""
    height = (np.log2(np.maximum(size, _SMALLEST)) - _LOWEST) * _PER_OCTAVE
    whole = np.floor(np.clip(height, -1.0, _BINS - 2))
    inside = np.where(height < 0, np.minimum(size / 2.0**_LOWEST, 1.0), height - whole)
    return (whole + 1).astype(np.int64), np.clip(inside, 0.0, 1.0)


class Ranked:
    """Sizes and rarities of one batch: arrays of shape (rows, channels).

    ``size`` is the deviation in scales, ``rarity`` −log10 of the share of the past that was as large; both 0 while a
    channel has no scale.
    """

    __slots__ = ("_bin", "_raw", "_side", "rarity", "scale", "size")

    def __init__(self, state: Columns, slot: Int32, raw: Float64, memory: float) -> None:
        rows = len(slot)
        self._raw = np.abs(raw)
        self.scale = state["channel_scale"][slot].astype(np.float64)
        known = self.scale > 0
        with np.errstate(over="ignore"):
            self.size = np.minimum(np.divide(self._raw, self.scale, out=np.zeros_like(raw), where=known), 1e12)
        self._bin, inside = place(self.size)
        self._side = np.where(raw < 0, _LOWER, _UPPER)
        counts = state["tails"][slot[:, None], self._side]
        beyond = np.where(self._bin[..., None] < _EVERY, counts, 0.0).sum(axis=2, dtype=np.float64)
        own = np.take_along_axis(counts, self._bin[..., None], axis=2)[..., 0]
        # The last bin has no upper end: everything in it counts as at least as large.
        beyond += own * np.where(self._bin == _BINS - 1, 1.0, 1.0 - inside)
        weight = state["tail_weight"][slot].astype(np.float64)[:, None]
        total = memory * -np.expm1(-state["tail_rows"][slot] / memory)[:, None]
        imagined = (_IMAGINED_AT / np.maximum(self.size, _IMAGINED_AT)) ** 2
        share = (beyond / weight + imagined) / (total + 1.0)
        self.rarity = np.where(known, -np.log10(np.minimum(share, 1.0)), 0.0)
        assert self.rarity.shape == (rows, len(CHANNELS))

    def count(self, state: Columns, slot: Int32, memory: float, count: Bool, scale: Bool) -> None:
        """Count the rows of ``count`` in their tails; let the rows of ``scale`` move the scales (a first row sets them)."""
        had = self.scale
        rows = np.minimum(state["tail_rows"][slot], 2**30) + 1
        moved = had + (np.minimum(self._raw, _CLIP * had) - had) / np.minimum(rows, _SCALE_ROWS)[:, None]
        fresh = np.where(had > 0, moved, self._raw)
        state["channel_scale"][slot[scale]] = fresh[scale]
        which = slot[count]
        weight = state["tail_weight"][which]
        for channel in range(len(CHANNELS)):
            state["tails"][which, self._side[count, channel], self._bin[count, channel]] += np.where(
                had[count, channel] > 0, weight, 0
            )
        state["tail_rows"][which] = rows[count]
        weight = weight * np.float32(np.exp(1.0 / memory))
        state["tail_weight"][which] = weight
        heavy = which[weight > _HEAVY]
        if len(heavy):
            state["tails"][heavy] /= state["tail_weight"][heavy][:, None, None]
            state["tail_weight"][heavy] = 1.0


def forget_beyond(state: Columns, slot: Int32, size: float) -> None:
    """Take what lies beyond ``size`` scales out of the tails of these slots: it belonged to a change that is normal now."""
    first = int(place(np.array([size]))[0][0])
    state["tails"][slot, :, first:] = 0.0

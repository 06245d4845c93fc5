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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import Columns
from detectors.plain import Held, single
from detectors.small import bounded
from streams.batch import Bool, Float64, Int32

#: Bins of a third of an octave; the first one holds everything below a third of a scale, the last everything beyond 110.
_BINS = 26
_PER_OCTAVE = 3.0
_LOWEST = -1.5
_FIRST_WIDTH = 2.0**_LOWEST
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
_UPPER_SIDE, _LOWER_SIDE = _UPPER.tolist(), _LOWER.tolist()
_EVERY = np.arange(_BINS)
#: Of each bin: which ones lie above it.
_ABOVE = (_EVERY[:, None] < _EVERY).astype(np.float32)

COLUMNS = {
    "tails": (np.float32, 0.0, (_SIDES, _BINS)),
    "tail_weight": (np.float32, 1.0),
    "tail_rows": (np.int32, 0),
    "channel_scale": (np.float32, 0.0, (len(CHANNELS),)),
}


def place(size: Float64) -> tuple[NDArray[np.int64], Float64]:
    """Bin of each size (in scales) and how far into the bin it lies, 0 to 1."""
    height = (np.log2(np.maximum(size, _SMALLEST)) - _LOWEST) * _PER_OCTAVE
    whole = np.floor(bounded(height, -1.0, _BINS - 2))
    inside = np.where(height < 0, np.minimum(size / _FIRST_WIDTH, 1.0), height - whole)
    return (whole + 1).astype(np.int64), bounded(inside, 0.0, 1.0)


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
        beyond = (counts * _ABOVE.take(self._bin, axis=0)).sum(axis=2, dtype=np.float64)
        own = counts.reshape(-1).take(np.arange(0, counts.size, _BINS).reshape(self._bin.shape) + self._bin)
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
        # A cell of the flat tails for every row and channel; no two are the same, so that `+=` loses none.
        cell = (which[:, None] * _SIDES + self._side[count]) * _BINS + self._bin[count]
        state["tails"].reshape(-1)[cell] += np.where(had[count] > 0, weight[:, None], np.float32(0))
        state["tail_rows"][which] = rows[count]
        weight = weight * np.float32(np.exp(1.0 / memory))
        state["tail_weight"][which] = weight
        heavy = which[weight > _HEAVY]
        if len(heavy):
            state["tails"][heavy] /= state["tail_weight"][heavy][:, None, None]
            state["tail_weight"][heavy] = 1.0


class RankedOne(NamedTuple):
    """:class:`Ranked` of one row: lists with one number a channel."""

    raw: list[float]
    scale: list[float]
    size: list[float]
    rarity: list[float]
    side: list[int]
    bin: list[int]


def rank_one(held: Held, raw: list[float], memory: float) -> RankedOne:
    """Sizes and rarities of one row's deviations."""
    away, scale = [abs(one) for one in raw], held.channel_scale.tolist()
    size = [min(one / unit, 1e12) if unit > 0 else 0.0 for one, unit in zip(away, scale, strict=True)]
    side = [_LOWER_SIDE[channel] if one < 0 else _UPPER_SIDE[channel] for channel, one in enumerate(raw)]
    octaves = np.log2([max(one, _SMALLEST) for one in size]).tolist()
    total = memory * -float(np.expm1(-held.tail_rows / memory)) + 1.0
    placed = [_place_one(one, high) for one, high in zip(size, octaves, strict=True)]
    bins = [at for at, _ in placed]
    counts = held.tails.take(side, axis=0)
    sums = (counts * _ABOVE.take(bins, axis=0)).sum(axis=1, dtype=np.float64).tolist()
    shares = []
    for channel, (at, inside) in enumerate(placed):
        beyond = sums[channel] + counts.item(channel, at) * (1.0 if at == _BINS - 1 else 1.0 - inside)
        imagined = _IMAGINED_AT / max(size[channel], _IMAGINED_AT)
        shares.append(min((beyond / held.tail_weight + imagined * imagined) / total, 1.0))
    rarity = [-rank if unit > 0 else 0.0 for rank, unit in zip(np.log10(shares).tolist(), scale, strict=True)]
    return RankedOne(away, scale, size, rarity, side, bins)


def _place_one(size: float, octaves: float) -> tuple[int, float]:
    """:func:`place` of one size and its binary logarithm."""
    height = (octaves - _LOWEST) * _PER_OCTAVE
    if height < 0:
        return 0, min(size / _FIRST_WIDTH, 1.0)
    whole = int(height) if height < _BINS - 2 else _BINS - 2
    return whole + 1, min(height - whole, 1.0)


def count_one(held: Held, ranked: RankedOne, memory: float) -> None:
    """:meth:`Ranked.count` of a row that is counted and moves the scales."""
    held.tail_rows = min(held.tail_rows, 2**30) + 1
    share, weight = min(held.tail_rows, _SCALE_ROWS), held.tail_weight
    for channel, (raw, had) in enumerate(zip(ranked.raw, ranked.scale, strict=True)):
        if had > 0:
            held.channel_scale[channel] = had + (min(raw, _CLIP * had) - had) / share
            held.tails[ranked.side[channel], ranked.bin[channel]] += weight
        else:
            held.channel_scale[channel] = raw
    weight = single(weight * single(float(np.exp(1.0 / memory))))
    if weight > _HEAVY:
        held.tails /= weight
        weight = 1.0
    held.tail_weight = weight


def forget_beyond(state: Columns, slot: Int32, size: float) -> None:
    """Take what lies beyond ``size`` scales out of the tails of these slots: it belonged to a change that is normal now."""
    first = int(place(np.array([size]))[0][0])
    state["tails"][slot, :, first:] = 0.0

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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Columns
from detectors.elementary import double, exp, exp_one, expm1, expm1_one, least, log2, log2_one, log10, log10_one, most
from detectors.small import bounded
from streams.batch import Bool, Float64, Int32
from streams.compiled import compiled

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
#: No size is larger, and what is no number counts as this large: it has a bin.
_LARGEST = 1e12

CHANNELS = ("hour", "ten minutes", "short mean", "spread", "long mean")
HOUR, TEN, SHORT, SPREAD, LONG = range(5)
#: Upper and lower tail of each channel. Of the spread only the rise is judged; its lower side is never read.
_UPPER_SIDE, _LOWER_SIDE = (0, 2, 4, 6, 7), (1, 3, 5, 6, 8)
_UPPER, _LOWER = np.array(_UPPER_SIDE), np.array(_LOWER_SIDE)
_SIDES = 9
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
    height = (log2(np.maximum(size, _SMALLEST)) - _LOWEST) * _PER_OCTAVE
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
            size = np.divide(self._raw, self.scale, out=np.zeros_like(raw), where=known)
        self.size = np.where(size < _LARGEST, size, _LARGEST)
        self._bin, inside = place(self.size)
        self._side = np.where(raw < 0, _LOWER, _UPPER)
        counts = state["tails"][slot[:, None], self._side]
        # Added up one after the other, as a loop does: the order of ``sum`` is numpy's affair.
        beyond = np.add.accumulate(counts * _ABOVE.take(self._bin, axis=0), axis=2, dtype=np.float64)[:, :, -1]
        own = counts.reshape(-1).take(np.arange(0, counts.size, _BINS).reshape(self._bin.shape) + self._bin)
        # The last bin has no upper end: everything in it counts as at least as large.
        beyond += own * np.where(self._bin == _BINS - 1, 1.0, 1.0 - inside)
        weight = state["tail_weight"][slot].astype(np.float64)[:, None]
        total = memory * -expm1(-state["tail_rows"][slot] / memory)[:, None]
        imagined = np.square(_IMAGINED_AT / np.maximum(self.size, _IMAGINED_AT))
        share = (beyond / weight + imagined) / (total + 1.0)
        self.rarity = np.where(known, -log10(np.minimum(share, 1.0)), 0.0)
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
        # A cell of the tails for every row and channel; no two are the same, so that `+=` loses none.
        cell = which[:, None], self._side[count], self._bin[count]
        state["tails"][cell] += np.where(had[count] > 0, weight[:, None], np.float32(0))
        state["tail_rows"][which] = rows[count]
        weight = weight * exp(np.array(1.0 / memory)).astype(np.float32)
        state["tail_weight"][which] = weight
        heavy = which[weight > _HEAVY]
        if len(heavy):
            state["tails"][heavy] /= state["tail_weight"][heavy][:, None, None]
            state["tail_weight"][heavy] = 1.0


def forget_beyond(state: Columns, slot: Int32, size: float) -> None:
    """Take what lies beyond ``size`` scales out of the tails of these slots: it belonged to a change that is normal now."""
    first = int(place(np.array([size]))[0][0])
    state["tails"][slot, :, first:] = 0.0


#: :class:`Ranked` of one row: one number a channel. A record is handed on as it is; of arrays, compiled code would count who
#: holds them, at every call.
RANKED_ONE = np.dtype(
    [(name, np.float64, len(CHANNELS)) for name in ("raw", "scale", "size", "inside", "share", "rarity")]
    + [(name, np.int64, len(CHANNELS)) for name in ("side", "bin")]
)


@compiled
def place_one(size: float) -> tuple[int, float]:
    """:func:`place` of one size."""
    height = (log2_one(most(size, _SMALLEST)) - _LOWEST) * _PER_OCTAVE
    whole = np.floor(least(most(height, -1.0), _BINS - 2.0))
    inside = least(size / _FIRST_WIDTH if height < 0 else height - whole, 1.0)
    return int(whole) + 1, inside


@compiled
def rank_one(held: Any, memory: float, ranked: Any) -> None:
    """Sizes and rarities of one row, whose deviations are in ``ranked.raw`` and become their sizes there."""
    weight = double(held.tail_weight)
    total = memory * -expm1_one(-held.tail_rows / memory)
    # In three steps, each of which is the same for all channels: a processor reckons the five beside each other.
    for channel in range(len(CHANNELS)):
        raw, scale = ranked.raw[channel], double(held.channel_scale[channel])
        size = abs(raw) / scale if scale > 0 else 0.0
        size = size if size < _LARGEST else _LARGEST
        ranked.side[channel] = _LOWER_SIDE[channel] if raw < 0 else _UPPER_SIDE[channel]
        ranked.raw[channel], ranked.scale[channel], ranked.size[channel] = abs(raw), scale, size
        ranked.bin[channel], ranked.inside[channel] = place_one(size)
    for channel in range(len(CHANNELS)):
        side, at, inside, size = ranked.side[channel], ranked.bin[channel], ranked.inside[channel], ranked.size[channel]
        beyond = 0.0
        for above in range(at + 1, _BINS):
            beyond += double(held.tails[side, above])
        beyond += double(held.tails[side, at]) * (1.0 if at == _BINS - 1 else 1.0 - inside)
        imagined = _IMAGINED_AT / most(size, _IMAGINED_AT)
        ranked.share[channel] = least((beyond / weight + imagined * imagined) / (total + 1.0), 1.0)
    for channel in range(len(CHANNELS)):
        ranked.rarity[channel] = -log10_one(ranked.share[channel]) if ranked.scale[channel] > 0 else 0.0


@compiled
def count_one(held: Any, ranked: Any, memory: float) -> None:
    """:meth:`Ranked.count` of a row that is counted and moves the scales."""
    rows = min(int(held.tail_rows), 2**30) + 1
    share, weight = least(float(rows), _SCALE_ROWS), double(held.tail_weight)
    for channel in range(len(CHANNELS)):
        raw, had = ranked.raw[channel], ranked.scale[channel]
        if had > 0:
            held.channel_scale[channel] = had + (least(raw, _CLIP * had) - had) / share
            side, at = ranked.side[channel], ranked.bin[channel]
            held.tails[side, at] = double(held.tails[side, at]) + weight
        else:
            held.channel_scale[channel] = raw
    held.tail_rows = rows
    held.tail_weight = weight * double(np.float32(exp_one(1.0 / memory)))
    heavy = double(held.tail_weight)
    if heavy > _HEAVY:
        for side in range(_SIDES):
            for at in range(_BINS):
                held.tails[side, at] = double(held.tails[side, at]) / heavy
        held.tail_weight = 1.0


@compiled
def forget_beyond_one(held: Any, size: float) -> None:
    """:func:`forget_beyond` of one slot."""
    first = place_one(size)[0]
    for side in range(_SIDES):
        for at in range(first, _BINS):
            held.tails[side, at] = 0.0

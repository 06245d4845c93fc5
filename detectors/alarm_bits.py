"""Alarm bits: what the terminal of a vehicle says of itself by the alarm word of JT/T 808 (SOS, power cut, rollover …).

The bits are a state, not events: most hold until the condition ends, and stand in every report till then (domain.md B4).
The measure is the number of watched bits that are set, so one alarm is raised at 0→1 and cleared at 1→0, however often it is
repeated. Bits that the terminal clears once acknowledged (SOS, area, route) deserve a rule with ``hold_s``.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from detectors import fixes
from detectors.base import Detector, Measures, Params, register
from streams.batch import Batch


@lru_cache(maxsize=1)
def bit_names() -> dict[str, int]:
    """Name of every bit of the alarm word, from ``terminal_alarms.toml``."""
    table: dict[str, int] = tomllib.loads((Path(__file__).parent / "terminal_alarms.toml").read_text("utf-8"))["bits"]
    return table


class AlarmBitsParams(Params, frozen=True):
    """``bits``: names of ``terminal_alarms.toml``. ``loaded_only``: not of empty trucks (unknown load says nothing)."""

    bits: tuple[str, ...]
    loaded_only: bool = False
    only_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.bits if name not in bit_names()]
        if unknown or not self.bits:
            raise ValueError(f"`bits` must be some of {', '.join(bit_names())}; unknown: {', '.join(unknown) or 'none given'}")


@register
class AlarmBits(Detector[AlarmBitsParams]):
    """No state: the word is the state.

    >>> from detectors.series import Series
    >>> detector = AlarmBits(AlarmBitsParams(("sos", "power_cut")), [Series("T1", stream="vehicle")])
    >>> slot, at = np.zeros(3, dtype=np.int32), np.arange(3)
    >>> word = {"alarm_bits": np.array([0.0, 1.0, 257.0])}
    >>> detector.measure(Batch("vehicle", slot, at, at, at, slot, slot > 0, [None] * 3, word)).measure.tolist()
    [0.0, 1.0, 2.0]
    """

    name: ClassVar[str] = "alarm_bits"
    streams: ClassVar[frozenset[str]] = frozenset({"vehicle"})
    Params: ClassVar[type[Params]] = AlarmBitsParams
    repeats: ClassVar[bool] = True

    def measure(self, batch: Batch) -> Measures:
        values = fixes.column(batch, "alarm_bits")
        word = fixes.words(values)
        watched = [(name, (word >> bit_names()[name]) & 1) for name in self.params.bits]
        measure = np.sum([bits for _, bits in watched], axis=0).astype(np.float64)
        said = ~np.isnan(values) & fixes.of_kinds(batch, self.series, self.params.only_kinds)
        if self.params.loaded_only:
            load = fixes.column(batch, "load")
            said &= ~np.isnan(load)
            measure = np.where(load >= fixes.LOAD_HALF, measure, 0.0)
        return Measures(
            np.where(said, measure, np.nan),
            explain=lambda row: "terminal reports " + ", ".join(name for name, bits in watched if bits[row]),
        )

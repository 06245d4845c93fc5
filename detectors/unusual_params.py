"""What can be set of :mod:`detectors.unusual`, and what is fixed of it: for both ways to reckon it."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta

from detectors.base import Params
from detectors.elementary import log

#: Weights of hour, ten minutes, short mean and spread in the evidence, scaled to a sum of three.
WEIGHTS = tuple(weight * 3.0 / 4.25 for weight in (1.0, 1.0, 1.75, 0.5))
LONG_WEIGHT = 2.18
BEYOND_SEEN = 1.0
#: Readings a day from which on each ten times more readings ask for two more of evidence, up to two more.
BRISK = 288.0
BRISKER = 2.0
LEANING = 144.0
#: Rows of the short mean and of the spread, and of the long mean.
SHORT, LONG = 12.0, 100.0
#: Logarithms of what is left of those means after one row.
LN_REST, LN_REST_LONG = log(np.array([1.0 - 1.0 / SHORT, 1.0 - 1.0 / LONG])).tolist()
#: A single row counts in the short mean as at most so many scales, in the long mean as at most half of it.
CAP = 8.0
#: Learned rows before a scale means anything.
FIRST_ROWS = 20
#: A row further off than this is clipped when learned from; beyond the freeze an unusual row is not learned from at all.
CLIP = 10.0
SCALE_ROWS = 10_000.0
#: Mean absolute deviation of Gaussian noise, in standard deviations.
SIGMAS = 0.798
#: On its first day a series has no rhythm yet and must be this much further off; on its second day the less the later.
FIRST_DAY = 1.7
#: No quantity of a city is beyond it, and differences stay within 32 bits.
LARGEST = 1e30


class Fixed(NamedTuple):
    """The parameters as compiled loops take them; named and explained in :class:`UnusualParams`."""

    bound: float
    noise_days: float
    warmup: int
    memory: float
    profile_days: float
    quiet: int
    adopt_after: int
    freeze: float


class UnusualParams(Params, frozen=True):
    """``bound``: evidence an alarm takes. ``noise_days``: days of readings of which mere noise would go as far once.

    ``warmup`` rows say nothing. ``memory``: rows after which a reading counts a third in the tails. ``profile_days``: days
    of readings a bin of the day follows. ``quiet``: rows of silence after an alarm. ``adopt_after``: rows running far off
    that are a new normal. ``freeze``: an unusual row further off than so many scales is not learned from.
    """

    bound: Annotated[float, Meta(gt=0)] = 7.4
    noise_days: Annotated[float, Meta(gt=0)] = 150.0
    warmup: Annotated[int, Meta(ge=20)] = 100
    memory: Annotated[float, Meta(ge=100)] = 3000.0
    profile_days: Annotated[float, Meta(ge=1)] = 10.0
    quiet: Annotated[int, Meta(ge=1, le=30000)] = 90
    adopt_after: Annotated[int, Meta(ge=30, le=30000)] = 250
    freeze: Annotated[float, Meta(gt=1)] = 8.0
    column: Literal["value", "speed_kmh", "count"] = "value"

    def fixed(self) -> Fixed:
        """Each number of the one type compiled loops know it by: a whole number given for a fraction is another one."""
        return Fixed(
            float(self.bound),
            float(self.noise_days),
            int(self.warmup),
            float(self.memory),
            float(self.profile_days),
            int(self.quiet),
            int(self.adopt_after),
            float(self.freeze),
        )

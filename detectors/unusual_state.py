"""What :mod:`detectors.unusual` holds of a series, and the two times when much of it changes at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors import counter_steps, day_profile, episodes, pace, tails
from detectors.base import Columns
from detectors.elementary import double
from streams.batch import Float64, Int32, Int64
from streams.compiled import compiled

_LEARNED = {
    "anchor": (np.float64, np.nan),
    "previous": (np.float64, np.nan),
    "low": (np.float32, np.inf),
    "high": (np.float32, -np.inf),
    "quantum": (np.float32, np.inf),
    "rows": (np.int32, 0),
    "judged": (np.int32, 0),
    "scale": (np.float32, 0.0, (2,)),
    "short": (np.float32, 0.0),
    "spread": (np.float32, 0.0),
    "long": (np.float32, 0.0),
    **day_profile.COLUMNS,
    **tails.COLUMNS,
    **episodes.COLUMNS,
}
COLUMNS: dict[str, Any] = {**counter_steps.COLUMNS, **pace.COLUMNS, **_LEARNED}


def begin_anew(state: Columns, slot: Int32, ts: Int64) -> None:
    """Nothing is known of these series any more but their pace and whether they count; from ``ts`` on they are new."""
    state["first_ts"][slot] = ts
    blank = Columns(**_LEARNED)  # type: ignore[arg-type]
    blank.grow(1)
    for name in _LEARNED:
        state[name][slot] = blank[name][0]


def adopt(state: Columns, slot: Int32, by: Float64, wider: Float64, freeze: float) -> None:
    """A new regime is normal: it lies off by so much (in the unit of the value) and is so many times as wide."""
    day_profile.shift(state, slot, by)
    state["scale"][slot] *= wider[:, None]
    state["short"][slot], state["spread"][slot], state["long"][slot] = 0.0, 1.0, 0.0
    tails.forget_beyond(state, slot, freeze)


@compiled
def begin_anew_one(records: Any, s: int, blank: Any, ts: int) -> None:
    """:func:`begin_anew` of slot ``s``; ``blank`` is the record of a slot nothing is known of."""
    held = records[s]
    last_ts, interval, intervals = held.last_ts, held.interval, held.intervals
    last, kind, steps, rises, resets = held.last, held.kind, held.steps, held.rises, held.resets
    records[s] = blank
    held.first_ts, held.last_ts, held.interval, held.intervals = ts, last_ts, interval, intervals
    held.last, held.kind, held.steps, held.rises, held.resets = last, kind, steps, rises, resets


@compiled
def adopt_one(held: Any, by: float, wider: float, freeze: float) -> None:
    """:func:`adopt` of one slot."""
    day_profile.shift_one(held, by)
    for k in (0, 1):
        held.scale[k] = double(held.scale[k]) * wider
    held.short, held.spread, held.long = 0.0, 1.0, 0.0
    tails.forget_beyond_one(held, freeze)

"""Episodes: one alarm per trouble, silence until it is over, and a new normal when it does not end.

An *episode* is a run of unusual rows; it is over after a dozen ordinary ones. The first row that is beyond the bound is told.
Then the series holds its tongue for ``quiet`` rows, and for thirty more after every row that is still unusual; only when it
gets much worse (two decades rarer than the worst of the first dozen rows) does it speak again. Each alarm raises the
bound a little (a series that cried lately must cry louder), which fades within weeks of readings.

What is learned: the first two dozen rows of an episode count in the tails, for they did happen; the rows after them do not, and
none moves what is expected by more than the detector's freeze allows. An episode that stays on one side for ``adopt_after``
rows, or goes on unusual for as long, is the new normal: the caller moves the profile there, and the episode ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detectors.base import Columns
from detectors.elementary import double, most
from streams.batch import Bool, Float64, Int32, Int64
from streams.compiled import compiled

#: Rows of an episode that are learned from as far as the freeze lets them.
LEARNED_ROWS = 24
#: Ordinary rows running that end an episode.
_OVER = 12
#: A short mean this many scales away goes on with an episode, and may be a new regime.
AWAY = 3.0
_HUSH = 30
_WORSE = 2.0
_FIRST = 12
#: One alarm raises the bound by a twenty-fifth of it; of the raise a third is left after 2,000 rows.
_CRIED = 0.3
_CRIED_FADES = 1.0 - 1.0 / 2000.0
_LONG = 30_000

COLUMNS = {
    "episode": (np.int16, 0),
    "ordinary": (np.int16, 0),
    "hush": (np.int16, 0),
    "told": (np.int16, _LONG),
    "worst": (np.float32, 0.0),
    "cried": (np.float32, 0.0),
    "since": (np.int64, 0),
    "run": (np.int16, 0),
    "run_mean": (np.float32, 0.0),
    "run_size": (np.float32, 0.0),
}


class Judged:
    """What the rows of one batch are: ``unusual``, ``told`` (the row of the alarm), ``running`` rows of the episode, ``since``.

    ``bound`` is the evidence an alarm takes now; ``adopt`` says which slots' new regime is normal from now on, ``by`` how far
    it lies off and ``wider`` how much wider it is, both in scales.
    """

    __slots__ = ("adopt", "bound", "by", "running", "since", "told", "unusual", "wider")

    def __init__(
        self,
        state: Columns,
        slot: Int32,
        ts: Int64,
        evidence: Float64,
        bound: Float64,
        far: Bool,
        short: Float64,
        away: Float64,
        speaks: Bool,
        quiet: int,
        adopt_after: int,
    ) -> None:
        """``far``: rows that are further off than noise gets. ``short``, ``away``: short mean and deviation, in scales."""
        episode, cried = state["episode"][slot], state["cried"][slot].astype(np.float64) * _CRIED_FADES
        self.bound = bound + cried
        off = np.abs(short) > AWAY
        self.unusual = ((evidence >= bound) & far) | ((episode > 0) & off)
        hush = np.maximum(state["hush"][slot] - 1, 0)
        hush = np.where((hush > 0) & self.unusual, np.maximum(hush, _HUSH), hush)
        told = np.minimum(state["told"][slot], _LONG - 1) + 1
        worst = state["worst"][slot].astype(np.float64)
        worse = (evidence >= worst + _WORSE) & (told >= _FIRST)
        self.told = (evidence >= self.bound) & far & speaks & ((hush == 0) | worse)
        worst = np.where(self.told | ((hush > 0) & (told < _FIRST) & (evidence > worst)), evidence, worst)
        state["cried"][slot] = cried + np.where(self.told, _CRIED, 0.0)
        state["hush"][slot] = np.where(self.told, quiet, hush)
        state["told"][slot] = np.where(self.told, 0, told)
        state["worst"][slot] = worst

        ordinary = np.where(self.unusual, 0, np.minimum(state["ordinary"][slot], _LONG) + 1)
        self.since = np.where(self.unusual & (episode == 0), ts, state["since"][slot])
        episode = np.where(self.unusual, np.minimum(episode, _LONG) + 1, np.where(ordinary >= _OVER, 0, episode))
        self.running = episode
        self._regime(state, slot, short, away, off, adopt_after)
        state["episode"][slot] = np.where(self.adopt, 0, episode)
        state["ordinary"][slot] = ordinary
        state["since"][slot] = self.since

    def _regime(self, state: Columns, slot: Int32, short: Float64, away: Float64, off: Bool, adopt_after: int) -> None:
        """Rows running on one side, or of an episode that goes on: their number, mean and mean size."""
        run, lasts = state["run"][slot], self.running > LEARNED_ROWS
        if not (off | lasts).any():
            # Nearly always: nothing runs.
            self.adopt, self.by, self.wider = np.zeros(len(slot), dtype=np.bool_), np.zeros(len(slot)), np.ones(len(slot))
            if run.any():
                state["run"][slot] = state["run_mean"][slot] = state["run_size"][slot] = 0
            return
        mean, size = state["run_mean"][slot].astype(np.float64), state["run_size"][slot].astype(np.float64)
        on = lasts | (off & ((run == 0) | (short * mean > 0)))
        run = np.where(on, np.minimum(run, _LONG) + 1, 0)
        share = 1.0 / np.maximum(run, 1)
        mean = np.where(on, mean + (away - mean) * share, 0.0)
        size = np.where(on, size + (np.abs(away) - size) * share, 0.0)
        self.adopt = run >= adopt_after
        self.by = mean
        self.wider = np.maximum(1.0, size - np.abs(mean))
        state["run"][slot] = np.where(self.adopt, 0, run)
        state["run_mean"][slot] = np.where(self.adopt, 0.0, mean)
        state["run_size"][slot] = np.where(self.adopt, 0.0, size)


class JudgedOne(NamedTuple):
    """:class:`Judged` of one row."""

    unusual: bool
    told: bool
    bound: float
    running: int
    adopt: bool
    by: float
    wider: float


@compiled
def judge_one(
    held: Any,
    ts: int,
    evidence: float,
    bound: float,
    far: bool,
    short: float,
    away: float,
    speaks: bool,
    quiet: int,
    adopt_after: int,
) -> JudgedOne:
    """What one row is; arguments as in :class:`Judged`."""
    episode, cried = int(held.episode), double(held.cried) * _CRIED_FADES
    lifted = bound + cried
    off = abs(short) > AWAY
    unusual = (evidence >= bound and far) or (episode > 0 and off)
    hush = max(int(held.hush) - 1, 0)
    if hush > 0 and unusual:
        hush = max(hush, _HUSH)
    since_told = min(int(held.told), _LONG - 1) + 1
    worst = double(held.worst)
    worse = evidence >= worst + _WORSE and since_told >= _FIRST
    told = evidence >= lifted and far and speaks and (hush == 0 or worse)
    if told or (hush > 0 and since_told < _FIRST and evidence > worst):
        held.worst = evidence
    held.cried = cried + (_CRIED if told else 0.0)
    held.hush = quiet if told else hush
    held.told = 0 if told else since_told

    ordinary = 0 if unusual else min(int(held.ordinary), _LONG) + 1
    held.ordinary = ordinary
    if unusual and episode == 0:
        held.since = ts
    if unusual:
        episode = min(episode, _LONG) + 1
    elif ordinary >= _OVER:
        episode = 0
    adopt, by, wider = _regime_one(held, short, away, off, episode, adopt_after)
    held.episode = 0 if adopt else episode
    return JudgedOne(unusual, told, lifted, episode, adopt, by, wider)


@compiled
def _regime_one(held: Any, short: float, away: float, off: bool, running: int, adopt_after: int) -> tuple[bool, float, float]:
    """(adopt, by, wider) of one row."""
    run, mean, size = int(held.run), double(held.run_mean), double(held.run_size)
    if running > LEARNED_ROWS or (off and (run == 0 or short * mean > 0)):
        run = min(run, _LONG) + 1
        share = 1.0 / run
        mean += (away - mean) * share
        size += (abs(away) - size) * share
    else:
        run, mean, size = 0, 0.0, 0.0
    adopt = run >= adopt_after
    held.run = 0 if adopt else run
    held.run_mean = 0.0 if adopt else mean
    held.run_size = 0.0 if adopt else size
    return adopt, mean, most(size - abs(mean), 1.0)

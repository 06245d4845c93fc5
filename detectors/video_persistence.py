"""Video persistence: how many detections of one kind a camera has made within a time.

One frame is no finding: algorithms flicker. The measure is the number of detections of at least ``min_confidence`` in the
last ``window_s`` seconds, or 0 until they span ``span_s`` ("3 detections over 5 minutes", domain.md STR-01; "0.8 in 3 frames of
10 s", SMK-01). It decays as time passes, so an alarm ends when the camera sees nothing more. Do not use it where a single
detection must be acted on: :mod:`detectors.threshold` on ``confidence``.

State is bounded whatever the frame rate: detections are counted in 33 parts of the window, each with its first and last time.
A part leaves the window when its last detection does: sparse detections are counted exactly, dense ones to 3 % of the window.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors import fixes
from detectors.base import Columns, Detector, Measures, Params, register
from streams.batch import Batch, Int32, Int64

PARTS = 32
NEVER = np.iinfo(np.int64).max


class VideoPersistenceParams(Params, frozen=True):
    """``min_objects``: detections that report fewer objects (``count``) do not count."""

    window_s: float = 60.0
    min_confidence: float = 0.5
    span_s: float = 0.0
    min_objects: int = 0

    def __post_init__(self) -> None:
        if not 0.1 <= self.window_s <= 7 * 86_400:
            raise ValueError("`window_s` must be 0.1 s to 7 days")
        if not 0 <= self.span_s <= self.window_s:
            raise ValueError("`span_s` must lie within `window_s`, or it is never reached")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError("`min_confidence` must be 0 to 1")


@register
class VideoPersistence(Detector[VideoPersistenceParams]):
    """A slot is a camera and a kind.

    >>> from detectors.series import Series
    >>> detector = VideoPersistence(VideoPersistenceParams(window_s=10), [Series("C1", "fire", "video")]); detector.grow(1)
    >>> def seen(ts, confidence):
    ...     zero, at = np.zeros(1, dtype=np.int32), np.array([ts])
    ...     return Batch("video", zero, at, at, at, zero, zero > 0, [None], {"confidence": np.array([confidence])})
    >>> [detector.measure(seen(ts, c)).measure[0].item() for ts, c in ((1000, 0.9), (2000, 0.2), (5000, 0.8), (11500, 0.9))]
    [1.0, 1.0, 2.0, 2.0]
    >>> detector.due(), detector.tick(16000).measure.tolist()
    (15001, [1.0])
    """

    name: ClassVar[str] = "video_persistence"
    streams: ClassVar[frozenset[str]] = frozenset({"video"})
    Params: ClassVar[type[Params]] = VideoPersistenceParams

    def columns(self) -> Columns:
        ring = (PARTS + 1,)
        return Columns(
            count=(np.int32, 0, ring),
            first=(np.int64, 0, ring),
            last=(np.int64, 0, ring),
            #: Event time minus arrival of the slot's newest row: what turns a tick's time into event time.
            ahead=(np.int64, 0),
            #: Arrival time at which the measure falls next.
            falls=(np.int64, NEVER),
        )

    @property
    def _window(self) -> int:
        return round(self.params.window_s * 1000)

    def measure(self, batch: Batch) -> Measures:
        state, slot, ts = self.state, batch.slot, batch.ts
        counted = fixes.column(batch, "confidence") >= self.params.min_confidence
        if self.params.min_objects > 0:
            counted &= fixes.column(batch, "count") >= self.params.min_objects
        # Rounded up, so that a window never touches more parts than there are.
        width = -(-self._window // PARTS)
        rows = np.flatnonzero(counted)
        part, at = ts[rows] // width, slot[rows]
        place = part % (PARTS + 1)
        fresh = (state["count"][at, place] == 0) | (state["last"][at, place] // width != part)
        state["first"][at, place] = np.where(fresh, ts[rows], state["first"][at, place])
        state["last"][at, place] = ts[rows]
        state["count"][at, place] = np.where(fresh, 1, np.minimum(state["count"][at, place], 2**30) + 1)
        state["ahead"][slot] = ts - batch.arrival
        measure, span = self._count(slot, ts)
        return Measures(measure, explain=lambda row: f"{measure[row]:.0f} detections over {span[row] / 1000:.0f} s")

    def _count(self, slot: Int32 | Int64, ts: Int64) -> tuple[NDArray[np.float64], Int64]:
        """Detections in the window that ends at ``ts``, and their span in ms; notes when the number falls next."""
        state = self.state
        last = state["last"][slot]
        live = (state["count"][slot] > 0) & (last >= (ts - self._window)[:, None]) & (last <= ts[:, None])
        number = np.where(live, state["count"][slot], 0).sum(axis=1).astype(np.float64)
        oldest = np.where(live, state["first"][slot], NEVER).min(axis=1)
        newest = np.where(live, last, 0).max(axis=1)
        leaves = np.where(live, last, NEVER).min(axis=1)
        some = live.any(axis=1)
        span = np.where(some, newest - np.where(some, oldest, 0), 0)
        due = np.where(some, leaves, 0) + self._window + 1 - state["ahead"][slot]
        state["falls"][slot] = np.where(some, due, NEVER)
        return np.where(span >= self.params.span_s * 1000, number, 0.0), span

    def due(self) -> int | None:
        falls = self.state["falls"][: self.state.size]
        earliest = int(falls.min()) if len(falls) else NEVER
        return None if earliest == NEVER else earliest

    def tick(self, now: int) -> Measures | None:
        slot = np.flatnonzero(self.state["falls"][: self.state.size] <= now)
        if not len(slot):
            return None
        measure, _ = self._count(slot, now + self.state["ahead"][slot])
        return Measures(
            measure,
            slot=slot.astype(np.int32),
            explain=lambda row: f"{measure[row]:.0f} detections left in {self.params.window_s:.0f} s",
        )

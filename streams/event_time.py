"""Event time: instants as epoch milliseconds, the watermark of a source, and the grid on which ticks stand (D8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import numpy as np

from streams.batch import Int64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_INSTANT = Annotated[datetime, msgspec.Meta(tz=True)]
_INT64 = 2**63
#: Earlier than every instant, and far enough from the edge of int64 to be reckoned with.
NEVER = -(2**62)
#: Later than every instant; nothing can be added to it.
FOREVER = 2**63 - 1


def epoch_ms(ts: int | str) -> int:
    """UTC epoch milliseconds of a wire timestamp; fractions of a millisecond are cut off.

    >>> epoch_ms("2023-11-15T06:13:20+08:00"), epoch_ms(1700000000000)
    (1700000000000, 1700000000000)

    Raises:
        ValueError: text that is not RFC 3339 with an offset.
        OverflowError: an integer that does not fit 64 bits.
    """
    if isinstance(ts, int):
        if not -_INT64 <= ts < _INT64:
            raise OverflowError("a timestamp must fit a signed 64-bit integer")
        return ts
    try:
        instant: datetime = msgspec.convert(ts, _INSTANT)
        return (instant - _EPOCH) // _MILLISECOND
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError("expected epoch milliseconds or RFC 3339 text with an offset") from error


@dataclass(slots=True)
class Watermark:
    """What a source has told of event time: its newest ``ts`` less the lateness it is allowed.

    Only believed records may be observed: a ``ts`` beyond arrival + tolerance is quarantined and moves nothing.

    >>> mark = Watermark(allowed_lateness_ms=60_000); mark.observe(np.array([100_000, 160_000])); mark.value
    100000
    """

    allowed_lateness_ms: int
    newest: int = NEVER

    def observe(self, ts: Int64) -> None:
        if len(ts):
            self.newest = max(self.newest, int(ts.max()))

    @property
    def value(self) -> int | None:
        """The instant before which nothing more is expected; None before the first record."""
        return None if self.newest == NEVER else self.newest - self.allowed_lateness_ms

    def snapshot(self) -> dict[str, Any]:
        return {"newest": self.newest}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.newest = int(saved["newest"])


@dataclass(slots=True)
class TickGrid:
    """The grid of arrival time. Tick T fires before the first record whose running maximum of arrival is ≥ T.

    The answer depends on arrivals only, never on where a batch was cut: the running maximum is carried over. A caller
    fires a tick only where a timer is due::

        running = grid.running(arrivals)
        while (tick := grid.next(earliest_due())) is not None and (cut := grid.cut(running, tick)) < len(running):
            process(rows up to cut); grid.fire(tick)

    On an idle partition :meth:`pass_idle` says how far time has come without a record.
    """

    step_ms: int = 1000
    #: Running maximum of arrival so far.
    reached: int = NEVER
    #: The newest tick fired.
    fired: int = NEVER

    def next(self, due: int | None) -> int | None:
        """Grid time at which a timer that is due at ``due`` fires: on the grid, and after every tick fired before."""
        if due is None:
            return None
        return max(-(-due // self.step_ms) * self.step_ms, self.fired + self.step_ms if self.fired != NEVER else NEVER)

    def running(self, arrivals: Int64) -> Int64:
        """Running maximum of arrival per row, going on from :attr:`reached`; changes nothing."""
        if not len(arrivals):
            return arrivals
        return np.maximum(np.maximum.accumulate(arrivals), self.reached)

    @staticmethod
    def cut(running: Int64, tick: int) -> int:
        """First row before which ``tick`` fires; the number of rows if it does not fire within them."""
        return int(np.searchsorted(running, tick, side="left"))

    def reach(self, arrival: int) -> None:
        """Rows up to this running maximum are processed."""
        self.reached = max(self.reached, arrival)

    def fire(self, tick: int) -> None:
        self.fired = max(self.fired, tick)
        self.reached = max(self.reached, tick)

    def pass_idle(self, now: int, skew_ms: int) -> int:
        """A fetch begun at ``now`` came back empty at the high water: ticks up to the returned time may fire.

        A record that is accepted later gets an arrival ≥ ``now − skew_ms``, so none of those ticks can come too early.
        """
        return max(self.reached, (now - skew_ms) // self.step_ms * self.step_ms)

    def snapshot(self) -> dict[str, Any]:
        return {"reached": self.reached, "fired": self.fired}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.reached, self.fired = int(saved["reached"]), int(saved["fired"])

"""Who has not come here yet: what a partition makes of a log that may be older than its topic's number of partitions.

When partitions are added to a topic most entities move: from whatever number to whatever other, at least half of those that
spoke in a partition. Whoever decides the log from before once more (a rebuild, a new group, a replay) knows today's number
only: it would miss everybody who belongs here today and spoke elsewhere then, call them silent, and their gateways with them.

No record says when partitions were added, but who speaks does: as long as entities come here that belong elsewhere today, the
log is from before. So a registered entity that was never heard here *waits*: it is missed, and has its full time to report,
once those that belong here are what the partition hears, or once none of the others has come for as long as it may be silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.series import Series
from streams.batch import Int32, Int64
from streams.event_time import FOREVER, NEVER

#: So many of today's entities are heard by chance in a log from before once in a thousand times.
_ENOUGH = 10
#: Strangers that are fewer than this share of those heard are producers with another partitioner, and say nothing of the log.
_STRANGERS = 0.25


@dataclass(slots=True)
class Heard:
    """Registered entities a partition has heard: how many belong here (``own``) and elsewhere (``strangers``), when a stranger
    was heard last and when anybody was; arrival, ms."""

    own: int
    strangers: int
    stranger_at: int
    newest: int

    @classmethod
    def of(cls, facts: Sequence[Series], heard: Int64, slots: Iterable[int]) -> Heard:
        """Of these slots, by their facts and when (ms) each was heard last."""
        which = list(slots)
        registered = np.array([facts[slot].registered for slot in which], dtype=np.bool_)
        awaited = np.array([facts[slot].awaited for slot in which], dtype=np.bool_)
        times, strange = heard[which], registered & ~awaited
        return cls(
            own=int(np.count_nonzero(registered & awaited)),
            strangers=int(np.count_nonzero(strange)),
            stranger_at=int(times[strange].max(initial=NEVER)),
            newest=int(times.max(initial=NEVER)),
        )


class Newcomers:
    """Slots that wait, each with the ms it may be silent; nobody does where there is one partition."""

    def __init__(self, partitions: int, first_look_ms: int) -> None:
        self._first_look_ms = first_look_ms
        self._after: dict[int, int] = {}
        #: When the partition began; None before, and once nobody waits any more.
        self._since: int | None = None
        self._open = partitions > 1
        #: When to ask :meth:`arrived` next (ms); rows only make it too early.
        self.due = FOREVER

    def __contains__(self, slot: int) -> bool:
        return slot in self._after

    @property
    def waiting(self) -> Iterable[int]:
        return self._after.keys()

    def begin(self, now: int, anybody: bool) -> bool:
        """Whether those wait who are expected from ``now`` on, if there is ``anybody``."""
        if self._open and anybody:
            self._since = now if self._since is None else self._since
            self.due = min(self.due, now + self._first_look_ms)
        elif not self._after:
            self._close()
        return self._open

    def wait(self, slot: int, after_ms: int = FOREVER) -> None:
        self._after[slot] = after_ms

    def forget(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._after.pop(slot, None)

    def come(self, slots: Int32) -> dict[int, int]:
        """Who is heard in rows of these slots and waits no longer, each with its first row."""
        if not self._after:
            return {}
        found, rows = np.unique(slots, return_index=True)
        came = {slot: row for slot, row in zip(found.tolist(), rows.tolist(), strict=True) if slot in self._after}
        self.forget(came)
        return came

    def arrived(self, now: int, heard: Heard) -> list[int]:
        """Who waits no longer at ``now`` though it was not heard, ascending."""
        if self._since is None:
            return []
        of_before = heard.strangers > _STRANGERS * (heard.own + heard.strangers)
        known = not of_before and heard.own >= _ENOUGH
        last = max(self._since, heard.stranger_at) if of_before else self._since
        # While nothing comes at all, nothing is learned of who comes.
        quiet = (heard.newest if of_before else now) - last
        ready = sorted(slot for slot, after in self._after.items() if known or after <= quiet)
        self.forget(ready)
        if self._after:
            self.due = max(last + min(self._after.values()), now + 1)
        else:
            self._close()
        return ready

    def _close(self) -> None:
        self._since, self._open, self.due = None, False, FOREVER

    def snapshot(self) -> dict[str, Any] | None:
        """None where nobody may wait: not yet, or no more."""
        if self._since is None:
            return None
        return {"slots": np.array(sorted(self._after), dtype=np.int32), "since": self._since, "due": self.due}

    def restore(self, saved: Mapping[str, Any] | None, begun: bool) -> None:
        """How long each slot may be silent follows from the registry: whoever looks it up says so (:meth:`wait`)."""
        if saved is not None:
            self._after = dict.fromkeys(saved["slots"].tolist(), FOREVER)
            self._since, self.due = int(saved["since"]), int(saved["due"])
        elif begun:
            self._close()

"""What an alarm says when it changes."""

from __future__ import annotations

from msgspec import Struct

from streams.records import Phase


class Transition(Struct, frozen=True, gc=False):
    """One change of one alarm, due to one row.

    ``row`` indexes the rows that were given. ``level`` is the level now (cleared: the one that was left), ``before`` the one
    until now (0: none). ``raised_ts`` is the time of the row that raised the alarm, the same in all its transitions, and
    names the signal; ``since_ts`` is when the level was first reached (cleared: first within ``clear``); ``ts`` the time of
    the change. ``threshold`` is the ``raise`` of the level (cleared: its ``clear``).
    """

    row: int
    slot: int
    phase: Phase
    level: int
    before: int
    raised_ts: int
    since_ts: int
    ts: int
    threshold: float

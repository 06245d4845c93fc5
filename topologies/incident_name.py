"""Ids of incidents: the deciding record names them, so the same log gives the same ids, live and in a replay (D5)."""

from __future__ import annotations

import hashlib
from collections.abc import Container

from streams.records import Signal
from topologies.dispatch_plan import day_name


def incident_name(city: str, signal: Signal, utc_offset_min: int, *taken: Container[str]) -> str:
    """``city-YYYYMMDD-CATEGORY-8 hex``; never one of ``taken``, because an id and revision have one body for ever.

    The hex digits are those of city, rule, entity and the raise (or the own id of a call or video event). An alarm whose raise
    opened an incident long forgotten names a new one by the time of its latest word.
    """
    own = signal.signal_id.removeprefix(f"{signal.rule}:{signal.entity}:")
    if signal.phase != "raised" and not signal.momentary:
        own = str(signal.ts)
    day = day_name(signal.ts, utc_offset_min)
    seed = f"{city}|{signal.rule}|{signal.entity}|{own}"
    again = 0
    while True:
        digest = hashlib.blake2b((f"{seed}|{again}" if again else seed).encode(errors="replace"), digest_size=4).hexdigest()
        name = f"{city}-{day}-{signal.category.upper()}-{digest}"
        for names in taken:
            if name in names:
                break
        else:
            return name
        again += 1

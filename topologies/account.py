"""The running account of a source: its rows by outcome, up to any place of the log (law 8).

It stands in every progress record, so that whoever counts the rows of the topic by themselves can check the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from topologies.shard import Found

#: Every row ends as exactly one of these.
OUTCOMES = ("processed", "dead_letter", "quarantined", "late", "duplicate")


def before(found: Found, row: int, offset: int) -> dict[str, int]:
    """Outcomes of the rows that stand before raw record ``row``, whose offset is ``offset``.

    Duplicates are the rows that were read and are neither in the batch nor in quarantine.
    """
    admitted = int(found.batch.offset.searchsorted(offset))
    late = int(np.count_nonzero(found.batch.late[:admitted]))
    quarantined = sum(item.offset < offset for item in found.quarantined) if found.quarantined else 0
    dead = sum(letter.offset < offset for letter in found.dead) if found.dead else 0
    read = int(found.row_of.searchsorted(row))
    return {
        "processed": admitted - late,
        "late": late,
        "quarantined": quarantined,
        "dead_letter": dead,
        "duplicate": read - admitted - quarantined,
    }


def stated(total: Mapping[str, int], more: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """The sum of both by outcome in a fixed order, zeros too: the same account gives the same bytes.

    >>> stated({"late": 2, "processed": 5}, {"processed": 1})
    {'processed': 6, 'dead_letter': 0, 'quarantined': 0, 'late': 2, 'duplicate': 0}
    """
    return {name: int(total.get(name, 0)) + int(more.get(name, 0)) for name in OUTCOMES}

"""The running account of a source: its rows by outcome, up to any place of the log (law 8).

It stands in every progress record, so that whoever counts the rows of the topic by themselves can check the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from topologies.shard import Found

#: Every row ends as exactly one of these.
OUTCOMES = ("processed", "dead_letter", "quarantined", "late", "duplicate")


def stated(total: Mapping[str, int]) -> dict[str, int]:
    """All outcomes in a fixed order, zeros too: the same account gives the same bytes.

    >>> stated({"late": 2, "processed": 6})
    {'processed': 6, 'dead_letter': 0, 'quarantined': 0, 'late': 2, 'duplicate': 0}
    """
    return {name: int(total.get(name, 0)) for name in OUTCOMES}


def up_to(total: Mapping[str, int], found: Found, row: int, offset: int) -> dict[str, int]:
    """``total``, as it is stated, and the outcomes of the rows in front of raw record ``row``, whose offset is ``offset``.

    Duplicates are the rows that were read and are neither in the batch nor in quarantine.
    """
    admitted = int(found.batch.offset.searchsorted(offset))
    late = int(np.count_nonzero(found.batch.late[:admitted])) if found.outcomes.get("late") else 0
    quarantined = sum(item.offset < offset for item in found.quarantined) if found.quarantined else 0
    dead = sum(letter.offset < offset for letter in found.dead) if found.dead else 0
    read = int(found.row_of.searchsorted(row))
    return {
        "processed": total["processed"] + admitted - late,
        "dead_letter": total["dead_letter"] + dead,
        "quarantined": total["quarantined"] + quarantined,
        "late": total["late"] + late,
        "duplicate": total["duplicate"] + read - admitted - quarantined,
    }

"""The running account of a source: its rows by outcome, up to any place of the log (law 8).

It stands in every progress record, so that whoever counts the rows of the topic by themselves can check the sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from topologies.shard import Found

#: Every row ends as exactly one of these.
OUTCOMES = ("processed", "dead_letter", "quarantined", "late", "duplicate")


def before(found: Found, row: int, offset: int) -> Counter[str]:
    """Outcomes of the rows that stand before raw record ``row``, whose offset is ``offset``.

    Duplicates are the rows that were read and are neither in the batch nor in quarantine.
    """
    admitted = int(np.searchsorted(found.batch.offset, offset, side="left"))
    late = int(np.count_nonzero(found.batch.late[:admitted]))
    quarantined = sum(item.offset < offset for item in found.quarantined)
    dead = sum(letter.offset < offset for letter in found.dead)
    read = int(np.searchsorted(found.row_of, row, side="left"))
    return Counter(
        processed=admitted - late,
        late=late,
        quarantined=quarantined,
        dead_letter=dead,
        duplicate=read - admitted - quarantined,
    )


def stated(total: Mapping[str, int]) -> dict[str, int]:
    """All outcomes in a fixed order, zeros too: the same account gives the same bytes.

    >>> stated({"late": 2, "processed": 5})
    {'processed': 5, 'dead_letter': 0, 'quarantined': 0, 'late': 2, 'duplicate': 0}
    """
    return {name: int(total.get(name, 0)) for name in OUTCOMES}

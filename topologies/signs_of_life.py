"""Rows that say nothing of the world but show that their device speaks: a maintenance flag, a sentinel, a fix of no position.

The gate quarantines them, so no detector may measure them; a detector of silence must hear them all the same (D9: silence is
that nothing comes, not that nothing usable comes). They reach detectors that say ``takes_unmeasured``, and only for series
that are known: garbage makes no series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from streams.batch import Batch, Bool, Int64
from streams.event_time import epoch_ms
from streams.gate import SERIES_FIELDS
from streams.records import Quarantined
from streams.series import SeriesIndex
from topologies.rule_context import FRESH_MS

#: Reasons that blame what a row says, not when: its arrival is a sign of life.
SPEAKS = frozenset(
    {
        "bad_quality",
        "sentinel",
        "not_a_number",
        "unit_unknown",
        "zero_coordinate",
        "out_of_range_coordinate",
        "impossible_jump",
    }
)
#: Streams of devices that report at their own pace.
PACED = frozenset({"sensor", "vehicle"})
_LONG_AGO = (-1, -1)


def signs_of_life(
    stream: str,
    quarantined: Sequence[Quarantined],
    index: SeriesIndex,
    since: Mapping[int, tuple[int, int]],
    batch: Batch,
) -> Batch | None:
    """Quarantined rows of known series as a batch without values; None where there are none.

    ``since`` has the series that are new in this batch, and the (offset, n) of the row each is known by: those after it are
    signs of life, wherever the batch was cut.
    """
    if stream not in PACED or not quarantined:
        return None
    entity, second = SERIES_FIELDS[stream]
    rows = []
    for letter in quarantined:
        if letter.reason not in SPEAKS:
            continue
        slot = index.slot(getattr(letter.record, entity), getattr(letter.record, second) if second else None)
        if slot is not None and (letter.offset, letter.n) > since.get(slot, _LONG_AGO):
            rows.append((slot, letter))
    if not rows:
        return None
    moments = [(epoch_ms(letter.record.ts), letter.arrival_ts, letter.offset) for _, letter in rows]
    ts, arrival, offset = (np.array(column, dtype=np.int64) for column in zip(*moments, strict=True))
    nothing = np.full(len(rows), np.nan)
    return Batch(
        stream,
        np.array([slot for slot, _ in rows], dtype=np.int32),
        ts,
        arrival,
        offset,
        np.array([letter.n for _, letter in rows], dtype=np.int32),
        np.zeros(len(rows), dtype=np.bool_),
        [letter.record for _, letter in rows],
        dict.fromkeys(batch.columns, nothing),
    )


def together(batch: Batch, times: Int64 | None, heard: Batch, clock: Int64, offsets: Int64) -> tuple[Batch, Int64]:
    """Both as one batch in the order of the log, and the clock (ms) at each row; ``clock`` is that at the raw ``offsets``."""
    heard_at = clock[np.searchsorted(offsets, heard.offset)]
    if not len(batch) or times is None:
        return heard, heard_at
    order = np.lexsort((np.concatenate([batch.part, heard.part]), np.concatenate([batch.offset, heard.offset])))
    records = [*batch.records, *heard.records]
    merged = Batch(
        batch.stream,
        np.concatenate([batch.slot, heard.slot])[order],
        np.concatenate([batch.ts, heard.ts])[order],
        np.concatenate([batch.arrival, heard.arrival])[order],
        np.concatenate([batch.offset, heard.offset])[order],
        np.concatenate([batch.part, heard.part])[order],
        np.concatenate([batch.late, heard.late])[order],
        [records[i] for i in order.tolist()],
        {
            name: np.concatenate([column, heard.columns.get(name, np.full(len(heard), np.nan))])[order]
            for name, column in batch.columns.items()
        },
    )
    return merged, np.concatenate([times, heard_at])[order]


def watched_rows(local: np.ndarray[tuple[int], np.dtype[np.int32]], batch: Batch) -> Bool:
    """Rows of series a rule watches; ``local`` is the rule's table of slots."""
    inside = batch.slot < len(local)
    found: Bool = inside & (local[np.where(inside, batch.slot, 0)] >= 0) if len(local) else np.zeros(len(batch), dtype=np.bool_)
    return found


def pulse(batch: Batch, times: Int64 | None, before: int | None) -> int | None:
    """When something came last that was not long on its way; ``before`` where the batch holds nothing of the kind."""
    fresh: Int64 = np.zeros(0, dtype=np.int64) if times is None else times[batch.arrival - batch.ts <= FRESH_MS]
    return int(fresh[-1]) if len(fresh) else before

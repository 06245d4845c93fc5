"""What a deployment may choose about the transport, and why the defaults are what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PLAIN_VARIABLE = "CITYWATCH_TRANSPORT"


def _raw_by_default(environ: Mapping[str, str] | None = None) -> bool:
    return (os.environ if environ is None else environ).get(PLAIN_VARIABLE, "raw") != "plain"


@dataclass(slots=True)
class TransportOptions:
    """Settings of one ``citywatch://`` transport; ``app.transport.options``."""

    #: Longest time the broker may hold an empty fetch. Faust hard-codes 1,500 ms. The embedded broker does not wake a waiting
    #: fetch, so this is its latency; Apache Kafka wakes at once and this only paces idle notices.
    fetch_wait_ms: int = 10
    #: Per partition and fetch, bytes. A single larger record is still delivered. Four times as much kept 50 MB more in memory
    #: while a backlog of four partitions was read, and was not faster (benchmarks/back_pressure.py).
    fetch_max_bytes: int = 1024 * 1024
    #: A batch is closed once it has this many records. One Faust event costs about 115 µs whatever it carries.
    batch_records: int = 4_000
    #: A batch is closed, too, once its records are this far apart in the log's time. In a backlog a thousand records of a quiet
    #: partition are minutes, and whoever joins partitions would see one of them minutes ahead of the next.
    batch_span_ms: int = 20_000
    #: Take the record objects of aiokafka's C parser; False (or ``CITYWATCH_TRANSPORT=plain``) builds its ConsumerRecords.
    raw: bool = field(default_factory=_raw_by_default)
    #: Arrival times come from the header ``cw_arrival_ts`` where a record has one (a recording is being played).
    playback: bool = False
    #: Aborted transactions of other producers are never read.
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    #: At most one idle notice per partition in this time.
    idle_every_ms: int = 100
    #: Topics whose offsets may have holes that are no loss: compacted ones (and, on the plain path, transactional ones).
    holes_allowed: frozenset[str] = frozenset()
    #: Longest time :attr:`Transport.settle` may take on revoke and shutdown, seconds.
    settle_timeout_s: float = 20.0

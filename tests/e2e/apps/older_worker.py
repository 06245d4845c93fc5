"""A worker of the version before, as far as checkpoints go: it writes the format before this one's and refuses any later."""

from __future__ import annotations

import os
import sys

import citywatch
from streams.errors import Mend
from topologies.checkpoints import FORMAT, Checkpoint, decode, format_of, redis_store, topic_store

OLDER = FORMAT - 1


def decode_older(value: bytes, where: str = "checkpoint") -> Checkpoint:
    if (number := format_of(value, where)) > OLDER:
        raise Mend(f"has format {number}, this version reads {OLDER}", where=where, mend="use the version that wrote it")
    return decode(value, where)


if __name__ == "__main__":
    redis_store.decode = topic_store.decode = decode_older  # type: ignore[assignment]
    os.environ["CITYWATCH_CHECKPOINT_FORMAT"] = str(OLDER)
    sys.exit(citywatch.main(sys.argv[1:]))

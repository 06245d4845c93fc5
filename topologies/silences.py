"""What the folding of silences keeps: a silent device and what it hangs on, and an outage that stands."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from streams.records import Control, Signal


class Silent(Struct):
    """One silent device: its alarm, and whether it is held (until when), was folded into an outage or goes on its own."""

    signal: Signal
    state: Literal["held", "folded", "alone"]
    outage: str = ""
    until: int = 0


DECODER = msgspec.msgpack.Decoder(Silent)


class Standing(Struct):
    """An outage that stands: the signal that told of it, how many silences are folded into it, and how many at most so far.

    ``told``: how many it had when it was last told of.
    """

    signal: Signal
    folded: int = 0
    peak: int = 0
    told: int = 0


def partition_name(record: Signal | Control) -> str:
    """topic/partition a record comes from."""
    return f"{record.source.topic}/{record.source.partition}"


def hangs_on(signal: Signal) -> str:
    """What a silent device is held with: its gateway, else its partition."""
    return f"partition:{partition_name(signal)}" if signal.gateway is None else f"gateway:{signal.gateway}"


def outages_of(signal: Signal) -> tuple[str, ...]:
    """Outages a silence may belong to, the widest first."""
    return (signal.source.topic,) if signal.gateway is None else (signal.source.topic, signal.gateway)

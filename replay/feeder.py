"""Live feed of a simulated city: every record leaves when its arrival time has come on this machine's clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from replay.simulate.city import Wire
from streams.kafka import Producer
from streams.topics import topic_name


def send_registry(producer: Producer, assets: Iterable[Mapping[str, Any]], prefix: str | None = None) -> int:
    """Hand all assets to ``city.registry`` and wait for the acknowledgement; returns how many."""
    topic = topic_name("registry", prefix)
    count = 0
    for asset in assets:
        producer.send(topic, orjson.dumps(asset), key=str(asset["asset_id"]))
        count += 1
    producer.flush_acknowledged()
    return count


def feed_live(
    producer: Producer,
    wires: Iterable[Wire],
    until_ts: int | None = None,
    stop: threading.Event | None = None,
    prefix: str | None = None,
) -> int:
    """Send wires at their arrival time (epoch ms) until ``until_ts`` or ``stop``; returns how many were handed over.

    A feed that has fallen behind sends at once, never faster than the producer takes it.
    """
    names: dict[str, str] = {}
    sent = 0
    for wire in wires:
        if until_ts is not None and wire.arrival_ts > until_ts:
            break
        ahead = wire.arrival_ts / 1000 - time.time()
        if ahead > 0.001:
            if stop is None:
                time.sleep(ahead)
            elif stop.wait(ahead):
                break
        elif stop is not None and stop.is_set():
            break
        topic = names.get(wire.topic) or names.setdefault(wire.topic, topic_name(wire.topic, prefix))
        producer.send(topic, wire.value, key=wire.key)
        sent += 1
    producer.flush_acknowledged()
    return sent

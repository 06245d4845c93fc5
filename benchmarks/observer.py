"""Two small processes beside the worker: one that relays a topic, one that notes when records become visible.

    python -m benchmarks.observer relay  --bootstrap B --core C FROM TO
    python -m benchmarks.observer watch  --bootstrap B --core C TOPIC …

``relay`` is the bare hop the worker's latency is compared with: consume, produce, nothing between. The arrival of the
record in the first log travels in the header ``at``. ``watch`` prints, at the end of its input, one JSON line per record:
key, value (where it is JSON), its log time, when it was seen, ``at``, and the
latencies the worker put into its headers. Both print ``ready`` once assigned and positioned.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import threading
import time
import uuid
from typing import Any

from benchmarks import machine


def consumer(bootstrap: str, topics: list[str]) -> Any:
    """From the end of all partitions, with a fetch wait as short as the worker's: the embedded broker wakes nobody."""
    from confluent_kafka import Consumer, TopicPartition

    from topologies.settings import Settings

    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": Settings().fetch_wait_ms,
            "log_level": 0,
        }
    )
    places = []
    for topic in topics:
        for partition in reader.list_topics(topic, timeout=10).topics[topic].partitions:
            _, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            places.append(TopicPartition(topic, partition, high))
    reader.assign(places)
    reader.poll(0.5)
    return reader


def relay(bootstrap: str, source: str, target: str, ended: threading.Event) -> None:
    from confluent_kafka import Producer

    reader = consumer(bootstrap, [source])
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "log_level": 0})
    print("ready", flush=True)
    while not ended.is_set():
        for message in reader.consume(1_000, 0.005):
            headers = message.headers() or [("at", str(message.timestamp()[1]).encode())]
            producer.produce(target, message.value(), message.key(), headers=headers)
        producer.poll(0)
    producer.flush(5)
    reader.close()


def watch(bootstrap: str, topics: list[str], ended: threading.Event) -> None:
    reader = consumer(bootstrap, topics)
    print("ready", flush=True)
    seen: list[tuple[Any, int]] = []
    while not ended.is_set():
        found = reader.consume(1_000, 0.005)
        if found:
            now = time.time_ns() // 1_000_000
            seen.extend((message, now) for message in found)
    reader.close()
    for message, now in seen:
        value = message.value()
        headers = dict(message.headers() or ())
        at = headers.get("at")
        line = {
            "topic": message.topic(),
            "value": json.loads(value) if value else None,
            "log": message.timestamp()[1],
            "seen": now,
            "at": int(at) if at else None,
            "stages": {name: int(text) for name, text in headers.items() if name.startswith("cw_latency_")},
        }
        print(json.dumps(line))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["relay", "watch"])
    parser.add_argument("topics", nargs="+")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    machine.die_with_parent()
    machine.pin([] if given.core is None else [given.core])
    gc.freeze()
    ended = threading.Event()

    def wait() -> None:
        # Whoever started this closes the pipe, or dies: both end it.
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    if given.what == "relay":
        source, target = given.topics
        relay(given.bootstrap, source, target, ended)
    else:
        watch(given.bootstrap, given.topics, ended)
    return 0


if __name__ == "__main__":
    sys.exit(main())

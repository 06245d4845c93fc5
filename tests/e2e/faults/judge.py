"""What a fault has changed: nothing may be missing, told under two ids or in two ways; and a store's marks never go back."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field

import redis

from streams.kafka import LogReader
from streams.topics import BY_STREAM
from tests.e2e.mirrored_logs import INPUTS, Told, difference
from topologies.checkpoints.topic_records import decode_head, place_of

_INPUTS = tuple(BY_STREAM[stream].base for stream in INPUTS)


@dataclass
class Verdict:
    """``details`` says of each count what it counted, for whoever reads a failed run."""

    expected: int = 0
    missing: int = 0
    second_ids: int = 0
    second_bodies: int = 0
    went_back: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.second_ids or self.second_bodies or self.went_back)


def alone(calm: Told, struck: Told, horizon: int) -> set[str]:
    """Ids whose evidence, in either log, comes from one partition of an input topic (see tests.e2e.test_kill_nine), and whose
    entities speak in one: where partitions are added, what each of two says of a sensor meets in the order of reading.

    The outage of a stream is left out, and what it takes in: it is of all partitions, and bears the full name of its topic,
    which two logs have not in common. A broker that is away for long makes one.
    """
    found = [told.incidents[place] for told in (calm, struck) for place in told.until(horizon)]
    outages = {one.incident_id for one in found if any(piece.entity.endswith(_INPUTS) for piece in one.evidence)}
    taken_in = {one.incident_id for one in found if one.merged_into in outages}
    moved = moved_entities(calm) | moved_entities(struck)
    spread = {one.incident_id for one in found if any(piece.entity in moved for piece in one.evidence)}
    ids = {one.incident_id for one in found} - outages - taken_in - spread
    return {one for one in ids if all(_of_one(told.sources_of(one)) for told in (calm, struck))}


def moved_entities(told: Told) -> set[str]:
    """Whose signals come from more than one partition of a topic."""
    homes: dict[str, set[tuple[str, int]]] = {}
    for (topic, partition, _), body in told.signals.items():
        if topic != "sensor.groups":
            homes.setdefault(json.loads(body).get("entity", ""), set()).add((topic, partition))
    return {entity for entity, places in homes.items() if entity and len(places) > 1}


def _of_one(sources: set[str]) -> bool:
    return len(sources) <= 1 and not any("groups" in source for source in sources)


def compare(calm: Told, struck: Told, horizon: int) -> Verdict:
    """Signals by their place in the log, revisions by id and number; both up to ``horizon``, byte for byte."""
    ids = alone(calm, struck, horizon)
    ours, theirs = ({key: body for key, body in told.until(horizon).items() if key[0] in ids} for told in (calm, struck))
    known = {one for one, _ in ours}
    found = difference(ours, theirs)
    signals = difference(calm.signals_until(horizon, but="sensor.groups"), struck.signals_until(horizon, but="sensor.groups"))
    verdict = Verdict(expected=len(ours), details=[*found, *signals, *struck.conflicts])
    verdict.missing = sum(line.startswith("missing") for line in (*found, *signals))
    verdict.second_ids = len({one for one, _ in theirs.keys() - ours.keys() if one not in known})
    extra = sum(one in known for one, _ in theirs.keys() - ours.keys()) + sum(line.startswith("extra") for line in signals)
    verdict.second_bodies = len(struck.conflicts) + sum(line.startswith("another") for line in (*found, *signals)) + extra
    return verdict


class Marks(threading.Thread):
    """Watches the checkpoints in Redis while the fault goes on: (generation, mark) of a shard never falls."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name="marks", daemon=True)
        self._client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._prefix = f"{name}:{name}"
        self._held: dict[str, tuple[int, int]] = {}
        self._done = threading.Event()
        self.fell: list[str] = []
        self.looks = 0

    def run(self) -> None:
        while not self._done.wait(0.02):
            try:
                self._look()
            except redis.exceptions.RedisError:
                continue

    def _look(self) -> None:
        names = sorted(member.decode() for member in self._client.smembers(f"{self._prefix}:checkpoints"))
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hmget(f"{self._prefix}:checkpoint:{name}", "g", "m")
        for name, (generation, mark) in zip(names, pipe.execute(), strict=True):
            if generation is None or mark is None:
                continue
            now = (int(generation), int(mark))
            if now < self._held.get(name, now):
                self.fell.append(f"went back: {name} from {self._held[name]} to {now}")
            self._held[name] = now
            self.looks += 1

    def close(self) -> list[str]:
        self._done.set()
        self.join(5)
        self._client.close()
        return self.fell


def heads_that_fell(broker: str, topic: str, name: str) -> list[str]:
    """The same of checkpoints in a topic, whose log tells every head there ever was."""
    held: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    fell: list[str] = []
    with LogReader(broker, [topic]) as reader:
        for record in reader.read_to_end():
            place = place_of(f"{name}:{name}", record.key)
            if place is None or place.part is not None or record.value is None:
                continue
            head = decode_head(record.value, place.shard)
            if (head.generation, head.mark) < held[place.shard]:
                fell.append(f"went back: {place.shard} from {held[place.shard]} to {(head.generation, head.mark)}")
            held[place.shard] = (head.generation, head.mark)
    return fell

"""What others write: Kafka's Java producer with every codec, headers, null keys, batches of one and of 10,000, transactions.

One worker on Apache Kafka reads it all, once. Of every sensor that was written and committed the alarm is told; of what was
aborted nothing is ever seen; the account adds up though transaction markers take offsets (law 8), and the lag comes to 0
though the last offset of every partition is such a marker. A recording of these topics holds the same, and verifies.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

import citywatch
from replay.opening import open_recording
from streams.embedded.redis import EmbeddedRedis
from streams.kafka import LogReader
from streams.partitioner import partition_of
from streams.records import DeadLetter, Quarantined, Signal
from streams.topics import BY_STREAM
from tests.e2e.java_producer import NOTHING, JavaProducers, Written
from tests.e2e.log_segments import WrittenBatch, written
from tests.e2e.mirrored_logs import INPUTS, audited, make_topics, read_told
from tests.e2e.test_law_eight import good
from tests.e2e.worker_group import WorkerGroup
from topologies.audit import Audit

pytestmark = pytest.mark.kafka

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
#: What Spring for Apache Kafka and a tracing agent add to every record; a header may have no value, and a name may come empty.
JAVA_HEADERS: Mapping[str, str | None] = {
    "__TypeId__": "com.example.city.Reading",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "来源": "燃气",
    "": "",
    "retry": None,
}
CLOUD_EVENT: Mapping[str, str | None] = {
    "ce_specversion": "1.0",
    "ce_id": "1",
    "ce_source": "/gateways/7",
    "ce_type": "reading",
    "content-type": "application/json; charset=UTF-8",
}
#: Everything handed over before the flush leaves as one batch.
TOGETHER = {"linger_ms": "60000", "batch_size": "8000000", "max_request_size": "10000000", "buffer_memory": "64000000"}
BULK = 10_000


class Place:
    """An Apache broker with topics under a prefix, the worker on it, and a Java process that writes to it."""

    def __init__(self, apache, redis: str, folder: Path) -> None:
        self.prefix = f"j{time.time_ns() // 1_000_000 % 10**9}."
        self.kafka, self.broker, self.folder = apache.server, apache.bootstrap, folder
        make_topics(self.broker, self.prefix)
        self.group = WorkerGroup(self.broker, redis, self.prefix, folder, settings={"CITYWATCH_CLOCK_SKEW_S": "0.2"})
        self.java = JavaProducers(self.broker)
        #: Records of which the worker is told, by stream.
        self.committed: Counter[str] = Counter()
        #: Sensors whose alarm must be told.
        self.alarming: set[str] = set()
        self._places = 0

    def topic(self, stream: str) -> str:
        return self.prefix + BY_STREAM[stream].base

    def reading(self, sensor: str, value: float, before_ms: int) -> str:
        record = good("sensor", int(time.time() * 1000) - before_ms, 0)
        return json.dumps(record | {"sensor_id": sensor, "value": value, "lat": 31.5 + 0.01 * self._places})

    def alarm(self, name: str, sensor: str, *, committed: bool = True, keyed: bool = True, headers=NOTHING, each=None) -> None:
        """Three readings of a sensor, of which a rule makes an alarm; ``each`` is called behind every one."""
        self._places += 1
        for before_ms, value in ((2_000, 1.0), (1_000, 60.0), (0, 60.0)):
            self.java.send(
                name, self.topic("sensor"), sensor if keyed else None, self.reading(sensor, value, before_ms), headers
            )
            if each is not None:
                each()
        if committed:
            self.committed["sensor"] += 3
            self.alarming.add(sensor)

    def end(self, name: str, *, kept: bool) -> list[Written]:
        """End the transaction. What is given up was in the log before: an abort throws away what still waits in the client."""
        places = self.java.flush(name)
        (self.java.commit if kept else self.java.abort)(name)
        return places

    def batches(self, stream: str) -> dict[int, list[WrittenBatch]]:
        """By partition, as they lie on the broker's disk."""
        return {part: list(written(self.kafka, self.topic(stream), part)) for part in range(BY_STREAM[stream].partitions)}

    # --- what came of it --------------------------------------------------------------------------------------------------

    def audit(self) -> Audit:
        return audited(self.broker, self.prefix)

    def settle(self) -> Audit:
        """Until everything committed is accounted for."""
        deadline = time.monotonic() + 60
        while sum((audit := self.audit()).outcomes.values()) < self.committed.total() or not audit.settled:
            assert time.monotonic() < deadline, f"{audit.outcomes} of {audit.rows}\n{self.group.state(0)}\n{self.group.words()}"
            time.sleep(0.5)
        return audit

    def read(self, base: str, kind: type) -> list:
        with LogReader(self.broker, [self.prefix + base]) as reader:
            return [msgspec.json.decode(record.value, type=kind) for record in reader.read_to_end() if record.value]

    def lag(self) -> float:
        lines = self.group.get(0, "/metrics")[1].splitlines()
        found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("citywatch_consumer_lag_records{")]
        assert found, self.group.state(0)
        return sum(found)

    def told_of(self) -> set[str]:
        """Sensors of which a signal was told."""
        signals = read_told(self.broker, self.prefix).signals.values()
        return {msgspec.json.decode(value, type=Signal).entity for value in signals}

    def close(self) -> None:
        self.group.close()
        self.java.close()


@pytest.fixture(scope="module")
def place(apache, tmp_path_factory) -> Iterator[Place]:
    """After all of it was written and decided: every expectation is asked of the same run."""
    folder = tmp_path_factory.mktemp("foreign")
    with EmbeddedRedis(folder / "redis") as redis:
        found = Place(apache, redis.url, folder)
        try:
            found.group.start(0)
            found.group.await_ready(0)
            write_every_codec(found)
            write_batches_of_one_and_of_many(found)
            write_transactions(found)
            end_every_partition_with_a_marker(found)
            found.settle()
            yield found
        finally:
            found.close()


def write_every_codec(place: Place) -> None:
    for codec in CODECS:
        place.java.open(codec, compression_type=codec, **TOGETHER)
        place.alarm(codec, f"{codec}-1", headers=JAVA_HEADERS)
        place.java.flush(codec)
    place.alarm("none", "NO-KEY", keyed=False)
    place.alarm("none", "CLOUD-EVENT", headers=CLOUD_EVENT | JAVA_HEADERS)
    place.java.flush("none")


def write_batches_of_one_and_of_many(place: Place) -> None:
    place.alarm("none", "ALONE", each=lambda: place.java.flush("none"))
    for n in range(BULK - 3):
        place.java.send("lz4", place.topic("sensor"), "MANY", place.reading("MANY", 1.0 + n % 7 / 10, 20_000 - n))
    place.committed["sensor"] += BULK - 3
    place.alarm("lz4", "MANY")
    place.java.flush("lz4")


def write_transactions(place: Place) -> None:
    """One kept, one given up, and two at once in the same partitions with somebody between them who knows of none."""
    java = place.java
    for name in ("keeper", "quitter"):
        java.open(name, transactional_id=place.prefix + name, linger_ms="0", compression_type="lz4")
        java.begin(name)
    place.alarm("keeper", "KEPT")
    place.end("keeper", kept=True)
    place.alarm("quitter", "GIVEN-UP", committed=False)
    for broken in ("{", json.dumps(good("sensor", 0, 1)), ""):
        java.send("quitter", place.topic("sensor"), "GIVEN-UP", broken)
    place.end("quitter", kept=False)

    for name in ("keeper", "quitter"):
        java.begin(name)
    for n in range(20):
        # One key, so one partition, in which the batches of all three stand in turn.
        for name, sensor, committed in (("quitter", "MIXED-A", False), ("keeper", "MIXED-B", True), ("none", "MIXED-C", True)):
            java.send(name, place.topic("sensor"), "MIXED", place.reading(sensor, 1.0 + n / 100, 5_000 - n))
            java.flush(name)
            place.committed["sensor"] += committed
    place.alarm("quitter", "MIXED-A", committed=False)
    place.alarm("keeper", "MIXED-B")
    place.end("quitter", kept=False)
    place.end("keeper", kept=True)


def end_every_partition_with_a_marker(place: Place) -> None:
    """One transaction over all inputs is kept, and one that is given up stands behind it."""
    now = int(time.time() * 1000)
    for name, first, committed in (("keeper", 1_000, True), ("quitter", 2_000, False)):
        place.java.begin(name)
        for stream in INPUTS:
            for number in range(first, first + 24):
                place.java.send(name, place.topic(stream), f"{number}", json.dumps(good(stream, now, number)))
                place.committed[stream] += committed
        touched = {(one.topic, one.partition) for one in place.end(name, kept=committed)}
        assert touched == {(place.topic(stream), part) for stream in INPUTS for part in range(BY_STREAM[stream].partitions)}


def home(sensor: str) -> int:
    """The partition of a sensor's readings, where its id is the key."""
    return partition_of(sensor, BY_STREAM["sensor"].partitions)


def test_the_log_is_what_the_other_tests_take_it_for(place):
    batches = [batch for stream in INPUTS for parts in place.batches(stream).values() for batch in parts]
    assert {batch.codec for batch in batches if not batch.control} == set(CODECS)
    assert max(batch.count for batch in batches) == BULK
    assert any(batch.count == 1 and not batch.transactional for batch in batches)
    assert all(parts[-1].control for stream in INPUTS for parts in place.batches(stream).values())


def test_whatever_was_committed_is_decided_exactly_once(place):
    audit = place.settle()
    assert {stream: audit.rows[BY_STREAM[stream].base] for stream in INPUTS} == place.committed
    assert audit.outcomes == dict.fromkeys(audit.outcomes, 0) | {"processed": place.committed.total()}
    assert not audit.conflicts and not read_told(place.broker, place.prefix).conflicts


def test_every_alarm_that_was_committed_is_told_and_no_other(place):
    assert place.told_of() == place.alarming
    evidence = {piece.entity for incident in place.audit().incidents.values() for piece in incident.evidence}
    assert evidence == place.alarming


def test_what_was_aborted_is_not_even_refused(place):
    assert place.read("dead_letters", DeadLetter) == []
    assert place.read("quarantine", Quarantined) == []


def test_nothing_is_behind_though_the_last_offset_is_a_marker(place):
    deadline = time.monotonic() + 20
    while place.lag() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert place.lag() == 0


def test_a_recording_holds_what_was_committed_and_verifies(place, monkeypatch, capsys):
    for name in ("CITYWATCH_TOPIC_PREFIX", "CITYWATCH_GROUP"):
        monkeypatch.setenv(name, place.group.environment(0)[name])
    bag = place.folder / "foreign.bag"
    assert citywatch.main(["replay", "record", str(bag), "--broker", place.broker]) == 0
    recording = open_recording(bag)
    counts: Counter[str] = Counter()
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    for home in recording.partitions():
        for batch in recording.read(*home):
            counts[home[0]] += len(batch)
            offsets[home] += batch.offsets
    assert {stream: counts[place.topic(stream)] for stream in INPUTS} == place.committed
    assert all(one == sorted(set(one)) for one in offsets.values())
    capsys.readouterr()
    assert citywatch.main(["replay", "verify", str(bag), "--json"]) == 0, capsys.readouterr().out
    assert json.loads(capsys.readouterr().out)["incidents"] > 0


def test_what_stands_behind_an_open_transaction_is_decided_when_that_ends(place):
    here = home("OPEN")
    behind = next(name for n in itertools.count() if home(name := f"BEHIND-{n}") == here)
    beside = next(name for n in itertools.count() if home(name := f"BESIDE-{n}") != here)
    place.java.begin("keeper")
    place.alarm("keeper", "OPEN")
    assert {one.partition for one in place.java.flush("keeper")} == {here}
    for name in (behind, beside):
        place.alarm("none", name)
        place.java.flush("none")
    deadline = time.monotonic() + 30
    while beside not in (told := place.told_of()):
        assert time.monotonic() < deadline, place.group.words()
        time.sleep(0.2)
    assert told == place.alarming - {"OPEN", behind}
    place.end("keeper", kept=True)
    place.settle()
    assert place.told_of() == place.alarming
    assert place.lag() == 0


def test_a_worker_that_starts_again_behind_the_markers_tells_nothing_twice(place):
    before = read_told(place.broker, place.prefix)
    assert place.group.stop(0) == 0, place.group.words()
    place.group.start(0)
    place.group.await_ready(0)
    place.alarm("snappy", "AGAIN")
    place.java.flush("snappy")
    place.settle()
    after = read_told(place.broker, place.prefix)
    assert place.told_of() == place.alarming and not after.conflicts
    assert before.bodies.items() <= after.bodies.items()
    assert place.lag() == 0

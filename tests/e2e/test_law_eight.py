"""Laws 4 and 8 through the real worker, on both brokers: garbage of every kind into every input topic, and the account adds up.

Each record of :data:`GARBAGE` has to end where it says, with its reason; the sum is taken from the topics alone
(:class:`topologies.audit.Audit`): rows counted in the inputs against the accounts in the progress records of ``city.signals``,
dead letters and quarantined rows counted in their topics. The worker stays ready, and a good record after all this is decided.
"""

from __future__ import annotations

import base64
import json
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

import citywatch
from streams.codec import ARRAY_STREAMS
from streams.embedded.broker import EmbeddedBroker
from streams.embedded.redis import EmbeddedRedis
from streams.kafka import LogReader, Producer
from streams.records import DeadLetter, Quarantined
from streams.topics import BY_STREAM, partition_counts
from tests.e2e.mirrored_logs import INPUTS, audited, make_topics
from tests.e2e.worker_group import WorkerGroup
from topologies.audit import Audit

YEAR_2100_MS = 4_102_444_800_000


def good(stream: str, now: int, number: int) -> dict[str, object]:
    """A record of the stream nobody objects to."""
    return {
        "sensor": {"sensor_id": f"S-{number}", "ts": now, "metric": "ch4", "value": 1.0, "lat": 31.8, "lon": 117.2},
        "vehicle": {"vehicle_id": f"V-{number}", "ts": now, "lat": 31.8, "lon": 117.2, "kind": "bus", "speed_kmh": 20.0},
        "video": {"event_id": f"E-{number}", "camera_id": f"C-{number}", "ts": now, "kind": "vendor", "confidence": 0.2},
        "hotline": {"call_id": f"K-{number}", "ts": now, "line": "12345", "text": "请问电话是多少"},
    }[stream]  # fmt: skip


#: The id without which a record of the stream is none, and a number it carries.
IDENTIFIER = {"sensor": "sensor_id", "vehicle": "vehicle_id", "video": "event_id", "hotline": "call_id"}
NUMBER = {"sensor": "value", "vehicle": "speed_kmh", "video": "confidence", "hotline": "lat"}

DEAD, QUARANTINE = "dead", "quarantine"


def garbage(stream: str, now: int) -> list[tuple[str, bytes | None, str, str, str]]:
    """(name, value, dead or quarantine, reason, path) of every kind of bad record."""
    names = iter(range(1, 100))

    def broken(**changes: object) -> bytes:
        return json.dumps(good(stream, now, next(names)) | changes).encode()

    whole = broken()
    number, identifier = NUMBER[stream], IDENTIFIER[stream]
    without = json.dumps({key: value for key, value in good(stream, now, 0).items() if key != identifier}).encode()
    plain = broken(**{number: 123456}).decode()
    # A confidence is bounded by its type, every other number is judged by the gate.
    bounded, array = stream == "video", stream in ARRAY_STREAMS
    one_object = (DEAD, "not_an_object", "$")
    not_a_number = (DEAD, "number_out_of_range", f"$.{number}") if bounded else (QUARANTINE, "not_a_number", "")
    return [
        ("truncated", whole[:-9], DEAD, "malformed_json", "$"),
        ("empty array", b"[]", DEAD, "empty_array" if array else "not_an_object", "$"),
        ("array of numbers", b"[1, 2]", DEAD, "not_an_object", "$[0] $[1]" if array else "$"),
        ("oversized array", b"[" + b"1," * 540_000 + b"1]", DEAD, "oversized", "$"),
        ("null", b"null", DEAD, "not_an_object", "$"),
        ("a number", b"7", DEAD, "not_an_object", "$"),
        ("tombstone", None, DEAD, "tombstone", "$"),
        ("nothing", b"", DEAD, "malformed_json", "$"),
        ("wrong type", broken(**{number: "high"}), DEAD, "wrong_type", f"$.{number}"),
        ("wrong type of id", broken(**{identifier: [1]}), DEAD, "wrong_type", f"$.{identifier}"),
        ("huge number", plain.replace("123456", "1" + "0" * 400).encode(), DEAD, "number_out_of_range", f"$.{number}"),
        ("NaN in an array", f"[{plain.replace('123456', 'NaN')}]".encode(), *(not_a_number if array else one_object)),
        ("NaN", plain.replace("123456", "NaN").encode(), *not_a_number),
        ("huge integer time", broken(ts=10**30), DEAD, "number_out_of_range", "$.ts"),
        ("oversized", broken(note="x" * 1_048_576), DEAD, "oversized", "$"),
        ("deep", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, DEAD, "too_deep", "$"),
        ("not UTF-8", whole.replace(str(now).encode(), b'"\xff\xfe"'), DEAD, "invalid_utf8", "$"),
        ("missing id", without, DEAD, "missing_field", f"$.{identifier}"),
        ("empty id", broken(**{identifier: ""}), DEAD, "bad_identifier", f"$.{identifier}"),
        ("unknown crs", broken(crs="mars"), DEAD, "unknown_crs", "$.crs"),
        ("time is text", broken(ts="yesterday"), DEAD, "bad_timestamp", "$.ts"),
        ("1970", broken(ts=0), QUARANTINE, "too_old", ""),
        ("2100", broken(ts=YEAR_2100_MS), QUARANTINE, "future", ""),
        ("nanoseconds", broken(ts=now * 1_000_000), QUARANTINE, "future", ""),
        ("latitude of 91", broken(lat=91.0, lon=117.2), QUARANTINE, "out_of_range_coordinate", ""),
        ("nowhere", broken(lat=0.0, lon=0.0), QUARANTINE, "zero_coordinate", ""),
    ]


def accepted(stream: str, now: int) -> list[bytes]:
    """Odd, but good: unknown fields are left out, duplicates and reversed order are counted as what they are."""
    twice = json.dumps(good(stream, now, 201)).encode()
    newer, older = (
        json.dumps(good(stream, now - back, 202) | extra).encode() for back, extra in ((0, {}), (400_000, OTHER[stream]))
    )
    together = b"[" + json.dumps(good(stream, now, 204)).encode() + b"," + json.dumps(good(stream, now, 205)).encode() + b"]"
    return [together] * (stream in ARRAY_STREAMS) + [
        json.dumps(good(stream, now, 203) | {"fnord": {"a": [1]}}).encode(),
        twice,
        twice,
        newer,
        older,
    ]


#: What tells the older record of a pair from the newer one where an id of its own would make it a repetition.
OTHER: dict[str, dict[str, object]] = {
    "sensor": {},
    "vehicle": {},
    "video": {"event_id": "E-299"},
    "hotline": {"call_id": "K-299"},
}


class Place:
    """A broker with topics under its own prefix, and the worker on it."""

    def __init__(self, broker: str, redis: str, prefix: str, folder: Path) -> None:
        self.broker, self.redis, self.prefix = broker, redis, prefix
        self.group = WorkerGroup(broker, redis, prefix, folder, settings={"CITYWATCH_CLOCK_SKEW_S": "0.2"})
        self.producer = Producer(broker)
        self.expected: dict[str, tuple[str, str, str]] = {}

    def send(self, stream: str, value: bytes | None, key: str, end: tuple[str, str, str] | None = None) -> None:
        """Write a record; ``end`` is expected of the place it comes to."""
        topic = self.prefix + BY_STREAM[stream].base

        def stands(partition: int, offset: int) -> None:
            if end is not None:
                self.expected[f"{topic}/{partition}/{offset}"] = end

        self.producer.send(topic, value, key, acknowledged=stands)

    def audit(self) -> Audit:
        return audited(self.broker, self.prefix)

    def read(self, base: str, kind: type) -> list:
        with LogReader(self.broker, [self.prefix + base]) as reader:
            return [msgspec.json.decode(record.value, type=kind) for record in reader.read_to_end() if record.value]

    def settle(self) -> Audit:
        deadline = time.monotonic() + 40
        while True:
            audit = self.audit()
            if audit.settled:
                return audit
            assert time.monotonic() < deadline, f"{audit.outcomes} of {audit.rows}\n{self.group.state(0)}\n{self.group.words()}"
            time.sleep(0.5)


@pytest.fixture(scope="module", params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def place(request, tmp_path_factory):
    """Both brokers after all the garbage: every expectation is asked of the same run."""
    folder = tmp_path_factory.mktemp("law")
    prefix = f"l{time.time_ns() // 1_000_000 % 10**9}."
    with EmbeddedRedis(folder / "redis") as redis:
        if request.param == "apache":
            broker, close = request.getfixturevalue("apache").bootstrap, None
            make_topics(broker, prefix)
        else:
            server = EmbeddedBroker(partition_counts(prefix))
            broker, close = server.bootstrap, server.close
        found = Place(broker, redis.url, prefix, folder)
        try:
            found.group.start(0)
            found.group.await_ready(0)
            for stream in INPUTS:
                now = int(time.time() * 1000)
                for name, value, where, reason, path in garbage(stream, now):
                    found.send(stream, value, f"{stream}-{name}", (where, reason, path))
                for value in accepted(stream, now):
                    found.send(stream, value, f"{stream}-accepted")
            found.producer.flush_acknowledged(30)
            found.settle()
            yield found
        finally:
            found.group.close()
            found.producer.close()
            if close is not None:
                close()


def ends(place: Place) -> dict[str, set[tuple[str, str, str]]]:
    """Where each record of an input ended, by its place in the log."""
    found: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for letter in place.read("dead_letters", DeadLetter):
        found[f"{letter.topic}/{letter.partition}/{letter.offset}"].add((DEAD, letter.reason, letter.path))
    for row in place.read("quarantine", Quarantined):
        found[f"{row.topic}/{row.partition}/{row.offset}"].add((QUARANTINE, row.reason, ""))
    return found


def test_every_row_of_every_input_is_accounted_for_from_the_topics(place):
    audit = place.settle()
    letters, refused = place.read("dead_letters", DeadLetter), place.read("quarantine", Quarantined)
    ours = {place.prefix + BY_STREAM[stream].base for stream in INPUTS}
    assert sum(audit.rows.values()) == sum(audit.outcomes.values()) > 0
    assert audit.outcomes["dead_letter"] == sum(letter.topic in ours for letter in letters)
    assert audit.outcomes["quarantined"] == sum(row.topic in ours for row in refused)
    assert audit.outcomes["duplicate"] == len(INPUTS)


def test_every_kind_of_garbage_ends_where_it_belongs_with_its_reason_and_path(place):
    found = ends(place)
    assert {where: found.get(where) for where in place.expected} == {
        where: {(end, reason, one) for one in path.split(" ")} for where, (end, reason, path) in place.expected.items()
    }


def test_what_is_merely_odd_is_no_garbage(place):
    assert ends(place).keys() == place.expected.keys()


def test_a_dead_letter_keeps_the_bytes(place):
    (letter,) = [one for one in place.read("dead_letters", DeadLetter) if one.key == "sensor-not UTF-8"]
    assert b'"\xff\xfe"' in base64.b64decode(letter.raw)


def test_the_worker_stays_ready_and_decides_what_comes_after(place):
    now = int(time.time() * 1000)
    for back, value in ((2_000, 1.0), (1_000, 60.0), (0, 60.0)):
        record = good("sensor", now - back, 300) | {"value": value}
        place.send("sensor", json.dumps(record).encode(), "S-300")
    place.producer.flush_acknowledged(10)
    deadline = time.monotonic() + 30
    entities: set[str] = set()
    while "S-300" not in entities and time.monotonic() < deadline:
        entities = {incident.evidence[0].entity for incident in place.audit().incidents.values()}
    assert "S-300" in entities
    assert place.group.ready(0)
    assert place.group.processes[0].poll() is None


def test_dead_letters_are_listed_shown_and_come_back_mended(place, monkeypatch, capsys, tmp_path):
    for name, value in place.group.environment(0).items():
        if name in ("CITYWATCH_BROKER", "CITYWATCH_REDIS", "CITYWATCH_TOPIC_PREFIX", "CITYWATCH_GROUP", "CITYWATCH_NAMESPACE"):
            monkeypatch.setenv(name, value)
    assert citywatch.main(["dead-letters", "list", "--json"]) == 1
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert Counter(one["reason"] for one in listed) == Counter(
        reason for where, reason, path in place.expected.values() if where == DEAD for _ in path.split(" ")
    )
    (truncated,) = [one for one in listed if one["key"] == "vehicle-truncated"]
    named = f"{truncated['topic']}/{truncated['partition']}/{truncated['offset']}"
    assert citywatch.main(["dead-letters", "show", named]) == 0
    assert "malformed_json at $" in capsys.readouterr().out

    before = place.settle().outcomes["processed"]
    mended = tmp_path / "mended.json"
    mended.write_bytes(json.dumps(good("vehicle", int(time.time() * 1000), 400)).encode())
    assert citywatch.main(["dead-letters", "resubmit", named, "--value", str(mended)]) == 0
    deadline = time.monotonic() + 30
    while (after := place.audit()).outcomes["processed"] <= before and time.monotonic() < deadline:
        time.sleep(0.3)
    assert after.outcomes["processed"] == before + 1


@pytest.mark.parametrize("base", ["mutes", "feedback", "signals", "sensor.groups"])
def test_garbage_among_controls_and_between_the_stages_is_a_dead_letter_too(place, base):
    before = len(place.read("dead_letters", DeadLetter))
    values = (b'{"mute_id": "m', b"[" * 5_000, b"\xff", json.dumps({"control": "tick", "city": 7}).encode())
    for value in values:
        place.producer.send(place.prefix + base, value, "garbage")
    place.producer.flush_acknowledged(10)
    deadline = time.monotonic() + 30
    while len(place.read("dead_letters", DeadLetter)) < before + len(values) and time.monotonic() < deadline:
        time.sleep(0.2)
    letters = [one for one in place.read("dead_letters", DeadLetter) if one.topic == place.prefix + base]
    assert len(letters) == len(values)
    assert all(one.reason and one.path and one.raw for one in letters)
    assert place.group.ready(0)

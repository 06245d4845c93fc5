"""The same log several times over: what two groups of workers make of it can be compared byte by byte.

Either as it grows: every input record is produced under each prefix with one and the same stamp, key and value by one producer,
into topics whose time is the producer's stamp. Or one log is written as a city writes it, in the broker's time, and copied when
it is whole, with its stamps. Partition, offset and arrival of a record agree either way, while the workers read live: their
partitions fall idle, ticks come from empty fetches, nothing is in playback.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import citywatch
from replay.simulate.city import Wire
from streams.kafka import LogReader, Producer
from streams.records import Control, Incident, Signal
from streams.topics import BY_STREAM, TOPICS, topic_name
from topologies.audit import Audit

INPUTS = ("sensor", "vehicle", "video", "hotline")
#: Progress records come this often (``[detect] progress_s``); a timer due at T has fired when all sources are past T.
PROGRESS_MS = 5_000


def make_topics(broker: str, prefix: str, *, stamped_by_producer: bool = False, more: Iterable[str] = ()) -> None:
    """``citywatch topics create`` under a prefix; on request the inputs keep the producer's stamp as their time."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CITYWATCH_TOPIC_PREFIX", prefix)
        assert citywatch.main(["topics", "create", "--broker", broker, *more]) == 0
    if stamped_by_producer:
        entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
        names = [topic_name(BY_STREAM[stream].base, prefix) for stream in INPUTS]
        wanted = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in names]
        # Held by name: a client that is collected takes its futures with it.
        admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})
        for altered in admin.incremental_alter_configs(wanted).values():
            altered.result()


def audited(broker: str, prefix: str) -> Audit:
    """The account of law 8, from all topics under a prefix as they are now."""
    audit = Audit(prefix)
    with LogReader(broker, [topic.name(prefix) for topic in TOPICS if topic.base != "heartbeat"]) as reader:
        for record in reader.read_to_end():
            audit.take(record)
    return audit


def feed_all(
    producer: Producer,
    wires: Iterable[Wire],
    prefixes: Iterable[str],
    stop: threading.Event,
    turn: AbstractContextManager[Any] | None = None,
) -> tuple[int, int]:
    """Every wire under every prefix when its time has come, until ``stop``; how many, and the last stamp. Who holds ``turn``
    holds the feed up: what it then sends is stamped when it is sent."""
    sent, stamp = 0, 0
    targets = list(prefixes)
    for wire in wires:
        ahead = wire.arrival_ts / 1000 - time.time()
        if stop.wait(max(0.0, ahead)):
            break
        with turn or nullcontext():
            stamp = max(stamp, time.time_ns() // 1_000_000)
            for prefix in targets:
                producer.send(prefix + wire.topic, wire.value, wire.key, timestamp_ms=stamp)
        sent += 1
    producer.flush_acknowledged(30)
    return sent, stamp


def copy_inputs(broker: str, of: str, to: str) -> None:
    """Every input record under prefix ``of`` once more under ``to``, at its partition, offset and time; these topics must be
    empty and stamped by the producer."""
    names = [topic_name(BY_STREAM[stream].base, of) for stream in INPUTS]
    with LogReader(broker, names) as reader:
        records = sorted(reader.read_to_end(), key=lambda record: record[:3])
    reached: dict[tuple[str, int], int] = {}
    with Producer(broker) as producer:
        for record in records:
            place = record.topic, record.partition
            assert record.offset == reached.get(place, 0), f"{place}: nothing stands at {reached.get(place, 0)}"
            reached[place] = record.offset + 1
            topic = to + record.topic.removeprefix(of)
            producer.send(
                topic, record.value, record.key, record.headers, partition=record.partition, timestamp_ms=record.timestamp
            )
        producer.flush_acknowledged(60)


@dataclass
class Told:
    """What stands in the output topics of one prefix, with everything that contradicts itself in ``conflicts``."""

    prefix: str
    #: (source topic without prefix, partition, sequence) -> body without the prefix.
    signals: dict[tuple[str, int, tuple[int, int, int]], bytes] = field(default_factory=dict)
    #: Arrival a source has come to, by its progress records.
    reached: dict[tuple[str, int], int] = field(default_factory=dict)
    bodies: dict[tuple[str, int], bytes] = field(default_factory=dict)
    incidents: dict[tuple[str, int], Incident] = field(default_factory=dict)
    #: (id, revision, level) as the level topics have them.
    levels: set[tuple[str, int, int]] = field(default_factory=set)
    arrivals: dict[tuple[str, int, tuple[int, int, int]], int] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    repeated: int = 0

    def until(self, horizon: int) -> dict[tuple[str, int], bytes]:
        """Revisions whose cause stands at or before ``horizon``."""
        return {key: body for key, body in self.bodies.items() if self.incidents[key].updated_ts <= horizon}

    def signals_until(self, horizon: int, *, but: str = "") -> dict[tuple[str, int, tuple[int, int, int]], bytes]:
        return {key: body for key, body in self.signals.items() if self.arrivals[key] <= horizon and (not but or key[0] != but)}

    def sources_of(self, incident_id: str) -> set[str]:
        """topic/partition of all evidence an incident ever showed."""
        return {
            piece.source.rpartition("/")[0]
            for (name, _), incident in self.incidents.items()
            if name == incident_id
            for piece in incident.evidence
        }


def read_told(broker: str, prefix: str) -> Told:
    told = Told(prefix)
    names = [topic.name(prefix) for topic in TOPICS if topic.base == "signals" or topic.base.startswith("incidents")]
    with LogReader(broker, names) as reader:
        for record in reader.read_to_end():
            assert record.value is not None
            value = record.value.replace(f'"{prefix}'.encode(), b'"')
            base = record.topic.removeprefix(prefix)
            if base == "signals":
                _signal(told, value)
            else:
                _revision(told, base, value)
    return told


def _signal(told: Told, value: bytes) -> None:
    if b'"control":' in value:
        control = msgspec.json.decode(value, type=Control)
        if control.control == "tick":
            source = (control.source.topic, control.source.partition)
            told.reached[source] = max(told.reached.get(source, 0), control.arrival_ts)
        return
    signal = msgspec.json.decode(value, type=Signal)
    key = (signal.source.topic, signal.source.partition, signal.source.sequence)
    before = told.signals.setdefault(key, value)
    told.arrivals[key] = signal.arrival_ts
    told.repeated += before is not value
    if before != value:
        told.conflicts.append(f"two signals at {key}: {before!r} and {value!r}")


def _revision(told: Told, base: str, value: bytes) -> None:
    incident = msgspec.json.decode(value, type=Incident)
    if base != "incidents":
        if incident.moved_to is None:
            told.levels.add((incident.incident_id, incident.revision, incident.level))
        return
    key = (incident.incident_id, incident.revision)
    before = told.bodies.setdefault(key, value)
    told.incidents[key] = incident
    told.repeated += before is not value
    if before != value:
        told.conflicts.append(f"two bodies of {key}: {before!r} and {value!r}")


def settled(broker: str, prefixes: Iterable[str], horizon: int, seconds: float = 90.0) -> dict[str, Told]:
    """Wait until every source of every prefix has passed ``horizon`` and nothing more comes at or before it."""
    deadline = time.monotonic() + seconds
    before: dict[str, Any] = {}
    while True:
        told = {prefix: read_told(broker, prefix) for prefix in prefixes}
        behind = {
            prefix: late
            for prefix, one in told.items()
            if (late := {s: ms - horizon for s, ms in one.reached.items() if ms <= horizon and s[0] != "sensor.groups"})
            or not one.reached
        }
        passed = not behind
        now = {prefix: (len(one.until(horizon)), len(one.signals_until(horizon))) for prefix, one in told.items()}
        if passed and now == before:
            return told
        assert time.monotonic() < deadline, f"sources that did not pass the horizon, by ms: {behind}"
        before = now if passed else {}
        time.sleep(1.0)


def difference(base: Mapping[Any, bytes], other: Mapping[Any, bytes]) -> list[str]:
    """What the other misses, has beyond, or says differently; one sentence each."""
    found = [f"missing: {key} {_brief(base[key])}" for key in base.keys() - other.keys()]
    found += [f"extra: {key} {_brief(other[key])}" for key in other.keys() - base.keys()]
    for key in base.keys() & other.keys():
        if base[key] != other[key]:
            one, two = json.loads(base[key]), json.loads(other[key])
            fields = {name: (one.get(name), two.get(name)) for name in {*one, *two} if one.get(name) != two.get(name)}
            found.append(f"another body: {key} {fields}")
    return sorted(found)


def _brief(body: bytes) -> str:
    tree = json.loads(body)
    kept = ("event", "rule", "entity", "title", "updated_ts", "arrival_ts", "phase")
    return str({name: tree[name] for name in kept if name in tree})

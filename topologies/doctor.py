"""``citywatch doctor``: looks at everything the worker needs and says what to do, one line per check."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import redis

from streams.commands import describe
from streams.errors import Mend
from streams.kafka import LogReader, Producer, check_broker
from streams.topics import topic_name
from topologies.checkpoints import FORMAT, CheckpointStore, ShardKey, StoreAway
from topologies.incident_commands import live
from topologies.settings import Settings
from topologies.worker_clock import elapsed_s, wall_ms
from topologies.worker_versions import STAGE

_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """``state`` is ok, warning (works, but …) or fault (the worker will not)."""

    check: str
    state: str
    text: str


def examine(settings: Settings, *, as_json: bool) -> int:
    """Every check, also after a failed one; exit 2 where there is a fault."""
    found = [finding for check in CHECKS for finding in _run(check, settings)]
    for finding in found:
        if as_json:
            print(json.dumps({"check": finding.check, "state": finding.state, "text": finding.text}))
        else:
            print(f"{finding.state:<8} {finding.check:<8} {finding.text}")
    return 2 if any(finding.state == "fault" for finding in found) else 0


def _run(check: Callable[[Settings], list[Finding]], settings: Settings) -> list[Finding]:
    try:
        return check(settings)
    except Mend as error:
        return [Finding(check.__name__, "fault", str(error))]


def broker(settings: Settings) -> list[Finding]:
    cluster = check_broker(settings.broker)
    return [Finding("broker", "ok", f"{settings.broker}, cluster {cluster or 'without id'}")]


def topics(settings: Settings) -> list[Finding]:
    from topologies.worker_log import log_facts

    facts = log_facts(settings.broker, settings.topic_prefix, timeout_s=5.0)
    return [Finding("topics", "ok", f"{len(facts.partitions)} topics, {sum(facts.partitions.values())} partitions")]


def clock(settings: Settings) -> list[Finding]:
    """The broker's clock against ours, by a record of its own in the heartbeat topic."""
    topic = topic_name("heartbeat", settings.topic_prefix)
    with (
        LogReader(settings.broker, [topic], start="latest", timeout_s=5.0) as reader,
        Producer(settings.broker, linger_ms=0, config={"message.timeout.ms": 5_000}) as producer,
    ):
        sent = wall_ms()
        producer.send(topic, b"{}", "doctor")
        deadline = elapsed_s() + 5.0
        while elapsed_s() < deadline:
            for record in reader.poll(0.1):
                if record.key == b"doctor":
                    skew = record.timestamp - sent
                    fits = abs(skew) <= settings.clock_skew_s * 1000
                    mend = "" if fits else f"; beyond clock_skew_s = {settings.clock_skew_s:g}: run NTP on both machines"
                    return [Finding("clock", "ok" if fits else "warning", f"the broker is {skew:+d} ms ahead{mend}")]
    return [Finding("clock", "fault", "a record in the heartbeat topic did not come back in 5 s; is the broker healthy?")]


def store(settings: Settings) -> list[Finding]:
    if settings.checkpoint_store == "topic":
        return _topic_store(settings)
    if settings.checkpoint_store == "memory":
        return [
            Finding("store", "warning", "checkpoints are kept in memory and die with the worker; set checkpoint_store = redis")
        ]
    with live(settings) as client:
        client.ping()
        found = _held(settings, settings.redis)
        try:
            durable = client.config_get("appendonly").get("appendonly") == "yes"
        except redis.exceptions.ResponseError:
            return [
                *found,
                Finding("store", "warning", "whether Redis keeps what it acknowledged cannot be asked (CONFIG is forbidden)"),
            ]
        if not durable:
            found.append(Finding("store", "warning", "Redis may lose checkpoints with power: set appendonly yes"))
        return found


def _topic_store(settings: Settings) -> list[Finding]:
    """The checkpoint topic, and Redis, which is then only the live set."""
    name = topic_name("checkpoints", settings.topic_prefix)
    found = _held(settings, name)
    if found[0].state == "fault":
        return found
    (row,) = [row for row in describe(settings.broker, settings.topic_prefix) if row["topic"] == name]
    if row["differs"]:
        found.append(
            Finding("store", "warning", f"{name} is not as `citywatch topics create` makes it: {'; '.join(row['differs'])}")
        )
    if row["replication"] < 3:
        text = f"{name} has {row['replication']} copies: what takes one broker's disk may take the checkpoints; use three"
        found.append(Finding("store", "warning", text))
    with live(settings) as client:
        client.ping()
    return [*found, Finding("store", "ok", f"{settings.redis}, for the live set")]


def _held(settings: Settings, where: str) -> list[Finding]:
    """Whether this version reads every checkpoint, and who wrote them: in the middle of an upgrade, two versions."""
    from topologies.worker import store_of

    store = store_of(settings)
    writers: Counter[str] = Counter()
    found: list[Finding] = []
    try:
        for key in _asked_twice(store):
            if key.stage == STAGE:
                continue
            try:
                held = store.read(key)
            except Mend as error:
                found.append(Finding("store", "fault", str(error)))
                continue
            if held is not None:
                writers[held.written_by] += 1
    except StoreAway as error:
        return [Finding("store", "fault", f"{where} is away ({error}); start it, or mend its address")]
    finally:
        store.close()
    by = f", written by {', '.join(f'{writer} ({number})' for writer, number in sorted(writers.items()))}" if writers else ""
    text = f"{where}, checkpoints of {sum(writers.values())} shards{by}; workers here write format {settings.checkpoint_format}"
    found.insert(0, Finding("store", "ok", text))
    if settings.checkpoint_format != FORMAT:
        text = f"checkpoints are written as format {settings.checkpoint_format}, for workers of the version before; "
        found.append(Finding("store", "warning", f"{text}once there are none, leave checkpoint_format out ({FORMAT})"))
    return found


def _asked_twice(store: CheckpointStore) -> list[ShardKey]:
    """What it holds. Partitions that were just made may have no leader yet, and a worker would ask again, too."""
    try:
        return store.keys()
    except StoreAway:
        time.sleep(_AGAIN_S)
        return store.keys()


def rules(settings: Settings) -> list[Finding]:
    from topologies.worker import rules_of

    book = rules_of(settings)
    return [Finding("rules", "ok", f"{len(book)} rules, fingerprint {book.fingerprint}")]


def routing(settings: Settings) -> list[Finding]:
    from alert_sinks.routing import Routing

    Routing.from_file(settings.routing or None, ("kafka_topics", "redis_live", "terminal"))
    return [Finding("routing", "ok", settings.routing or "as shipped")]


CHECKS: tuple[Callable[[Settings], list[Finding]], ...] = (broker, topics, clock, store, rules, routing)

import asyncio
from pathlib import Path

import msgspec

from alert_sinks.outbox import Outbox
from alert_sinks.routing import Route, Routing
from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.codec import encode
from streams.records import Control, DeadLetter, Incident, Point, Signal, Source
from streams.registry import Registry
from tests.alert_sinks.incidents import Scripted
from topologies.checkpoints import Checkpoint, MemoryStore, ShardKey, decode
from topologies.checkpoints import encode as checkpoint_bytes
from topologies.crash_points import CrashPoints
from topologies.incident import IncidentStage
from topologies.metrics import Metrics
from topologies.worker_incident import IncidentShard
from topologies.worker_shard import ShardPlace
from topologies.worker_versions import Versions

T0 = 1_700_000_000_000
RULES = RuleBook.from_dir(Path(__file__).parent / "worker_rules")
EMPTY = Registry.from_assets([])


def in_use(rules, registry=EMPTY):
    found = Versions(MemoryStore(), lambda revision: Registry.from_assets([], revision))
    found.use(rules, registry)
    return found


class Town:
    def __init__(self, saved=None, outbox_saved=None, versions=None):
        self.sink, self.dead, self.metrics = Scripted(), [], Metrics()
        self.outbox = Outbox({"scripted": self.sink}, Routing(Route(["scripted"])))
        if outbox_saved:
            self.outbox.restore(outbox_saved)
        self.shard = IncidentShard(
            ShardPlace(ShardKey("incident", "city.signals", 0), 1, "c", 1, 0), saved or {}, self.outbox,
            fresh=IncidentStage,
            revived=lambda _, kept, rules, registry: IncidentStage.restore(kept, rules, registry),
            versions=versions or in_use(RULES),
            send=lambda topic, value, key, headers=None: self.dead.append(msgspec.json.decode(value, type=DeadLetter)),
            metrics=self.metrics, prefix="city.", playback=True, points=CrashPoints(),
        )  # fmt: skip

    async def delivered(self):
        self.outbox.start()
        assert await self.outbox.drained(5)
        await self.outbox.stop()
        return self.sink.got

    def through_a_checkpoint(self):
        shard = self.shard
        saved = Checkpoint(shard.key, "c", 1, 1, 0, shard.state(), outbox=shard.outbox_state())
        back = decode(checkpoint_bytes(saved))
        return Town(back.state, back.outbox)


def signal(offset, city="340100", entity="G1", level=2, value=25.0):
    return Signal(
        signal_id=f"methane:{entity}:{T0}",
        city=city,
        category="gas",
        hazard="GAS-01",
        rule="methane",
        rule_version="1",
        entity=entity,
        stream="sensor",
        ts=T0 + offset,
        arrival_ts=T0 + offset,
        level=level,
        phase="raised" if level == 2 else "updated",
        source=Source("city.sensor.readings", 0, offset),
        location=Point((117.2, 31.8)),
        value=value,
    )


def batch(*values, headers=None):
    raw = [value if isinstance(value, bytes | None) else encode(value) for value in values]
    n = len(raw)
    return RawBatch("city.signals", 0, list(range(n)), [T0 + i for i in range(n)], raw, [b"340100"] * n, headers)


def test_signals_of_two_cities_in_one_partition_become_incidents_of_each():
    async def run():
        town = Town()
        town.shard.decide(batch(signal(1), signal(2, city="340200")), T0)
        return {key[:6] for key, _, _ in await town.delivered()}

    assert asyncio.run(run()) == {"340100", "340200"}


def test_what_is_neither_signal_nor_control_becomes_a_dead_letter():
    async def run():
        town = Town()
        town.shard.decide(batch(b"{}", None, b'{"control":"tick"}'), T0)
        return [letter.reason for letter in town.dead]

    assert asyncio.run(run()) == ["missing_field", "tombstone", "missing_field"]


def test_latency_of_the_deciding_signal_stands_in_the_headers_and_not_in_the_body():
    async def run():
        town = Town()
        seen = []

        async def deliver(delivery):
            seen.append(delivery)

        town.sink.deliver = deliver
        town.shard.decide(batch(signal(1), headers=[[("cw_latency_log_to_worker_ms", b"12"), ("other", b"x")]]), T0 + 5)
        await town.delivered()
        return seen[0]

    delivery = asyncio.run(run())
    assert dict(delivery.headers)["cw_latency_log_to_worker_ms"] == b"12"
    assert dict(delivery.headers)["cw_latency_signal_to_incident_ms"] == b"5"
    assert b"latency" not in delivery.body


def test_after_a_restart_the_stage_goes_on_and_repeats_neither_id_nor_revision():
    async def run():
        first = Town()
        first.shard.decide(batch(signal(1)), T0)
        before = await first.delivered()
        second = first.through_a_checkpoint()
        second.shard.decide(batch(signal(1), signal(2, level=1, value=60.0)), T0)
        return before, await second.delivered()

    before, after = asyncio.run(run())
    assert {key for key, _, _ in before} == {key for key, _, _ in after}
    assert min(revision for _, revision, _ in after) > max(revision for _, revision, _ in before)


def test_open_incidents_and_their_counts_survive_a_restart():
    async def run():
        town = Town()
        town.shard.decide(batch(signal(1)), T0)
        again = town.through_a_checkpoint()
        return town.shard.counts(), again.shard.counts(), again.shard.open_incidents()

    before, after, (shown,) = asyncio.run(run())
    assert before == after == {("gas", 2): 1}
    assert msgspec.json.decode(shown, type=Incident).level == 2


def test_what_was_decided_and_not_delivered_is_delivered_after_a_restart():
    async def run():
        town = Town()
        town.shard.decide(batch(signal(1)), T0)
        return await town.through_a_checkpoint().delivered()

    assert len(asyncio.run(run())) == 1


# --- versions: in force where the partition announces them


OTHER = RuleBook.of(
    [msgspec.structs.replace(rule, title="Renamed", quiet_s=rule.quiet_s + 1) for rule in RULES],
    RULES.families,
)


def announced(offset, fingerprint=OTHER.fingerprint, city="340100"):
    source = Source("city.sensor.readings", 0, offset, 1_010_000, T0 + offset)
    return Control(control="rules", city=city, arrival_ts=T0 + offset, source=source, fingerprint=fingerprint)


def titles(town):
    return {(one.city, one.title) for one in (msgspec.json.decode(body, type=Incident) for body in town.shard.open_incidents())}


def knowing(now=RULES):
    found = in_use(now)
    found.keep(RULES)
    found.keep(OTHER)
    found.fetch([RULES.fingerprint], [])
    return found


def put(town, *records):
    async def both():
        one = batch(*records)
        await town.shard.prepare(one)
        town.shard.decide(one, T0)

    asyncio.run(both())


def test_a_worker_started_with_other_rules_uses_them_from_their_announcement_on():
    town = Town(versions=knowing())
    put(town, signal(1))
    heir = Town(town.shard.state(), versions=knowing(OTHER))
    put(heir, signal(2, entity="G2", city="340200"), announced(3), signal(4, entity="G4", city="340300"))
    name = RULES.rules[0].title
    assert titles(heir) == {("340100", name), ("340200", name), ("340300", "Renamed")}


def test_an_announcement_brings_the_rules_of_another_worker_from_the_store():
    town = Town(versions=knowing())
    put(town, announced(1), signal(2))
    assert titles(town) == {("340100", "Renamed")}


def test_what_is_in_force_goes_into_the_checkpoint():
    town = Town(versions=knowing())
    put(town, announced(1), signal(2), signal(2, city="340200"))
    assert town.shard.rule_fingerprint() == OTHER.fingerprint
    assert town.shard.state()["versions"] == {name: [OTHER.fingerprint, 0] for name in ("", "340100", "340200")}

"""Law 3 where a kill falls on a switch of rules or registry: no place in the log gets two bodies, and a replay finds the same.

A worker decides, switches and dies when any number of what it said since its checkpoint has reached the log. Whoever goes on
was started with the new version (or one newer still), and finds the rest in the checkpoint and the log. The log's time is the
number of records in it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.kafka import LogRecord
from streams.records import Asset, Control, Signal
from streams.registry import Registry
from topologies.checkpoints import MemoryStore, ShardKey, decode, encode
from topologies.crash_points import CrashPoints
from topologies.detect import DetectStage
from topologies.metrics import Metrics
from topologies.settings_stages import DetectSettings
from topologies.worker_detect import DetectShard
from topologies.worker_plan import plan, told_since
from topologies.worker_shard import ShardPlace
from topologies.worker_tail import Tail, tails
from topologies.worker_versions import Versions

T0 = 1_700_000_000_000
TOPIC = "city.sensor.readings"
KEY = ShardKey("detect", TOPIC, 0)
FOLDER = Path(__file__).parent / "worker_rules"
OLD = RuleBook.from_dir(FOLDER)
SETTINGS = DetectSettings(default_city="340100")
ROWS = 60


def changed(folder: Path, raised: float) -> RuleBook:
    folder.mkdir(exist_ok=True)
    text = (FOLDER / "methane.toml").read_text()
    for old, new in (
        ("raise = 20.0", f"raise = {raised}"),
        ("[1, 25.0]", f"[1, {raised + 1}]"),
        ("[1, 15.0]", f"[1, {raised - 1}]"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "methane.toml").write_text(text)
    (folder / "families.toml").write_text((FOLDER / "families.toml").read_text())
    return RuleBook.from_dir(folder)


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """Three versions of the rules: 20, 12 and 16 %LEL."""
    return OLD, changed(tmp_path_factory.mktemp("twelve"), 12.0), changed(tmp_path_factory.mktemp("sixteen"), 16.0)


def moved(revision: int, city: str) -> Registry:
    asset = {"asset_id": "G1", "kind": "sensor", "periods": [{"from": 0, "city": city, "lat": 31.8, "lon": 117.2}]}
    return Registry.from_assets([msgspec.convert(asset, Asset)], revision)


#: Values that cross one, two or all three of the bounds, and fall again; three sensors in turn, a second apart.
VALUES = [1.0, 13.0, 18.0, 25.0, 14.0, 2.0, 30.0]


def batch(first: int, stop: int) -> RawBatch:
    offsets = list(range(first, stop))
    values = []
    for offset in offsets:
        reading = {"sensor_id": f"G{offset % 3}", "ts": T0 + offset * 1000, "metric": "ch4", "unit": "%LEL"}
        values.append(
            json.dumps({**reading, "value": VALUES[(offset * 5 // 3) % len(VALUES)], "lat": 31.8, "lon": 117.2}).encode()
        )
    return RawBatch(TOPIC, 0, offsets, [T0 + offset * 1000 for offset in offsets], values, [b"k"] * len(offsets))


class Owner:
    """One owner of the shard: ``said`` is what it handed to its producer."""

    def __init__(self, versions, rules, registry, found=None, log=()):
        self.said = []
        self.versions = versions
        versions.use(rules, registry)
        mark = found.mark if found is not None else 0
        if found is None:
            stage, begun = DetectStage(TOPIC, 0, rules, registry, SETTINGS), (rules, registry)
        else:
            begun = versions.of(found.rule_fingerprint, found.registry_revision)
            stage = DetectStage.restore(TOPIC, 0, *begun, SETTINGS, found.state)
        self.shard = DetectShard(
            ShardPlace(KEY, 1, "c", 1, mark), stage, *begun, send=self.send, metrics=Metrics(), prefix="city.", skew_ms=0,
            playback=False, points=CrashPoints(),
        )  # fmt: skip
        if found is not None:
            behind = [LogRecord("city.signals", 0, n, n, b"", one, ()) for n, one in enumerate(log) if n >= told_since(found)]
            tail = tails(behind).get((TOPIC, 0), Tail())
            self.shard.follow(plan(found, tail, versions, rules, registry), tail.end(), told_since(found))

    def send(self, topic, value, key, headers=None):
        if topic == "city.signals":
            self.said.append(value)

    def decide(self, stop, step=7):
        while self.shard.mark < stop:
            one = batch(self.shard.mark, min(stop, self.shard.mark + step))
            self.shard.decide(one, T0)
            self.shard.mark = one.offsets[-1] + 1

    def checkpoint(self, log):
        found = decode(encode(self.shard.capture().checkpoint))
        found.written_at = len(log)
        return found


@pytest.fixture
def versions(books):
    store = MemoryStore()
    registries = {0: Registry.from_assets([]), 5: moved(5, "340200"), 9: moved(9, "340300")}
    found = Versions(store, registries.__getitem__)
    for book in books:
        found.keep(book)
    found.fetch([book.fingerprint for book in books], registries)
    return found


def places(log):
    """Every place of the source in the log: the bodies that stand there."""
    found = {}
    for value in log:
        one = msgspec.json.decode(value, type=Control if b'"control":' in value else Signal)
        # Each city is told of a switch at a place of its own number; a tick's controls differ by city too.
        found.setdefault(one.source.sequence, set()).add(value)
    return found


def decided_again(log, versions, begun):
    """The signals of the log, decided from the first record with the switches it announces."""
    stage = DetectStage(TOPIC, 0, *begun, SETTINGS)
    switches = sorted(next(iter(tails([LogRecord("", 0, 0, 0, b"", one, ()) for one in log]).values())).switches.items())
    said, at = [], 0
    for _, switch in switches:
        if switch.place.offset > at:
            said += stage.process(batch(at, switch.place.offset)).signals
            at = switch.place.offset
        said += stage.idle(switch.place.clock, at).signals
        registry = versions.registry(switch.revision) if switch.revision is not None else None
        rules = versions.rules(switch.fingerprint) if switch.fingerprint else None
        said += stage.switch(rules=rules, registry=registry, next_offset=at).signals
    if at < ROWS:
        said += stage.process(batch(at, ROWS)).signals
    return {one.source.sequence: msgspec.json.encode(one) for one in said if isinstance(one, Signal)}


def signals(log):
    return {place: bodies for place, bodies in places(log).items() if not all(b'"control":' in one for one in bodies)}


def one_body_each_and_the_same_again(log, versions, begun):
    assert {place: bodies for place, bodies in places(log).items() if len(bodies) > 1} == {}
    assert {place: next(iter(bodies)) for place, bodies in signals(log).items()} == decided_again(log, versions, begun)


def killed_while_switching(versions, before, after, reached, *, switch=True):
    """The log with ``reached`` records of what a worker said behind its checkpoint, and that checkpoint."""
    worker = Owner(versions, *before)
    worker.decide(20)
    log = list(worker.said)
    found = worker.checkpoint(log)
    worker.decide(33 if switch else 50)
    if switch:
        worker.shard.idle(33, T0 + 34_400)
        rules, registry = (new if new is not old else None for old, new in zip(before, after, strict=True))
        worker.shard.switch(rules=rules, registry=registry)
        worker.decide(50)
    behind = worker.said[len(log) :]
    return (log + behind[:reached], found) if reached <= len(behind) else None


def cuts(make):
    """All numbers of records that may have reached the log."""
    reached = 0
    while (one := make(reached)) is not None:
        yield one
        reached += 1
    assert reached > 10


@pytest.mark.parametrize("switch", [True, False], ids=["announced", "changed while nobody ran"])
def test_rules_that_change_around_a_kill_leave_one_body_at_every_place(versions, books, switch):
    nobody = Registry.from_assets([])
    for log, found in cuts(lambda n: killed_while_switching(versions, (OLD, nobody), (books[1], nobody), n, switch=switch)):
        heir = Owner(versions, books[1], nobody, found, log)
        heir.decide(ROWS)
        one_body_each_and_the_same_again(log + heir.said, versions, (OLD, nobody))


def test_rules_that_change_once_more_before_anybody_goes_on_are_told_in_their_order(versions, books):
    nobody = Registry.from_assets([])
    for log, found in cuts(lambda n: killed_while_switching(versions, (OLD, nobody), (books[1], nobody), n)):
        heir = Owner(versions, books[2], nobody, found, log)
        heir.decide(ROWS)
        one_body_each_and_the_same_again(log + heir.said, versions, (OLD, nobody))
        assert books[2].fingerprint.encode() in b"".join(heir.said)


def test_a_registry_that_changes_around_a_kill_leaves_one_body_at_every_place(versions):
    before, after = (OLD, versions.registry(5)), (OLD, versions.registry(9))
    for log, found in cuts(lambda n: killed_while_switching(versions, before, after, n)):
        heir = Owner(versions, *after, found, log)
        heir.decide(ROWS)
        one_body_each_and_the_same_again(log + heir.said, versions, before)


@pytest.mark.parametrize("stop", [22, 30, 36, 49])
def test_a_second_kill_while_the_first_is_made_good_changes_nothing(versions, books, stop):
    nobody = Registry.from_assets([])
    for log, found in cuts(lambda n: killed_while_switching(versions, (OLD, nobody), (books[1], nobody), n)):
        heir = Owner(versions, books[1], nobody, found, log)
        heir.decide(stop)
        log = log + heir.said
        second = Owner(versions, books[2], nobody, heir.checkpoint(log), log)
        second.decide(ROWS)
        one_body_each_and_the_same_again(log + second.said, versions, (OLD, nobody))


def test_the_comparison_sees_a_switch_at_the_checkpoint(versions, books):
    """As it was: the heir uses what it was started with at once."""
    nobody = Registry.from_assets([])
    worse = 0
    for log, found in cuts(lambda n: killed_while_switching(versions, (OLD, nobody), (books[1], nobody), n)):
        hasty = Owner(versions, books[1], nobody, found, [])
        hasty.decide(ROWS)
        worse += any(len(bodies) > 1 for bodies in signals(log + hasty.said).values())
    assert worse > 10


def test_a_rule_book_comes_back_from_the_store_as_it_was(books):
    store = MemoryStore()
    Versions(store, None).keep(books[1])
    found = Versions(store, None)
    found.fetch([books[1].fingerprint], [])
    back = found.rules(books[1].fingerprint)
    assert (back.rules, back.fingerprint) == (books[1].rules, books[1].fingerprint)


def test_the_store_keeps_the_newest_rule_books(books, monkeypatch):
    monkeypatch.setattr("topologies.worker_versions.KEPT", 2)
    store = MemoryStore()
    for book in books:
        Versions(store, None).keep(book)
    kept = store.keys()
    assert len(kept) == 2 and ShardKey("rules", books[2].fingerprint, 0) in kept


def test_a_registry_that_is_on_its_way_is_waited_for_and_not_read_anew(books):
    found = Versions(MemoryStore(), None)
    found.use(books[0], moved(3, "340200"))

    async def wait():
        waiting = asyncio.ensure_future(found.ready([], [7]))
        await asyncio.sleep(0.01)
        found.use(books[0], moved(7, "340300"))
        await waiting

    asyncio.run(wait())
    assert found.registry(7).cities() == moved(7, "340300").cities()


def test_rules_that_cannot_be_had_any_more_are_said_and_those_in_use_decide(books, caplog):
    found = Versions(MemoryStore(), None)
    found.use(books[1], Registry.from_assets([]))
    found.fetch(["0" * 16], [])
    assert found.of("0" * 16, 0)[0] is books[1] and "cannot be had" in caplog.text

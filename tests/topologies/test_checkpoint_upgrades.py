"""Checkpoints of versions before are read and gone on from; and what this version writes for workers of the version before."""

import gzip
from pathlib import Path

import msgspec
import pytest

from detectors.rulebook import RuleBook
from streams.errors import Mend
from streams.records import Asset
from streams.registry import Registry
from tests.topologies.checkpoints_of_before.make import DETECT, INCIDENT, SETTINGS
from tests.topologies.store_promises import checkpoint
from tests.topologies.test_checkpoints import same
from topologies.checkpoints import FORMAT, Checkpoint, MemoryStore, decode, encode, format_of, upgrades
from topologies.checkpoints.format import writer
from topologies.checkpoints.upgrades import OLDEST, STEPS
from topologies.detect import DetectStage
from topologies.incident import IncidentStage
from topologies.settings import Settings, load

BEFORE = Path(__file__).parent / "checkpoints_of_before"
NUMBERS = range(OLDEST, FORMAT)


class Kept:
    """What a version left: its checkpoints, with the rules and the registry they were decided with."""

    def __init__(self, number: int) -> None:
        self.folder = BEFORE / str(number)
        self.rules = RuleBook.from_bytes(self.read("rules"))
        self.registry = Registry.from_assets(msgspec.json.decode(self.read("registry"), type=list[Asset]), 1)

    def read(self, name: str) -> bytes:
        return gzip.decompress((self.folder / f"{name}.gz").read_bytes())

    def checkpoint(self, stage: str) -> Checkpoint:
        value = self.read(stage)
        assert format_of(value) == int(self.folder.name)
        return decode(value)


@pytest.fixture(params=NUMBERS)
def kept(request) -> Kept:
    return Kept(request.param)


def test_the_rules_of_a_version_before_are_read_as_the_same(kept):
    assert kept.checkpoint("detect").rule_fingerprint == kept.rules.fingerprint


def test_a_detect_stage_goes_on_from_a_checkpoint_of_before(kept):
    found = kept.checkpoint("detect")
    assert (found.key, found.mark > 100_000, found.generation) == (DETECT, True, 3)
    stage = DetectStage.restore(DETECT.topic, 0, kept.rules, kept.registry, SETTINGS, found.state)
    assert len(stage.shard.live()) > 100
    again = stage.snapshot()
    assert same(plain(again), plain({name: found.state[name] for name in again}))


def test_an_incident_stage_goes_on_from_a_checkpoint_of_before(kept):
    found = kept.checkpoint("incident")
    assert found.key == INCIDENT and found.state["cities"]
    for saved in found.state["cities"].values():
        stage = IncidentStage.restore(saved, kept.rules, kept.registry)
        assert same(plain(stage.snapshot()), plain(saved))


def plain(state):
    """As it comes out of the bytes: a snapshot may share what the stage writes on."""
    return decode(encode(checkpoint(state={"state": state}))).state["state"]


def test_there_is_a_checkpoint_of_every_version_before():
    assert sorted(int(folder.name) for folder in BEFORE.iterdir() if folder.name.isdigit()) == [*NUMBERS]


# --- the format of before, for workers of the version before


def test_what_is_written_for_the_version_before_is_its_format():
    value = encode(checkpoint(mark=9, state={"a": 1}), FORMAT - 1)
    assert format_of(value) == FORMAT - 1
    back = decode(value)
    assert (back.mark, back.state, back.written_by) == (9, {"a": 1}, writer())


def test_the_first_format_does_not_say_who_wrote():
    assert decode(encode(checkpoint(), 1)).written_by == "format 1"


@pytest.mark.parametrize("stage", ["detect", "incident"])
def test_what_was_read_is_written_back_as_it_was(kept, stage):
    number = int(kept.folder.name)
    assert encode(kept.checkpoint(stage), number) == kept.read(stage)


def test_alarms_are_only_kept_for_slots_that_reached_a_rung(kept):
    saved = kept.checkpoint("detect").state["rules"].values()
    few = [len(rule["alarm"]["slot"]) for rule in saved]
    assert 0 < sum(few) < sum(rule["alarm"]["size"] for rule in saved) / 10
    assert all((rule["alarm"]["last"] > 0).all() for rule in saved)


def test_this_version_says_who_wrote():
    assert decode(encode(checkpoint())).written_by.startswith("citywatch")


def test_up_undoes_down_but_for_who_wrote():
    tree = {"state": {"a": 1}, "written_by": "citywatch 9"}
    back = upgrades.up(upgrades.down(tree, FORMAT, OLDEST), OLDEST, FORMAT)
    assert back["state"] == tree["state"] and set(back) == set(tree)
    assert tree == {"state": {"a": 1}, "written_by": "citywatch 9"}


def test_there_is_a_step_to_every_number():
    assert sorted(STEPS) == [*range(OLDEST + 1, FORMAT + 1)]


def test_a_store_writes_the_format_it_was_opened_with(monkeypatch):
    store = MemoryStore(FORMAT - 1)
    store.write(checkpoint())
    ((_, _, value),) = store._held.values()
    assert format_of(value) == FORMAT - 1


def test_the_setting_takes_this_format_and_the_one_before():
    assert Settings().checkpoint_format == FORMAT
    assert load(environ={"CITYWATCH_CHECKPOINT_FORMAT": str(FORMAT - 1)}).checkpoint_format == FORMAT - 1
    for number in (FORMAT - 2, FORMAT + 1):
        with pytest.raises(Mend, match="CITYWATCH_CHECKPOINT_FORMAT"):
            load(environ={"CITYWATCH_CHECKPOINT_FORMAT": str(number)})


# --- what cannot be read


def test_a_later_format_is_refused_with_the_setting_that_writes_ours():
    value = bytearray(encode(checkpoint()))
    value[len(b"citywatch-checkpoint\x00") + 1] = FORMAT + 1
    wanted = rf"format {FORMAT + 1}, this version reads {OLDEST} to {FORMAT}.*checkpoint_format = {FORMAT}"
    with pytest.raises(Mend, match=wanted):
        decode(bytes(value))


@pytest.mark.parametrize("place", [30, 60, -1])
def test_one_bit_that_fell_over_is_damage(place):
    value = bytearray(encode(checkpoint(state={"text": "a long and winding text", "number": 7})))
    value[place] ^= 1
    with pytest.raises(Mend, match=r"is damaged \(its checksum does not fit its bytes\).*--rebuild-from"):
        decode(bytes(value))

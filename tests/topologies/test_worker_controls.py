import json

import msgspec
import pytest

from streams.batch import RawBatch
from streams.records import Control, DeadLetter
from topologies.checkpoints import ShardKey
from topologies.worker_controls import ControlShard
from topologies.worker_shard import ShardPlace

T0 = 1_700_000_000_000


class Out:
    def __init__(self):
        self.controls, self.dead = [], []

    def __call__(self, topic, value, key, headers=None):
        if topic == "city.signals":
            control = msgspec.json.decode(value, type=Control)
            assert control.city == key
            self.controls.append(control)
        else:
            assert topic == "city.dead_letters"
            self.dead.append(msgspec.json.decode(value, type=DeadLetter))


def shard(topic, out, saved=None, cities=("340100", "340200")):
    place = ShardPlace(ShardKey("controls", topic, 0), 1, "c", 1, 0)
    return ControlShard(place, saved or {}, cities=lambda: cities, send=out, prefix="city.")


def batch(topic, *records):
    """(key, value) pairs; the first offset is 7."""
    values = [value if value is None or isinstance(value, bytes) else json.dumps(value).encode() for _, value in records]
    offsets = list(range(7, 7 + len(records)))
    return RawBatch(topic, 0, offsets, [T0 + o for o in offsets], values, [key.encode() for key, _ in records])


def mute(mute_id="m1", **matchers):
    return mute_id, {
        "mute_id": mute_id,
        "kind": "silence",
        "matchers": matchers,
        "from": T0,
        "to": "2030-01-01T00:00:00Z",
        "author": "a",
    }


def decided(topic, *records, saved=None):
    out = Out()
    shard(topic, out, saved).decide(batch(topic, *records), T0)
    return out


def test_a_mute_of_a_city_goes_to_that_city():
    (control,) = decided("city.mutes", mute(city="340200")).controls
    assert (control.control, control.city, control.mute.mute_id, control.mute_ended) == ("mute", "340200", "m1", False)


def test_a_mute_without_a_city_goes_to_every_city_of_the_registry():
    assert [control.city for control in decided("city.mutes", mute(entity="x")).controls] == ["340100", "340200"]


def test_the_place_of_the_mute_is_the_source_of_its_control():
    (control,) = decided("city.mutes", mute(city="340100")).controls
    assert (control.source.topic, control.source.partition, control.source.offset) == ("city.mutes", 0, 7)
    assert control.arrival_ts == T0 + 7


def test_times_of_a_mute_are_milliseconds_on_the_way_to_the_stage():
    (control,) = decided("city.mutes", mute(city="340100")).controls
    assert control.mute.to == 1_893_456_000_000


def test_a_tombstone_withdraws_the_mute_where_it_was_sent():
    first, last = decided("city.mutes", mute(city="340100"), ("m1", None)).controls
    assert (last.city, last.mute, last.mute_ended) == ("340100", first.mute, True)


def test_a_tombstone_of_a_mute_nobody_knows_means_nothing():
    out = decided("city.mutes", ("m9", None))
    assert out.controls == [] and out.dead == []


def test_a_mute_that_was_narrowed_ends_in_the_other_cities():
    controls = decided("city.mutes", mute(entity="x"), mute(entity="x", city="340100")).controls[2:]
    assert {(control.city, control.mute_ended) for control in controls} == {("340200", True), ("340100", False)}


def test_a_restart_still_knows_what_a_tombstone_withdraws():
    out = Out()
    first = shard("city.mutes", out)
    first.decide(batch("city.mutes", mute(city="340100")), T0)
    again = decided("city.mutes", ("m1", None), saved=first.state())
    assert [control.mute_ended for control in again.controls] == [True]


def test_feedback_goes_to_the_city_of_its_incident():
    feedback = {"incident_id": "340200-20231115-GAS-00000001", "action": "acknowledge", "by": "w", "ts": T0}
    (control,) = decided("city.feedback", ("340200-20231115-GAS-00000001", feedback)).controls
    assert (control.control, control.city, control.feedback.action) == ("feedback", "340200", "acknowledge")


@pytest.mark.parametrize(
    ("topic", "value", "reason"),
    [
        ("city.mutes", b"{", "malformed_json"),
        ("city.mutes", {"mute_id": "m"}, "missing_field"),
        ("city.feedback", {"incident_id": "x-1", "action": "explode", "by": "w", "ts": 1}, "unknown_value"),
        ("city.feedback", {"incident_id": "nocity", "action": "note", "by": "w", "ts": 1}, "bad_identifier"),
        ("city.feedback", {"incident_id": "x-1", "action": "note", "by": "w", "ts": "noon"}, "bad_timestamp"),
        ("city.feedback", None, "tombstone"),
    ],
)
def test_what_cannot_be_read_becomes_a_dead_letter_with_its_reason(topic, value, reason):
    out = decided(topic, ("k", value))
    assert out.controls == []
    assert [(letter.topic, letter.offset, letter.reason) for letter in out.dead] == [(topic, 7, reason)]

"""The commands of the worker's room against a real broker and Redis (no worker)."""

from __future__ import annotations

import base64
import json

import pytest

import citywatch
from alert_sinks.redis_live import live_key
from streams.codec import encode
from streams.embedded.broker import EmbeddedBroker
from streams.embedded.redis import EmbeddedRedis
from streams.kafka import Producer, read_topic
from streams.records import DeadLetter
from tests.alert_sinks.incidents import body, incident


@pytest.fixture(scope="module")
def world():
    with EmbeddedBroker() as broker, EmbeddedRedis() as server:
        yield broker, server


@pytest.fixture
def here(world, monkeypatch):
    broker, server = world
    monkeypatch.setenv("CITYWATCH_BROKER", broker.bootstrap)
    monkeypatch.setenv("CITYWATCH_REDIS", server.url)
    monkeypatch.setenv("CITYWATCH_RULES", "tests/topologies/worker_rules")
    return world


def last(broker, topic):
    return list(read_topic(broker.bootstrap, topic))[-1]


def test_open_incidents_are_listed_most_urgent_first(here, capsys):
    import redis

    with redis.Redis.from_url(here[1].url) as client:
        for number, level, score in ((1, 3, 40), (2, 1, 92)):
            record = incident(number, level=level)
            record.priority.score = score
            client.hset(live_key("citywatch"), record.incident_id, body(record))
    assert citywatch.main(["incidents", "list", "--json"]) == 0
    assert [json.loads(line)["level"] for line in capsys.readouterr().out.splitlines()] == [1, 3]
    assert citywatch.main(["incidents", "list", "--level", "3"]) == 0
    assert "YELLOW" in capsys.readouterr().out


def test_an_acknowledgement_is_written_as_feedback(here, capsys):
    assert citywatch.main(["incidents", "ack", "340100-20231115-GAS-00000001", "--by", "wang", "--note", "on my way"]) == 0
    record = last(here[0], "city.feedback")
    tree = json.loads(record.value)
    assert (record.key, tree["action"], tree["by"], tree["note"]) == (
        b"340100-20231115-GAS-00000001",
        "acknowledge",
        "wang",
        "on my way",
    )


def test_a_mute_is_added_listed_and_ended(here, capsys):
    add = ["mute", "add", "--id", "m1", "--entity", "GAS-1", "--for", "2h", "--author", "li", "--comment", "valve"]
    assert citywatch.main(add) == 0
    capsys.readouterr()
    assert citywatch.main(["mute", "list"]) == 0
    assert "m1  silence  holds" in capsys.readouterr().out
    assert citywatch.main(["mute", "end", "m1"]) == 0
    assert last(here[0], "city.mutes").value is None
    capsys.readouterr()
    assert citywatch.main(["mute", "list"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mute", "add", "--for", "2h", "--author", "li"], "silence everything"),
        (["mute", "add", "--entity", "x", "--for", "soon", "--author", "li"], "is no span"),
        (["mute", "add", "--entity", "x", "--until", "1", "--author", "li"], "ends before it begins"),
        (["mute", "end", "nobody"], "there is no mute"),
        (["incidents", "resolve", "nonsense", "--by", "x"], "is no incident id"),
        (["dead-letters", "show", "city.sensor.readings/0/99"], "there is no dead letter"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(here, capsys, arguments, says):
    assert citywatch.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_dead_letter_is_listed_shown_and_written_again(here, capsys, tmp_path):
    raw = b'{"sensor_id": "S1"'
    letter = DeadLetter(
        topic="city.sensor.readings", partition=0, offset=7, reason="malformed_json", path="$",
        raw=base64.b64encode(raw).decode(), key="S1", detail="cut\x1b off",
    )  # fmt: skip
    with Producer(here[0].bootstrap) as producer:
        for _ in range(2):
            producer.send("city.dead_letters", encode(letter), letter.topic)
        producer.flush_acknowledged(5)
    assert citywatch.main(["dead-letters", "list"]) == 1
    assert capsys.readouterr().out == "city.sensor.readings/0/7  malformed_json  $  cut  off\n"
    assert citywatch.main(["dead-letters", "show", "city.sensor.readings/0/7"]) == 0
    assert raw.decode() in capsys.readouterr().out
    assert citywatch.main(["dead-letters", "resubmit", "city.sensor.readings/0/7"]) == 0
    assert last(here[0], "city.sensor.readings")[4:6] == (b"S1", raw)
    mended = tmp_path / "mended.json"
    mended.write_bytes(raw + b"}")
    assert citywatch.main(["dead-letters", "resubmit", "city.sensor.readings/0/7", "--value", str(mended)]) == 0
    assert raw + b"}" in [record.value for record in read_topic(here[0].bootstrap, "city.sensor.readings")]


def test_the_doctor_finds_a_healthy_world_healthy(here, capsys):
    assert citywatch.main(["doctor", "--json"]) == 0
    states = {tree["check"]: tree["state"] for tree in map(json.loads, capsys.readouterr().out.splitlines())}
    assert states == dict.fromkeys(("broker", "topics", "clock", "store", "rules", "routing"), "ok")


def test_the_doctor_says_what_to_do_for_every_fault_at_once(here, capsys, monkeypatch):
    monkeypatch.setenv("CITYWATCH_TOPIC_PREFIX", "other.")
    monkeypatch.setenv("CITYWATCH_REDIS", "redis://127.0.0.1:1/0")
    assert citywatch.main(["doctor"]) == 2
    out = capsys.readouterr().out
    assert "citywatch topics create" in out and "CITYWATCH_REDIS" in out

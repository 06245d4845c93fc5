"""``citywatch topics`` against both brokers."""

from __future__ import annotations

import argparse
import json
import uuid

import pytest

from streams import commands, topics
from streams.embedded.broker import EmbeddedBroker
from streams.errors import Mend
from tests.e2e.collecting import feed


@pytest.fixture
def prefix(monkeypatch):
    """A table of topics nobody else has made."""
    name = f"t{uuid.uuid4().hex[:8]}."
    monkeypatch.setenv(topics.PREFIX_VARIABLE, name)
    return name


def run(capsys, *words):
    parser = argparse.ArgumentParser()
    commands.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["topics", *words])
    code = arguments.run(arguments)
    return code, capsys.readouterr().out


@pytest.mark.kafka
def test_create_makes_the_whole_table_and_the_second_time_nothing(apache, prefix, capsys):
    first = json.loads(run(capsys, "create", "--broker", apache.bootstrap, "--json")[1])
    again = json.loads(run(capsys, "create", "--broker", apache.bootstrap, "--json")[1])
    assert (len(first["made"]), len(again["made"]), len(again["existing"])) == (len(topics.TOPICS), 0, len(topics.TOPICS))


@pytest.mark.kafka
def test_what_create_made_is_as_the_table_says(apache, prefix, capsys):
    run(capsys, "create", "--broker", apache.bootstrap, "--partitions", "2")
    rows = json.loads(run(capsys, "list", "--broker", apache.bootstrap, "--json")[1])
    assert [(row["partitions"], row["differs"]) for row in rows] == [
        (1 if topic.partitions == 1 else 2, []) for topic in topics.TOPICS
    ]


@pytest.mark.kafka
def test_list_names_what_the_broker_has_otherwise(apache, prefix, capsys):
    from tests.e2e.conftest import make_topics

    make_topics(apache.bootstrap, {f"{prefix}registry": 2}, cleanup_policy="delete")
    rows = {row["topic"]: row for row in json.loads(run(capsys, "list", "--broker", apache.bootstrap, "--json")[1])}
    differs = rows[f"{prefix}registry"]["differs"]
    assert "cleanup.policy=delete (table: compact)" in differs
    assert "2 partitions (must be 1: a revision is an offset)" in differs


def test_list_says_what_is_missing(world, prefix, capsys):
    code, out = run(capsys, "list", "--broker", world.bootstrap)
    assert (code, out.count("missing")) == (0, len(topics.TOPICS))


def test_lag_is_the_end_minus_what_the_group_committed(world, prefix, capsys):
    from confluent_kafka import Consumer, TopicPartition

    name = f"{prefix}sensor.readings"
    if isinstance(world.server, EmbeddedBroker):
        world.server.create_topic(name, 1)
    else:
        from tests.e2e.conftest import make_topics

        make_topics(world.bootstrap, {name: 1})
    feed(world.bootstrap, name, [b"v"] * 10)
    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": prefix, "log_level": 0})
    consumer.commit(offsets=[TopicPartition(name, 0, 4)], asynchronous=False)
    consumer.close()
    rows = json.loads(run(capsys, "lag", "--broker", world.bootstrap, "--group", prefix, "--json")[1])
    assert rows == [{"topic": name, "partitions": 1, "end": 10, "committed": 4, "lag": 6}]


def test_a_group_that_committed_nothing_is_said(world, prefix, capsys):
    code, out = run(capsys, "lag", "--broker", world.bootstrap, "--group", "nobody")
    assert (code, "has committed nothing" in out) == (0, True)


def test_the_embedded_broker_says_that_it_makes_no_topics(embedded, prefix, capsys):
    with pytest.raises(Mend, match="the embedded broker has all topics from its start"):
        run(capsys, "create", "--broker", embedded.bootstrap)

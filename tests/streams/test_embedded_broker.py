from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams import topics
from streams.embedded.broker import ApiKey, EmbeddedBroker, library_path
from streams.errors import Mend


@pytest.fixture
def broker():
    with EmbeddedBroker({"three": 3}) as broker:
        yield broker


def partitions(broker):
    listed = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0}).list_topics(timeout=5).topics
    return {name: len(topic.partitions) for name, topic in listed.items()}


def test_topics_have_the_partitions_asked_for(broker):
    assert partitions(broker) == {"three": 3}


def test_without_being_asked_it_has_the_table_s_topics():
    with EmbeddedBroker() as broker:
        assert partitions(broker) == topics.partition_counts()


def test_a_topic_can_be_added_while_it_runs(broker):
    broker.create_topic("later", 2)
    assert partitions(broker)["later"] == 2


def test_it_listens_on_loopback_only(broker):
    assert all(address.startswith("127.0.0.1:") for address in broker.bootstrap.split(","))


def test_several_nodes_listen_on_several_ports():
    with EmbeddedBroker({}, brokers=3) as broker:
        assert len(set(broker.bootstrap.split(","))) == 3


def test_closing_twice_is_closing_once(broker):
    broker.close()
    broker.close()
    with pytest.raises(Mend, match="it is closed"):
        broker.create_topic("late", 1)


def test_a_node_that_does_not_exist_is_said(broker):
    with pytest.raises(Mend, match="node 9"):
        broker.node_down(9)


def test_an_injected_fault_can_be_taken_back(broker):
    broker.fail_requests(ApiKey.METADATA, [5] * 50)
    broker.stop_failing(ApiKey.METADATA)
    assert partitions(broker) == {"three": 3}


def test_the_library_is_the_one_the_wheel_carries():
    assert Path(library_path()).is_file()


def test_a_build_without_its_library_names_the_mend(monkeypatch):
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    with pytest.raises(Mend, match="carries no librdkafka"):
        library_path()

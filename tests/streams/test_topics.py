from __future__ import annotations

import pytest

from streams import records, topics
from streams.errors import Mend

CONTRACT = {
    "city.sensor.readings",
    "city.vehicle.positions",
    "city.video.events",
    "city.hotline.calls",
    "city.registry",
    "city.mutes",
    "city.feedback",
    "city.sensor.groups",
    "city.signals",
    "city.incidents",
    "city.incidents.level1",
    "city.incidents.level2",
    "city.incidents.level3",
    "city.incidents.level4",
    "city.dead_letters",
    "city.quarantine",
    "city.heartbeat",
    "city.checkpoints",
}


def test_the_table_is_the_contract_s_list():
    assert {topic.name("city.") for topic in topics.TOPICS} == CONTRACT


def test_every_topic_of_records_names_a_record_type_that_exists():
    named = {topic.record for topic in topics.TOPICS if topic.base not in ("heartbeat", "checkpoints")}
    assert all(hasattr(records, name) for name in named)


@pytest.mark.parametrize("base", ["registry", "mutes"])
def test_a_topic_whose_revision_is_an_offset_has_one_partition_always(base):
    assert topics.partition_counts("city.", 12)[f"city.{base}"] == 1


def test_other_topics_get_the_partitions_asked_for():
    assert topics.partition_counts("city.", 12)["city.sensor.readings"] == 12


@pytest.mark.parametrize("base", ["registry", "mutes", "incidents", "checkpoints"])
def test_a_topic_that_holds_the_last_state_is_compacted(base):
    assert topics.BY_BASE[base].config() | {"cleanup.policy": "compact"} == topics.BY_BASE[base].config()


def test_every_other_topic_is_kept_for_a_time():
    assert all((topic.retention_ms is None) == topic.compacted for topic in topics.TOPICS)


def test_arrival_is_the_time_of_the_log():
    assert {topic.config()["message.timestamp.type"] for topic in topics.TOPICS} == {"LogAppendTime"}


def test_three_copies_allow_one_to_be_missing():
    assert topics.BY_BASE["signals"].config(replication=3)["min.insync.replicas"] == "2"


def test_one_copy_asks_for_no_second():
    assert topics.BY_BASE["signals"].config()["min.insync.replicas"] == "1"


def test_an_input_of_a_mebibyte_fits_its_topic():
    assert all(int(topics.BY_STREAM[stream].config()["max.message.bytes"]) > 2**20 for stream in topics.BY_STREAM)


def test_the_input_streams_are_the_five():
    assert set(topics.BY_STREAM) == {"sensor", "group", "vehicle", "video", "hotline"}


@pytest.mark.parametrize("stream", list(topics.BY_STREAM))
def test_name_and_stream_are_inverse(stream):
    assert topics.stream_of(topics.BY_STREAM[stream].name("x."), "x.") == stream


def test_a_foreign_topic_is_none_of_ours():
    assert topics.topic_of("other.topic", "city.") is None


def test_the_prefix_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("CITYWATCH_TOPIC_PREFIX", "hefei.")
    assert topics.topic_name("signals") == "hefei.signals"


def test_a_prefix_kafka_would_refuse_is_said_at_once():
    with pytest.raises(Mend, match="CITYWATCH_TOPIC_PREFIX: 'a b' cannot begin a topic name"):
        topics.topic_prefix({"CITYWATCH_TOPIC_PREFIX": "a b"})


def test_an_unknown_base_name_lists_the_known_ones():
    with pytest.raises(Mend, match="no topic 'sensors'; one of checkpoints, dead_letters"):
        topics.topic_name("sensors", "city.")


def test_each_level_has_its_topic():
    assert [topics.level_topic(level, "city.") for level in (1, 4)] == ["city.incidents.level1", "city.incidents.level4"]

from __future__ import annotations

from types import SimpleNamespace

import faust
import pytest
from faust.transport import drivers
from faust.types import TP
from yarl import URL

from streams import transport
from streams.errors import Mend
from streams.transport import BatchSchema, BatchTransport, TransportOptions, make_app
from streams.transport_raw import Run, raw_batch
from streams.transport_schema import batch_topics


class Record:
    def __init__(self, offset, value=b"v", key=None, timestamp=1_000, headers=()):
        self.offset, self.value, self.key, self.timestamp, self.headers = offset, value, key, timestamp, headers


def test_faust_finds_the_transport_by_its_scheme():
    assert drivers.by_url(URL("citywatch://127.0.0.1:9092")) is BatchTransport


def test_an_app_made_here_runs_on_it_and_carries_its_options():
    options = TransportOptions(playback=True)
    app = make_app("try", "127.0.0.1:9092", options=options)
    assert isinstance(app.transport, BatchTransport)
    assert app.transport.options is options


def test_an_app_made_here_never_declares_a_topic_or_elects_a_leader():
    conf = make_app("try", "127.0.0.1:9092").conf
    assert (conf.topic_allow_declare, conf.topic_disable_leader, conf.stream_buffer_maxsize) == (False, True, 16)


def test_a_setting_of_the_caller_wins():
    assert make_app("try", "127.0.0.1:9092", stream_buffer_maxsize=3).conf.stream_buffer_maxsize == 3


def test_several_brokers_may_be_named():
    app = make_app("try", "a:1,b:2")
    assert [(url.host, url.port) for url in app.conf.broker_consumer] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("broker", ["", "localhost", "host:0", "host:99999", ":9092", "kafka://a:b"])
def test_an_address_that_is_none_is_said_in_one_line(broker):
    with pytest.raises(Mend, match="CITYWATCH_BROKER"):
        transport.addresses(broker)


def test_only_topics_with_the_marker_deliver_batches():
    app = make_app("try", "127.0.0.1:9092")
    marked, plain = app.topic("marked", schema=BatchSchema()), app.topic("plain")
    app.topics.add(marked)
    app.topics.add(plain)
    assert batch_topics(app) == {"marked"}


def test_a_batch_has_no_headers_where_no_record_has_any():
    assert raw_batch("t", 0, Run([Record(1), Record(2)])).headers is None


def test_a_batch_has_everyone_s_headers_where_one_record_has_some():
    assert raw_batch("t", 0, Run([Record(1), Record(2, headers=[("a", b"b")])])).headers == [(), (("a", b"b"),)]


def test_in_playback_the_header_replaces_the_arrival_of_its_record():
    records = [Record(1, timestamp=5), Record(2, timestamp=6, headers=[("cw_arrival_ts", b"77")])]
    assert raw_batch("t", 0, Run(records), playback=True).arrivals == [5, 77]


def test_outside_playback_the_header_means_nothing():
    assert raw_batch("t", 0, Run([Record(2, timestamp=6, headers=[("cw_arrival_ts", b"77")])])).arrivals == [6]


@pytest.mark.parametrize("value", [b"soon", b"", None])
def test_an_arrival_header_that_is_no_number_leaves_the_log_s_time(value):
    assert raw_batch("t", 0, Run([Record(2, timestamp=6, headers=[("cw_arrival_ts", value)])]), playback=True).arrivals == [6]


def test_the_plain_path_can_be_chosen_by_the_environment(monkeypatch):
    monkeypatch.setenv("CITYWATCH_TRANSPORT", "plain")
    assert TransportOptions().raw is False


def test_other_apps_keep_faust_s_own_transport():
    app = faust.App("other", broker="kafka://127.0.0.1:9092")
    assert not isinstance(app.transport, BatchTransport)


def test_a_released_event_holds_no_records():
    event = SimpleNamespace(value=[1], message=SimpleNamespace(value=[1]))
    transport.release(event)
    assert (event.value, event.message.value) == (None, None)


def test_topic_partitions_of_both_libraries_are_the_same_key():
    from aiokafka.structs import TopicPartition

    assert {TP("t", 1): "mark"}[TopicPartition("t", 1)] == "mark"

import asyncio

import orjson

from alert_sinks.kafka_topics import KafkaTopics
from alert_sinks.sink import Delivery
from tests.alert_sinks.incidents import ListPublisher, body, delivery, incident


def sent(*deliveries, publisher=None):
    publisher = publisher or ListPublisher()
    sink = KafkaTopics(publisher)

    async def run():
        for one in deliveries:
            await sink.deliver(one)

    asyncio.run(run())
    return publisher.records


def test_an_incident_goes_to_all_incidents_and_to_its_level_with_the_same_body():
    record = incident(level=2)
    assert sorted(sent(delivery(record))) == [
        ("city.incidents", record.incident_id, body(record)),
        ("city.incidents.level2", record.incident_id, body(record)),
    ]


def test_on_a_change_the_new_level_is_acknowledged_before_the_old_one_is_written():
    publisher = ListPublisher()
    publisher.slow = {"city.incidents.level1": 0.02}
    records = sent(delivery(incident(revision=2, level=1), left_level=3), publisher=publisher)
    topics = [topic for topic, _, _ in records]
    assert topics.index("city.incidents.level1") < topics.index("city.incidents.level3")


def test_the_level_that_was_left_gets_the_same_revision_with_moved_to():
    record = incident(revision=2, level=1)
    left = next(value for topic, _, value in sent(delivery(record, left_level=3)) if topic == "city.incidents.level3")
    assert orjson.loads(left) == {**orjson.loads(body(record)), "moved_to": 1}


def test_a_tombstone_goes_to_all_incidents_only():
    assert sent(Delivery("i", 5, None)) == [("city.incidents", "i", None)]

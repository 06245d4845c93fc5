"""The incident topics: ``city.incidents`` (compacted, last revision wins) and one topic per level.

A consumer of one level's topic must see an incident arrive and leave: on a change the new level is written first and
acknowledged, then the old one gets the same revision with ``moved_to``. So an incident is never in no topic, and for a
moment in two, which a consumer that keeps the highest revision survives.
"""

from __future__ import annotations

import asyncio

import msgspec
import orjson

from alert_sinks.publisher import Publisher
from alert_sinks.sink import Delivery
from streams.topics import level_topic, topic_name


class KafkaTopics:
    """Sink ``kafka_topics``: incidents as Kafka records, keyed by incident id."""

    name = "kafka_topics"
    wants_tombstones = True

    def __init__(self, publisher: Publisher, topic_prefix: str = "city.") -> None:
        self._publisher = publisher
        self._all = topic_name("incidents", topic_prefix)
        self._levels = {level: level_topic(level, topic_prefix) for level in (1, 2, 3, 4)}

    async def deliver(self, delivery: Delivery) -> None:
        key = delivery.incident_id
        if delivery.body is None:
            await self._publisher.publish(self._all, key, None)
            return
        incident = delivery.incident
        assert incident is not None
        await asyncio.gather(
            self._publisher.publish(self._all, key, delivery.body, delivery.headers),
            self._publisher.publish(self._levels[incident.level], key, delivery.body, delivery.headers),
        )
        if delivery.left_level is not None:
            await self._publisher.publish(
                self._levels[delivery.left_level], key, moved(delivery.body, incident.level), delivery.headers
            )

    async def close(self) -> None:
        """The publisher belongs to the worker."""


def moved(body: bytes, level: int) -> bytes:
    """The same revision as the topic of the left level shows it.

    >>> moved(b'{"revision":3,"level":1,"moved_to":null}', 1)
    b'{"revision":3,"level":1,"moved_to":1}'
    """
    record = msgspec.json.decode(body)
    record["moved_to"] = level
    return orjson.dumps(record)

"""A consumer group seen from outside: how far it has come, asked without joining it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from streams.kafka import partitions_of, unreachable


class GroupProgress:
    """What a consumer group has committed, and how far it is behind the end of topics."""

    def __init__(self, broker: str, group: str, timeout_s: float = 10.0) -> None:
        self._client: Any = confluent_kafka.Consumer(
            {"bootstrap.servers": broker, "group.id": group, "enable.auto.commit": False, "log_level": 3}
        )
        self._broker, self._timeout_s = broker, timeout_s
        self._homes: dict[str, list[int]] = {}

    def committed(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The next offset of each partition that the group has committed in; others are left out."""
        return {(home.topic, home.partition): home.offset for home in self._committed(topics) if home.offset >= 0}

    def behind(self, topics: Iterable[str]) -> int:
        """Records of these topics that the group has not committed; of what was never committed, all that is kept."""
        behind = 0
        for home in self._committed(topics):
            try:
                low, high = self._client.get_watermark_offsets(home, timeout=self._timeout_s)
            except KafkaException as error:
                raise unreachable(self._broker, error) from error
            behind += high - max(low, home.offset)
        return behind

    def partitions(self, topic: str) -> list[int]:
        if topic not in self._homes:
            self._homes[topic] = partitions_of(self._client, self._broker, topic, self._timeout_s)
        return self._homes[topic]

    def _committed(self, topics: Iterable[str]) -> list[TopicPartition]:
        homes = [TopicPartition(topic, part) for topic in topics for part in self.partitions(topic)]
        try:
            found: list[TopicPartition] = self._client.committed(homes, timeout=self._timeout_s)
        except KafkaException as error:
            raise unreachable(self._broker, error) from error
        return found

    def close(self) -> None:
        self._client.close()

"""What the sinks need of Kafka: write one record and wait until the broker has it."""

from __future__ import annotations

from typing import Protocol


class Publisher(Protocol):
    """``publish`` returns when the record is acknowledged by all in-sync replicas.

    Records published by one caller for one key arrive in the order of the calls. It raises
    :class:`alert_sinks.sink.SinkAway` where the broker does not answer, :class:`alert_sinks.sink.SinkRefused` where it will
    never take this record.
    """

    async def publish(
        self, topic: str, key: str, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> None: ...

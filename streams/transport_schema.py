"""The marker by which a topic asks for batches."""

from __future__ import annotations

from typing import Any

import faust


class BatchSchema(faust.Schema[Any, Any]):
    """A topic with this schema delivers one :class:`streams.batch.RawBatch` per event, untouched.

    ``app.topic("city.sensor.readings", schema=BatchSchema())``; topics with any other schema keep Faust's ordinary path of
    one event per record. Such a topic is read by one agent with concurrency 1, so the order of its partitions is kept.
    """

    def compile(self, app: Any, **_: Any) -> Any:
        """Decode function of the topic: the batch is the value; keys and headers are inside it."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


def batch_topics(app: Any) -> frozenset[str]:
    """Names of the app's topics that ask for batches."""
    return frozenset(
        name for topic in app.topics if isinstance(getattr(topic, "schema", None), BatchSchema) for name in topic.topics
    )

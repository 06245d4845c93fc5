"""What the worker must know of the log before it begins: which cluster, which topics, how many partitions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import Mend
from streams.kafka import unreachable
from streams.topics import TOPICS
from streams.transport import addresses
from topologies.worker_clock import elapsed_s

log = logging.getLogger(__name__)

#: A broker that is not there is asked again so often, and the log says so at every fifth time.
_AGAIN_S, _ASK_S, _SAY_EVERY = 2.0, 5.0, 5


@dataclass(frozen=True, slots=True)
class LogFacts:
    """``partitions``: full topic name to number of partitions, as the broker says."""

    cluster_id: str
    partitions: dict[str, int]


class NotThere(Mend):
    """The broker, or a topic, which may come yet: both are often begun at the same time as the worker."""


def log_facts(broker: str, prefix: str, timeout_s: float = 10.0) -> LogFacts:
    """Blocking. Raises :class:`NotThere` where nobody answers or a topic is missing, and Mend for what is no address."""
    addresses(broker)
    admin = AdminClient(
        {"bootstrap.servers": broker, "log_level": 0, "socket.timeout.ms": int(timeout_s * 1000)},
        logger=logging.getLogger("citywatch.librdkafka"),
    )
    try:
        metadata = admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        found = unreachable(broker, error)
        raise NotThere(found.what, found.where, found.mend) from error
    # The store that uses the checkpoint topic asks for it itself.
    wanted = [topic.name(prefix) for topic in TOPICS if topic.base != "checkpoints"]
    missing = [name for name in wanted if name not in metadata.topics or not metadata.topics[name].partitions]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotThere(f"there is no topic {missing[0]!r}{more}", broker, "run `citywatch topics create`")
    return LogFacts(metadata.cluster_id or "", {name: len(metadata.topics[name].partitions) for name in wanted})


async def awaited(
    broker: str, prefix: str, timeout_s: float, ended: asyncio.Event, say: Callable[[str], None]
) -> LogFacts | None:
    """:func:`log_facts`, asked again while they are not there, for ``timeout_s`` at most (0: for ever); then it raises
    :class:`NotThere`. ``say`` is told what is waited for, "" when it is there. None: ``ended`` was set meanwhile.
    """
    began, asked = elapsed_s(), 0
    while not ended.is_set():
        try:
            facts = await asyncio.to_thread(log_facts, broker, prefix, _ASK_S)
            say("")
            return facts
        except NotThere as reason:
            waited = elapsed_s() - began
            if timeout_s and waited + _AGAIN_S >= timeout_s:
                raise
            say(str(reason))
            if asked % _SAY_EVERY == 0:
                until = f"for {timeout_s - waited:.0f} s more at most" if timeout_s else "for as long as it takes"
                log.warning("%s (waiting %s)", reason, until)
        asked += 1
        try:
            await asyncio.wait_for(ended.wait(), _AGAIN_S)
        except TimeoutError:
            continue
    return None

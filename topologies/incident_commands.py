"""``citywatch incidents``: the live set in Redis, news as it comes, and feedback into ``city.feedback``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import cast

import msgspec
import redis

from alert_sinks.redis_live import live_key, news_channel
from alert_sinks.terminal import lines
from streams.codec import encode
from streams.errors import Mend
from streams.kafka import NotAcknowledged, Producer, unreachable
from streams.records import Feedback, Incident
from streams.topics import topic_name
from topologies.settings import Settings
from topologies.worker_clock import wall_ms

_decode = msgspec.json.Decoder(Incident).decode


@contextmanager
def live(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the live set; a server that is away becomes the one line a person needs."""
    try:
        client = redis.Redis.from_url(settings.redis, socket_connect_timeout=5.0)
    except ValueError as error:
        raise Mend(
            f"{settings.redis!r} is no Redis address ({error})", where="CITYWATCH_REDIS", mend="redis://host:6379/0"
        ) from None
    try:
        yield client
    except redis.exceptions.RedisError as error:
        raise Mend(f"does not answer ({error})", where=settings.redis, mend="start Redis or mend CITYWATCH_REDIS") from None
    finally:
        client.close()


def _wanted(incident: Incident, city: str | None, levels: Collection[int] | None) -> bool:
    return (city is None or incident.city == city) and (not levels or incident.level in levels)


def show(settings: Settings, *, city: str | None, levels: Collection[int] | None, as_json: bool) -> int:
    """Open incidents, the highest priority first."""
    with live(settings) as client:
        held = cast("dict[bytes, bytes]", client.hgetall(live_key(settings.namespace)))
    found = [(incident, body) for body in held.values() if _wanted(incident := _decode(body), city, levels)]
    found.sort(key=lambda pair: (-pair[0].priority.score, pair[0].opened_ts, pair[0].incident_id))
    for incident, body in found:
        _print(incident, body, as_json)
    if not found and not as_json:
        print("no open incident" + (" of this kind" if city or levels else ""))
    return 0


def watch(settings: Settings, *, city: str | None, levels: Collection[int] | None, as_json: bool) -> int:
    """Print each revision as it becomes news, until Ctrl-C."""
    with live(settings) as client:
        subscription = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        subscription.subscribe(news_channel(settings.namespace, city))
        for message in subscription.listen():
            body = message["data"]
            incident = _decode(body)
            if _wanted(incident, city, levels):
                _print(incident, body, as_json)
    return 0


def _print(incident: Incident, body: bytes, as_json: bool) -> None:
    print(body.decode() if as_json else "\n".join(lines(incident, colour=sys.stdout.isatty())), flush=True)


def feedback(settings: Settings, incident_id: str, action: str, *, by: str, note: str | None) -> int:
    """Write one Feedback; the worker of that city applies it in its own order and answers with a new revision."""
    record = Feedback(incident_id=incident_id, action=action, by=by, ts=wall_ms(), note=note)  # type: ignore[arg-type]
    if "-" not in incident_id:
        raise Mend(f"{incident_id!r} is no incident id", where="incidents", mend="take it from `citywatch incidents list`")
    write(settings, "feedback", incident_id, encode(record))
    print(f"{action}: sent for {incident_id}")
    return 0


def write(settings: Settings, base: str, key: str, value: bytes | None) -> None:
    """Write one record to one of our topics and wait until the broker has it. Raises :class:`Mend`."""
    topic = topic_name(base, settings.topic_prefix)
    with Producer(settings.broker, config={"message.timeout.ms": 8_000}) as producer:
        try:
            producer.send(topic, value, key)
            producer.flush_acknowledged(10.0)
        except (NotAcknowledged, TimeoutError):
            raise unreachable(settings.broker) from None

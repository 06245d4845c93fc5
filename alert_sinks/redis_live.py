"""The live set: every open incident's last revision in one Redis hash, and news on pub/sub.

``<namespace>:incidents``
    hash of incident id to JSON: what is open now
``<namespace>:incidents:revisions``
    hash of incident id to the highest revision seen, also of closed ones, until their tombstone
channels ``<namespace>:news`` and ``<namespace>:news:<city>``
    the JSON of each revision, once; a subscriber that was away reads the hash

One script compares and writes, so a redelivery never takes the set back and never becomes news twice.
"""

from __future__ import annotations

from redis import asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from alert_sinks.sink import CLOSED, Delivery, SinkAway, SinkRefused
from streams.errors import Mend

#: KEYS: live hash, revisions hash. ARGV: id, revision, body, 1 when open, channel, channel of the city. Returns 1 for news.
_SHOW = """
local seen = redis.call('HGET', KEYS[2], ARGV[1])
if seen and tonumber(seen) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', ARGV[5], ARGV[3])
redis.call('PUBLISH', ARGV[6], ARGV[3])
return 1
"""


def live_key(namespace: str) -> str:
    return f"{namespace}:incidents"


def revisions_key(namespace: str) -> str:
    return f"{namespace}:incidents:revisions"


def news_channel(namespace: str, city: str | None = None) -> str:
    return f"{namespace}:news" + (f":{city}" if city else "")


class RedisLive:
    """Sink ``redis_live``."""

    name = "redis_live"
    wants_tombstones = True

    def __init__(self, url: str, namespace: str = "citywatch", timeout_s: float = 5.0) -> None:
        """Raises :class:`Mend` for an address that is none; connects with the first delivery."""
        try:
            # A storm's worth of incidents goes through few connections; more would wait in Redis, not finish sooner.
            pool = redis.BlockingConnectionPool.from_url(
                url,
                max_connections=16,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1),
            )
        except (ValueError, TypeError) as error:
            raise Mend(f"{url!r} is no Redis address ({error})", where="CITYWATCH_REDIS", mend="redis://host:6379/0") from None
        self._redis = redis.Redis.from_pool(pool)
        self._namespace = namespace
        self._show = self._redis.register_script(_SHOW)

    async def deliver(self, delivery: Delivery) -> None:
        live, revisions = live_key(self._namespace), revisions_key(self._namespace)
        try:
            if delivery.body is None:
                await self._redis.hdel(live, delivery.incident_id)
                await self._redis.hdel(revisions, delivery.incident_id)
                return
            incident = delivery.incident
            assert incident is not None
            await self._show(
                keys=[live, revisions],
                args=[
                    delivery.incident_id,
                    delivery.revision,
                    delivery.body,
                    "0" if incident.status in CLOSED else "1",
                    news_channel(self._namespace),
                    news_channel(self._namespace, incident.city),
                ],
            )
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            raise SinkAway(str(error)) from error
        except exceptions.ResponseError as error:
            # Out of memory and loading pass by themselves; a key of another type never does.
            if "WRONGTYPE" in str(error):
                raise SinkRefused(str(error)) from error
            raise SinkAway(str(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()

"""Checkpoints in Redis: one hash per shard, replaced whole by a script that refuses older writers.

The comparison and the replacement are one Lua script, so a zombie that wakes between a read and a write cannot win. Redis
must keep what it acknowledged: ``appendonly yes`` (the embedded server and docker-compose.yml set it); ``citywatch doctor``
checks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.errors import Mend
from topologies.checkpoints.format import decode, encode
from topologies.checkpoints.protocol import Checkpoint, Fenced, ShardKey, StoreAway, Value
from topologies.checkpoints.upgrades import FORMAT

#: KEYS: shard hash, index set. ARGV: generation, mark, value, index member. Numbers are compared as decimal text of equal
#: width, because Lua's doubles lose integers beyond 2^53.
_WRITE = """
local held = redis.call('HMGET', KEYS[1], 'g', 'm')
if held[1] and (ARGV[1] < held[1] or (ARGV[1] == held[1] and ARGV[2] < held[2])) then
  return {0, held[1], held[2]}
end
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'm', ARGV[2], 'v', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[4])
return {1, ARGV[1], ARGV[2]}
"""

#: KEYS: shard hash. ARGV: the claimant's group generation. HGET of what was never written is false.
_CLAIM = """
local held = redis.call('HGET', KEYS[1], 'g')
local claimed = ARGV[1]
if held and held >= claimed then
  local next_one = tostring(tonumber(held) + 1)
  claimed = string.rep('0', 20 - string.len(next_one)) .. next_one
end
redis.call('HSET', KEYS[1], 'g', claimed)
if redis.call('HEXISTS', KEYS[1], 'm') == 0 then
  redis.call('HSET', KEYS[1], 'm', string.rep('0', 20))
end
return {claimed, redis.call('HGET', KEYS[1], 'v')}
"""

#: Server errors that pass by themselves (or by freeing memory); everything else RedisError means is away too, but says so.
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, redis.exceptions.RedisError, OSError)


class RedisStore:
    """Keys ``<namespace>:<group>:checkpoint:<stage>/<topic>/<partition>`` and an index set ``…:checkpoints``."""

    def __init__(
        self,
        url: str,
        namespace: str = "citywatch",
        group: str = "citywatch",
        timeout_s: float = 1.5,
        number: int = FORMAT,
    ) -> None:
        """Raises :class:`Mend` for an address that is none; connects with the first call."""
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1),
                health_check_interval=15,
            )
        except ValueError as error:
            raise Mend(f"{url!r} is no Redis address ({error})", where="CITYWATCH_REDIS", mend="redis://host:6379/0") from None
        self.format = number
        self._prefix = f"{namespace}:{group}"
        self._write = self._redis.register_script(_WRITE)
        self._claim = self._redis.register_script(_CLAIM)

    def _name(self, key: ShardKey) -> str:
        return f"{self._prefix}:checkpoint:{key}"

    @property
    def _index(self) -> str:
        return f"{self._prefix}:checkpoints"

    def prepare(self, keys: Collection[ShardKey]) -> None:
        return None

    def claim(self, key: ShardKey, generation: int) -> tuple[int, Checkpoint | None]:
        claimed, value = self._claimed(key, generation)
        return claimed, decode(value, f"checkpoint {key}") if value is not None else None

    def raise_generation(self, key: ShardKey, generation: int = 0) -> int:
        return self._claimed(key, generation)[0]

    def _claimed(self, key: ShardKey, generation: int) -> tuple[int, bytes | None]:
        try:
            claimed, value = self._claim(keys=[self._name(key)], args=[f"{generation:020d}"])
        except _AWAY as error:
            raise StoreAway(str(error)) from error
        return int(claimed), value

    def read(self, key: ShardKey) -> Checkpoint | None:
        try:
            value = cast("bytes | None", self._redis.hget(self._name(key), "v"))
        except _AWAY as error:
            raise StoreAway(str(error)) from error
        return decode(value, f"checkpoint {key}") if value is not None else None

    def write(self, checkpoint: Checkpoint) -> None:
        self.write_bytes(checkpoint.key, checkpoint.generation, checkpoint.mark, encode(checkpoint, self.format))

    def write_bytes(self, key: ShardKey, generation: int, mark: int, value: Value) -> None:
        try:
            won, held_generation, held_mark = self._write(
                keys=[self._name(key), self._index], args=[f"{generation:020d}", f"{mark:020d}", value, str(key)]
            )
        except _AWAY as error:
            raise StoreAway(str(error)) from error
        if not won:
            raise Fenced(f"{key}: stored {(int(held_generation), int(held_mark))}, offered {(generation, mark)}")

    def keys(self) -> list[ShardKey]:
        try:
            members = cast("set[bytes]", self._redis.smembers(self._index))
        except _AWAY as error:
            raise StoreAway(str(error)) from error
        return sorted(_key(member.decode()) for member in members)

    def forget(self, key: ShardKey) -> None:
        try:
            self._redis.delete(self._name(key))
            self._redis.srem(self._index, str(key))
        except _AWAY as error:
            raise StoreAway(str(error)) from error

    def close(self) -> None:
        self._redis.close()


def _key(text: str) -> ShardKey:
    stage, rest = text.split("/", 1)
    topic, partition = rest.rsplit("/", 1)
    return ShardKey(stage, topic, int(partition))

"""Checkpoints in Redis: one hash per shard, replaced whole by whoever is not older than what it holds.

A writer looks at the generation and the mark that are held, and its transaction is refused by Redis where the hash has changed
since it looked (WATCH), so a zombie that wakes between a read and a write cannot win. Large values go through no script: Lua
would copy them twice. Redis must keep what it acknowledged: ``appendonly yes`` (the embedded server and docker-compose.yml set
it); ``citywatch doctor`` checks.
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

#: KEYS: shard hash. ARGV: the claimant's group generation. Numbers are compared as decimal text of equal width, because Lua's
#: doubles lose integers beyond 2^53.
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
return claimed
"""

#: Read from the socket at a time: a large shard is hundreds of megabytes, which come sooner in fewer pieces.
_READ_SIZE = 1 << 20

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
                socket_read_size=_READ_SIZE,
            )
        except ValueError as error:
            raise Mend(f"{url!r} is no Redis address ({error})", where="CITYWATCH_REDIS", mend="redis://host:6379/0") from None
        self.format = number
        self._prefix = f"{namespace}:{group}"
        self._claim = self._redis.register_script(_CLAIM)

    def _name(self, key: ShardKey) -> str:
        return f"{self._prefix}:checkpoint:{key}"

    @property
    def _index(self) -> str:
        return f"{self._prefix}:checkpoints"

    def prepare(self, keys: Collection[ShardKey]) -> None:
        return None

    def claim(self, key: ShardKey, generation: int) -> tuple[int, Checkpoint | None]:
        # Read after the claim: from then on no older writer can change it.
        return self.raise_generation(key, generation), self.read(key)

    def raise_generation(self, key: ShardKey, generation: int = 0) -> int:
        try:
            return int(self._claim(keys=[self._name(key)], args=[f"{generation:020d}"]))
        except _AWAY as error:
            raise StoreAway(str(error)) from error

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
            while not self._replaced(key, (generation, mark), value):
                pass  # somebody was between: they may be newer
        except _AWAY as error:
            raise StoreAway(str(error)) from error

    def _replaced(self, key: ShardKey, offered: tuple[int, int], value: Value) -> bool:
        """False where the hash changed meanwhile. Raises Fenced where its generation and mark are later than ``offered``."""
        name = self._name(key)
        with self._redis.pipeline() as line:
            line.watch(name)  # type: ignore[no-untyped-call]
            generation, mark = cast("list[bytes | None]", line.hmget(name, "g", "m"))
            held = int(generation or 0), int(mark or 0)
            if is_older(offered, held):
                raise Fenced(f"{key}: stored {held}, offered {offered}")
            line.multi()
            line.hset(name, items=["g", f"{offered[0]:020d}", "m", f"{offered[1]:020d}", "v", value])
            line.sadd(self._index, str(key))
            try:
                line.execute()
            except redis.WatchError:
                return False
        return True

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


def is_older(offered: tuple[int, int], held: tuple[int, int]) -> bool:
    """Whether a writer of this generation and mark comes too late (a function by itself, so that a test can do without it)."""
    return offered < held


def _key(text: str) -> ShardKey:
    stage, rest = text.split("/", 1)
    topic, partition = rest.rsplit("/", 1)
    return ShardKey(stage, topic, int(partition))

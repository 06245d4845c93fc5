"""Where the producers' partitioner puts a key, so that a partition knows which registered entities it must hear (D7, D9)."""

from __future__ import annotations

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """32-bit murmur2 of Kafka's Java client (org.apache.kafka.common.utils.Utils.murmur2), unsigned.

    >>> murmur2(b"foobar") == -790332482 % 2**32
    True
    """
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole < len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of(key: str, partitions: int) -> int:
    """Partition of a text key.

    >>> partition_of("GAS-W-00123", 1)
    0
    """
    return (murmur2(key.encode("utf-8", "replace")) & 0x7FFFFFFF) % partitions

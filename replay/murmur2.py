"""The partitioner of Kafka's Java client, which all producers of citywatch use (D7), for recordings that have no log yet."""

from __future__ import annotations

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned (org.apache.kafka.common.utils.Utils.murmur2).

    >>> murmur2(b"foobar") == -790332482 % 2**32
    True
    """
    length = len(key)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    rest = key[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes | None, partitions: int) -> int:
    """Where a record with this key goes; one without a key to partition 0.

    >>> partition_of(b"GAS-W-00123", 1)
    0
    """
    return 0 if key is None or partitions == 1 else (murmur2(key) & 0x7FFFFFFF) % partitions

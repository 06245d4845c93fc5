from __future__ import annotations

import pytest

from streams.partitioner import murmur2, partition_of


@pytest.mark.parametrize("key", [b"", b"a", b"ab", b"abc", b"abcd", "桥-7".encode(), b"GAS-W-00123"])
def test_the_hash_of_a_key_is_that_of_kafkas_own_client(key: bytes) -> None:
    from kafka.partitioner.default import murmur2 as reference  # type: ignore[import-not-found,unused-ignore]

    assert murmur2(key) == reference(key) & 0xFFFFFFFF


def test_text_goes_where_its_bytes_go() -> None:
    assert partition_of("桥-7", 7) == partition_of("桥-7".encode(), 7)


def test_a_record_without_a_key_goes_to_partition_zero() -> None:
    assert partition_of(None, 9) == 0


def test_half_a_character_has_a_partition_too() -> None:
    assert 0 <= partition_of("\ud800", 9) < 9

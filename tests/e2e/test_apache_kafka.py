"""What the Apache Kafka of the tests is started with."""

from __future__ import annotations

from base64 import urlsafe_b64decode

from tests.e2e.apache_kafka import cluster_id


def test_a_cluster_id_never_begins_with_a_dash() -> None:
    leading_dash, plain = b"\xf8" + bytes(15), bytes(range(16))
    drawn = iter([leading_dash, leading_dash, plain])
    kept = cluster_id(lambda: next(drawn))
    assert urlsafe_b64decode(kept + "==") == plain


def test_a_drawn_cluster_id_is_sixteen_bytes_in_twenty_two_letters() -> None:
    for _ in range(300):
        kept = cluster_id()
        assert len(kept) == 22
        assert not kept.startswith("-")
        assert len(urlsafe_b64decode(kept + "==")) == 16

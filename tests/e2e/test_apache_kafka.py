"""What the Apache Kafka of the tests is started with."""

from __future__ import annotations

import subprocess
import sys
from base64 import urlsafe_b64decode

from tests.e2e.apache_kafka import ROOT, cluster_id, free_ports


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


def test_ports_that_are_given_are_given_to_nobody_else_meanwhile() -> None:
    """A broker takes seconds until it listens; whoever asks in those seconds, here or in another process, gets others."""
    mine = free_ports(12)
    ask = "from tests.e2e.apache_kafka import free_ports; print(*free_ports(12))"
    run = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    theirs = {int(port) for port in run.stdout.split()}
    again = free_ports(12)
    assert len({*mine, *again}) == 24
    assert {port // 400 for port in theirs}.isdisjoint({port // 400 for port in mine})

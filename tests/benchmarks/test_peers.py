"""Other stream processors do the same job: what can be said of them without having them, and a run where they are."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.servers import Broker
from benchmarks.throughput import Logs, agree, contend, expected, share_of

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-peers/bin/python"


def test_every_peer_has_a_file_of_its_own():
    assert all(importlib.util.find_spec(f"benchmarks.peers.on_{name}") for name in peers.PEERS)


def test_a_peer_that_is_not_installed_or_cannot_run_on_the_broker_is_absent_with_the_reason():
    # This Python has none of them.
    why = peers.absent(sys.executable, "embedded")
    assert set(why) == set(peers.PEERS)
    assert "controller" in why["quixstreams"]


def test_a_python_that_is_not_there_is_told_with_what_makes_it(tmp_path):
    with pytest.raises(RuntimeError, match="make bench-peers"):
        peers.versions(str(tmp_path / "python"))


@pytest.mark.skipif(not PYTHON.exists(), reason="make bench-peers makes the environment of the peers")
@pytest.mark.parametrize("name", [name for name in peers.PEERS if (name, "embedded") not in peers.UNFIT])
def test_a_peer_raises_the_alarms_of_the_pure_stage(name):
    with Broker("embedded") as broker:
        records = share_of(name, 20_000, broker)
        topic = Logs(broker, 250, lambda line: None).of(records)
        run = contend(name, broker, topic, records, [], redis="", sensors=250, python=str(PYTHON))
    assert run["records"] == records
    agree(name, Counter(run["found"]), *expected(records, 250))


def test_the_lock_of_the_peers_pins_and_hashes_every_one():
    lines = (ROOT / "requirements-peers.lock").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line and not line.startswith((" ", "#"))}
    assert {*peers.PEERS, "duckdb"} <= pinned
    assert sum(line.lstrip().startswith("--hash=sha256:") for line in lines) >= len(pinned)

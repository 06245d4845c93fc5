from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import redis

from streams.embedded.redis import EmbeddedRedis, server_binary
from streams.errors import Mend


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  not a file of ours
        return stat.read().split()[2] != "Z"


def test_it_answers_at_its_address():
    with EmbeddedRedis() as server:
        assert redis.Redis.from_url(server.url).ping()


def test_every_change_is_written_to_its_folder(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        redis.Redis.from_url(server.url).set("mark", "7")
    with EmbeddedRedis(tmp_path) as server:
        assert redis.Redis.from_url(server.url).get("mark") == b"7"


def test_it_is_gone_when_it_is_closed():
    server = EmbeddedRedis()
    pid = server.pid
    server.close()
    server.close()
    assert not alive(pid)


def test_a_temporary_folder_goes_with_it():
    server = EmbeddedRedis()
    server.close()
    assert not server.folder.exists()


def test_a_taken_port_is_said_in_one_line(tmp_path):
    with EmbeddedRedis() as first, pytest.raises(Mend, match="Redis did not start"):
        EmbeddedRedis(tmp_path, port=first.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_dies_with_the_process_that_started_it():
    code = (
        "from streams.embedded.redis import EmbeddedRedis as R; import time; s = R(); print(s.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def test_without_a_wheel_the_server_on_the_path_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    own = tmp_path / "redis-server"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert server_binary() == own


def test_without_any_server_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Mend, match=r"no Redis server to run; use Python 3\.11 or 3\.12, or install redis-server, or set CITYWATCH_REDIS"
    ):
        server_binary()

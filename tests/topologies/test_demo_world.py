from __future__ import annotations

import socket

import pytest

from citywatch import main
from streams.errors import Mend
from topologies.demo_world import World


@pytest.fixture
def taken() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_port_somebody_listens_on_is_refused_before_anything_starts(taken: int) -> None:
    with pytest.raises(Mend, match=rf"127\.0\.0\.1:{taken}: cannot listen .*--port"):
        World(taken)


def test_the_demo_says_so_in_one_line(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--port", str(taken)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_worker_that_has_not_started_is_not_alive() -> None:
    with World() as world:
        assert not world.worker_alive()
        assert world.last_words() == "it said nothing"

"""``citywatch replay simulate``: live into a broker, or refused with the mend."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from replay.simulate_commands import start_of
from streams.embedded.broker import EmbeddedBroker
from streams.errors import Mend
from streams.kafka import LogReader

COMMAND = [sys.executable, "-m", "citywatch", "replay", "simulate"]


def test_a_live_feed_registers_its_assets_and_ends_in_order() -> None:
    with EmbeddedBroker() as broker:
        feed = subprocess.Popen(
            [*COMMAND, "--live", "--sensors", "100", "--vehicles", "50", "--scenario", "quiet", "--broker", broker.bootstrap],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert feed.stdout is not None
        assert "assets registered" in feed.stdout.readline()
        with LogReader(broker.bootstrap, ["city.vehicle.positions"]) as reader:
            while not reader.poll(0.2):
                assert feed.poll() is None
        feed.send_signal(signal.SIGINT)
        assert "records fed" in feed.stdout.read()
        assert feed.wait(30) == 0


def test_no_place_to_write_to_is_one_line() -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--live" in done.stderr


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    done = subprocess.run([*COMMAND, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and str(tmp_path) in done.stderr


@pytest.mark.parametrize("text", ["yesterday", "2026-03-02T00:00:00"])
def test_a_start_without_offset_is_refused(text: str) -> None:
    with pytest.raises(Mend, match="offset"):
        start_of(text)

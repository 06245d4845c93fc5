"""``citywatch score`` as people call it: a process, its streams and its exit code."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import citywatch

COMMAND = [sys.executable, "-m", "citywatch", "score"]


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    rng = random.Random(5)
    lines = [f"2024-05-{1 + i // 288:02d} {i // 12 % 24:02d}:{i % 12 * 5:02d}:00,{rng.gauss(20, 1):.4f}" for i in range(600)]
    path = tmp_path / "readings.csv"
    path.write_text("\n".join(["timestamp,value", *lines, "2024-05-03 02:00:00,90", "2024-05-03 02:05:00,"]) + "\n")
    return path


def run(*words: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], capture_output=True, check=False, **streams)  # type: ignore[call-overload]


def test_standard_input_in_pieces_says_what_the_file_says(readings: Path) -> None:
    from_file = run(str(readings))
    text = readings.read_bytes()
    with subprocess.Popen([*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        rng, at = random.Random(2), 0
        while at < len(text):
            size = rng.randrange(1, 700)
            process.stdin.write(text[at : at + size])
            process.stdin.flush()
            at += size
        process.stdin.close()
        piped = process.stdout.read()
    assert piped == from_file.stdout and from_file.returncode == process.returncode == 0
    assert b"1 of 602 rows could not be read: 1 with no value (first: line 603)" in from_file.stderr


def test_a_row_is_answered_while_the_input_stays_open() -> None:
    with subprocess.Popen([*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"time,value\n2024-05-01 08:00,5\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"time,value,anomaly_score,flag\n"
        assert process.stdout.readline() == b"2024-05-01 08:00,5,0,0\n"
        process.stdin.write(b"2024-05-01 08:01,6\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"2024-05-01 08:01,6,0,0\n"
        process.stdin.close()
        assert process.wait() == 0


def test_a_packed_file_with_a_mark_and_bytes_of_another_code_leaves_as_it_came(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbftime,value,note\n2024-05-01 08:00,5,caf\xe9\n"))
    assert run(str(path)).stdout == b"time,value,note,anomaly_score,flag\n2024-05-01 08:00,5,caf\xe9,0,0\n"


def test_a_reader_that_has_seen_enough_ends_it_quietly(readings: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m citywatch score {readings} | head -1", shell=True, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr and done.stdout == b"timestamp,value,anomaly_score,flag\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.csv"], "citywatch: nowhere.csv: is not there; "),
        ([os.curdir], "cannot be read"),
        (["{file}", "--detector", "robust"], "did you mean 'robust_z'"),
        (["{file}", "--value", "val"], "no column 'val'"),
        (["{file}", "--train-rows", "-3"], "--train-rows"),
        (["{file}", "--set", "warmup"], "write NAME=VALUE"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    readings: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert citywatch.main(["score", *(word.format(file=readings) for word in words)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_settings_reach_the_detector(readings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert citywatch.main(["score", str(readings), "--detector", "robust_z", "--set", "freeze=1.5", "--set", "side=above"]) == 0
    assert sum(line.endswith(",1") for line in capsys.readouterr().out.splitlines()) > 5


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        citywatch.main(["score", "--help"])
    assert ended.value.code == 0 and "tail -f" in capsys.readouterr().out

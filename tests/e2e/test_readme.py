"""Every command of the README is executed, in its own order, in an empty folder.

Only what a test cannot wait for is shortened: a demo without an end is interrupted once incidents have appeared, `--seconds 60`
becomes 8, and `make test` is this very run.
"""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from streams.embedded.redis import EmbeddedRedis, free_port
from streams.kafka import Producer
from tests.e2e.conftest import World

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CITYWATCH = [sys.executable, "-m", "citywatch"]
KCAT = shutil.which("kcat")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def commands(heading: str) -> list[list[str]]:
    """The shell commands under a heading, as words."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S) for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


def clean_environment(**extra: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("CITYWATCH_")} | {"PYTHONPATH": str(ROOT)} | extra


def run(words: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    assert words[0] == "citywatch", words
    done = subprocess.run(
        [*CITYWATCH, *words[1:]], cwd=cwd, env=clean_environment(**environment), capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def test_no_command_of_the_readme_is_left_out() -> None:
    told = {heading for heading in re.findall(r"^## (.+)$", README, re.M) if commands(heading)}
    assert told == {"Try it", "Point it at Kafka", "Replay", "Add a hazard"}
    assert len(blocks("python")) == 1


def test_make_demo_shows_incidents_and_ends_with_ctrl_c_leaving_no_process() -> None:
    assert commands("Try it")[0] == ["make", "demo"]
    demo = subprocess.Popen(
        ["make", "demo"], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    seen: list[str] = []
    assert demo.stdout is not None
    for line in demo.stdout:
        seen.append(line)
        if "http" in line and (address := re.search(r"http (\S+)/metrics", line)):
            http = address[1]
        if sum(" opened " in told for told in seen) >= 3:
            break
    else:
        pytest.fail("".join(seen))
    with urllib.request.urlopen(f"{http}/metrics", timeout=5) as answer:
        assert b"citywatch_records_total" in answer.read()
    # What a terminal does on Ctrl-C: SIGINT to the whole foreground group.
    os.killpg(demo.pid, signal.SIGINT)
    demo.stdout.read()
    demo.wait(30)
    left = subprocess.run(["pgrep", "-g", str(demo.pid)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{http}/healthz", timeout=2)


@pytest.mark.skipif(KCAT is None, reason="kcat (Debian package kcat) is not on the PATH")
def test_another_kafka_client_reads_the_demo_incidents() -> None:
    demo = subprocess.Popen(
        [*CITYWATCH, "demo"], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert demo.stdout is not None
        broker = None
        told: set[str] = set()
        for line in demo.stdout:
            if found := re.match(r"broker (\S+) ", line):
                broker = found[1]
            if found := re.search(r" opened .*(\d{6}-\d{8}-[A-Z_]+-[0-9a-f]{8}) r1 ", line):
                told.add(found[1])
            if len(told) >= 2:
                break
        assert broker is not None
        listed = kcat(broker, "-L")
        assert {f'topic "city.incidents{level}" ' in listed for level in ("", ".level1", ".level2", ".level3", ".level4")} == {
            True
        }
        read = [orjson.loads(line) for line in kcat(broker, "-C", "-t", "city.incidents", "-o", "beginning", "-e").splitlines()]
        assert told <= {incident["incident_id"] for incident in read}
        assert all(incident["evidence"] and incident["rule"]["reason"] for incident in read)
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=30)


def kcat(broker: str, *words: str) -> str:
    assert KCAT is not None
    done = subprocess.run([KCAT, "-q", "-b", broker, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_test_is_what_continuous_integration_calls() -> None:
    assert commands("Try it")[1] == ["make", "test"]
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_demo_in_figures_is_one_json_line_that_adds_up(tmp_path: Path) -> None:
    words = commands("Try it")[2]
    assert words == ["citywatch", "demo", "--seconds", "60", "--json"]
    words[words.index("60")] = "8"
    last = orjson.loads(run(words, tmp_path).stdout.splitlines()[-1])
    figures = "records outcomes signals incidents by_level by_stream injected found false alert_latency_ms"
    assert set(last) == set(figures.split())
    assert last["records"] == sum(last["outcomes"].values()) > 0
    assert last["found"] > 0


@pytest.fixture
def redis() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.mark.kafka
def test_pointing_at_kafka_and_the_recipe_of_dispatch(apache: World, redis: EmbeddedRedis, tmp_path: Path) -> None:
    export, *told = commands("Point it at Kafka")
    assert export[0] == "export" and told == [["citywatch", w] if w != "create" else ["citywatch", "topics", "create"] for w in
                                              ("create", "doctor", "worker")]  # fmt: skip
    port = free_port()
    place = {
        "CITYWATCH_BROKER": apache.bootstrap, "CITYWATCH_REDIS": redis.url, "CITYWATCH_WEB_PORT": str(port),
        "CITYWATCH_DEFAULT_CITY": "340100",
    }  # fmt: skip
    run(told[0], tmp_path, **place)
    run(told[1], tmp_path, **place)
    worker = subprocess.Popen([*CITYWATCH, *told[2][1:]], env=clean_environment(**place), start_new_session=True)
    recipe = None
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        recipe = subprocess.Popen(
            [sys.executable, "-u", "-c", blocks("python")[0]], env=clean_environment(**place), stdout=subprocess.PIPE, text=True
        )
        now = int(time.time() * 1000)
        call = {"call_id": "1", "ts": now, "line": "12345", "text": "路面塌陷了一个大坑", "lat": 31.82, "lon": 117.22}
        with Producer(apache.bootstrap) as producer:
            producer.send("city.hotline.calls", orjson.dumps(call), key="1")
            producer.flush_acknowledged()
        assert recipe.stdout is not None
        line = recipe.stdout.readline()
        assert " opened " in line, line
    finally:
        if recipe is not None:
            recipe.kill()
            recipe.wait()
        worker.terminate()
        assert worker.wait(30) == 0


def river_log(path: Path) -> None:
    """A logger file in the form the mapping knows: a calm week, one high water (smaller range = higher water)."""
    columns = "Time [UTC], PresOB [mBar], RH_OB [%], TempOB [C], Temp RTC [C], Bat [V], Range [cm],Pitch [deg],Roll [deg],"
    lines = ["Lib = 0.3.0 SN = 4D02-0001-0036-0000", columns]
    for minute in range(0, 3 * 1440, 5):
        day, hour = 26 + minute // 1440, minute % 1440
        distance = 369.0 if not 2000 < minute < 2400 else 120.0
        lines.append(
            f"2022/05/{day:02d} {hour // 60:02d}:{hour % 60:02d}:37,986.85,71.5,15.1,15.5,4.07,{distance:.2f},46.81,-34.07,"
        )
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def test_the_replay_section(tmp_path: Path) -> None:
    river_log(tmp_path / "Log00035.txt.gz")
    for words in commands("Replay"):
        done = run(words, tmp_path)
        assert done.stdout.strip(), words


def test_the_section_on_adding_a_hazard() -> None:
    for words in commands("Add a hazard"):
        assert run(words, ROOT).stdout.strip()

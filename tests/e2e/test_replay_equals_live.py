"""Law 1 on Apache Kafka: what two workers decided live, one of them ended and started again, is decided again the same.

Four partitions per input topic, made by ``citywatch topics create``; a simulated city fed live; recorded by ``citywatch replay
record``. Then

- ``citywatch replay verify`` finds no difference: signals re-decided from the recorded inputs, incidents from the recorded
  order of ``city.signals``, both byte for byte, repetitions dropped;
- ``citywatch replay run`` over the recorded inputs alone, without ``city.signals``, gives **the same signals** (place in the
  log and what they say) and **the same revisions** (id, revision, bytes) up to the last progress record before the feed's
  end. Left out of that comparison, because the recorded inputs do not decide them: what rests on ``city.sensor.groups`` (a run
  merges groups by the arrival of their members, live they arrive when a worker writes them), and happenings whose
  evidence comes from several partitions (live these meet in the order in which workers read their partitions, in a run by
  arrival). Those two are what ``verify`` is there for.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

import citywatch
from replay.feeder import feed_live, send_registry
from streams.embedded.redis import EmbeddedRedis
from streams.kafka import Producer
from tests.e2e.mirrored_logs import PROGRESS_MS, Told, make_topics, settled
from tests.e2e.test_kill_nine import small_city
from tests.e2e.worker_group import UNHURRIED, WorkerGroup

pytestmark = pytest.mark.kafka

SEED = 41_123


class Live:
    """One live run, recorded; ``until`` is the last progress record before the feed's end."""

    def __init__(self, broker: str, redis: str, folder: Path, kill: bool, apart_s: float, every_s: float) -> None:
        self.prefix = f"r{time.time_ns() // 1_000_000 % 10**9}."
        self.bag, self.folder = folder / "live.bag", folder
        self.broker = broker
        self.group = WorkerGroup(broker, redis, self.prefix, folder, settings={**UNHURRIED, "CITYWATCH_CLOCK_SKEW_S": "1"})
        make_topics(broker, self.prefix)
        city = small_city(SEED, every_s)
        stop = threading.Event()
        with Producer(broker) as producer:
            send_registry(producer, city.registry, self.prefix)
            try:
                self.group.start(0)
                self.group.start(1)
                self.group.await_ready(0, 1)
                city = small_city(SEED, every_s)
                self.sent = 0
                feeder = threading.Thread(
                    target=lambda: setattr(self, "sent", feed_live(producer, city.stream(), None, stop, self.prefix)),
                    daemon=True,
                )
                feeder.start()
                time.sleep(apart_s)
                if kill:
                    self.group.kill(1)
                else:
                    assert self.group.stop(1) == 0, self.group.words()
                time.sleep(apart_s / 2)
                self.group.start(1)
                self.group.await_ready(1)
                time.sleep(apart_s)
                stop.set()
                feeder.join(30)
                self.until = int(time.time() * 1000) // PROGRESS_MS * PROGRESS_MS
                self.told: Told = settled(broker, [self.prefix], self.until)[self.prefix]
                assert [self.group.stop(slot) for slot in (0, 1)] == [0, 0], self.group.words()
            finally:
                stop.set()
                self.group.close()

    def command(self, *words: str) -> int:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CITYWATCH_TOPIC_PREFIX", self.prefix)
            environment.setenv("CITYWATCH_GROUP", self.group.name)
            return citywatch.main(["replay", *words])

    def alone(self, told: dict[str, set[str]]) -> set[str]:
        """Ids whose evidence comes from one partition of an input topic."""
        return {name for name, sources in told.items() if len(sources) <= 1 and not any("groups" in one for one in sources)}


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


def same_again(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything the module's docstring promises of a recording."""
    assert live.told.conflicts == []
    assert live.command("record", str(live.bag), "--broker", live.broker) == 0
    capsys.readouterr()
    exit_code = live.command("verify", str(live.bag), "--json")
    verified = json.loads(capsys.readouterr().out)
    assert (exit_code, verified["differences"]) == (0, [])
    assert verified["signals"] >= len(live.told.signals) > 0
    assert verified["incidents"] == len(live.told.bodies) > 0

    out = live.folder / "run"
    assert live.command("run", str(live.bag), "--out", str(out)) == 0
    assert signals_of_run(out, live) == signals_of_log(live)
    ours, theirs = revisions_of_run(out, live), revisions_of_log(live)
    assert ours == theirs
    with capsys.disabled():
        counts = f"{live.sent} records, {len(live.told.signals)} signals, {len(live.told.bodies)} revisions"
        print(f"\n{counts}; {len(theirs)} of them compared with a run")


#: What a signal says, as far as a run's table and the log's record share their form.
SAID = ("signal_id", "phase", "level", "value", "expected", "threshold", "score", "explanation", "historical", "exercise")


def signals_of_run(out: Path, live: Live) -> dict[tuple, tuple]:
    rows = parquet.read_table(out / "signals.parquet").to_pylist()
    return {
        (row["topic"].removeprefix(live.prefix), row["partition"], row["offset"], row["tick"] or 0, row["n"]): tuple(
            row[name] for name in SAID
        )
        for row in rows
        if row["arrival_ts"].timestamp() * 1000 <= live.until and not row["topic"].endswith("sensor.groups")
    }


def signals_of_log(live: Live) -> dict[tuple, tuple]:
    found = {}
    for body in live.told.signals_until(live.until, but="sensor.groups").values():
        tree = json.loads(body)
        source = tree["source"]
        place = (source["topic"], source["partition"], source["offset"], source.get("tick", 0), source.get("n", 0))
        absent = {"explanation": "", "historical": False, "exercise": False}
        found[place] = tuple(tree.get(name, absent.get(name)) for name in SAID)
    return found


def sources(trees: list[dict]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tree in trees:
        ours = found.setdefault(tree["incident_id"], set())
        ours |= {piece["source"].rpartition("/")[0] for piece in tree["evidence"]}
    return found


def compared(live: Live, out: Path) -> set[str]:
    run = sources([json.loads(line.replace(live.prefix, "")) for line in (out / "incidents.jsonl").read_text().splitlines()])
    log = sources([json.loads(body) for body in live.told.bodies.values()])
    return (live.alone(run) | live.alone(log)) - (run.keys() - live.alone(run)) - (log.keys() - live.alone(log))


def revisions_of_run(out: Path, live: Live) -> dict[tuple[str, int], str]:
    wanted = compared(live, out)
    found = {}
    for line in (out / "incidents.jsonl").read_text().splitlines():
        text = line.replace(f'"{live.prefix}', '"')
        tree = json.loads(text)
        if tree["incident_id"] in wanted and tree["updated_ts"] <= live.until:
            found[tree["incident_id"], tree["revision"]] = text
    return found


def revisions_of_log(live: Live) -> dict[tuple[str, int], str]:
    wanted = compared(live, live.folder / "run")
    return {key: body.decode() for key, body in live.told.until(live.until).items() if key[0] in wanted}


def test_a_restart_in_the_middle_is_replayed_without_a_difference(apache, redis, tmp_path, capsys):
    same_again(Live(apache.bootstrap, redis, tmp_path, kill=False, apart_s=5.0, every_s=0.25), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True], ids=["ended in order", "killed"])
def test_a_longer_run_is_replayed_without_a_difference(apache, redis, tmp_path, capsys, kill):
    same_again(Live(apache.bootstrap, redis, tmp_path, kill=kill, apart_s=40.0, every_s=1.0), capsys)

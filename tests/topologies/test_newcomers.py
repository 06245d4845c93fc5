"""Partitions added to a topic: who belongs to a partition today and spoke in another one before is not silent there."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec
import orjson
import pytest

from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.partitioner import partition_of
from streams.records import Asset, Signal
from streams.registry import Registry
from topologies.detect import DetectStage
from topologies.settings_stages import DetectSettings

START = 1_751_241_600_000
TOPIC, HOME = "city.sensor.readings", 1
BEFORE, TODAY = 4, 6
RULES = RuleBook.of([RuleBook.default()["device-silent"]], RuleBook.default().families)
NAMES = [f"S-{number}" for number in range(180)]
EVERY_S, AFTER_S = 10, 30
#: Who belongs here today and did not before, and the other way round.
CAME = [name for name in NAMES if partition_of(name, TODAY) == HOME != partition_of(name, BEFORE)]
LEFT = [name for name in NAMES if partition_of(name, BEFORE) == HOME != partition_of(name, TODAY)]
STAYED = [name for name in NAMES if partition_of(name, BEFORE) == HOME == partition_of(name, TODAY)]

Row = tuple[int, str]


def registry(names: Iterable[str] = NAMES) -> Registry:
    facts = {"from": 0, "metric": "ch4", "interval_s": EVERY_S, "report_after_s": AFTER_S}
    rows = [
        {"asset_id": name, "kind": "sensor", "periods": [facts | {"gateway": f"GW-{number % 5}"}]}
        for number, name in enumerate(names)
    ]
    return Registry.from_assets([msgspec.convert(row, Asset) for row in rows])


def speaking(names: Iterable[str], since_s: int, until_s: int) -> list[Row]:
    """(seconds, who) of a reading each ``EVERY_S``, by and by."""
    every = list(names)
    return [
        (second, name)
        for second in range(since_s, until_s)
        for number, name in enumerate(every)
        if (second - since_s) % EVERY_S == number % EVERY_S
    ]


def grown(added_s: int, until_s: int, *, dead: Iterable[str] = ()) -> list[Row]:
    """The partition's log where the topic got its partitions at ``added_s``; ``dead`` never speak."""
    gone = set(dead)
    before = speaking([name for name in (*STAYED, *LEFT) if name not in gone], 0, added_s)
    return before + speaking([name for name in (*STAYED, *CAME) if name not in gone], added_s, until_s)


def fresh(partitions: int = TODAY, names: Iterable[str] = NAMES) -> DetectStage:
    return DetectStage(TOPIC, HOME % partitions, RULES, registry(names), DetectSettings(partitions=partitions))


def told(stage: DetectStage, rows: list[Row], cuts: Iterable[int] = (), restart: bool = False) -> list[tuple[str, str, int]]:
    """(entity, phase, seconds) of every signal."""
    found: list[tuple[str, str, int]] = []
    for start, stop in itertools.pairwise([0, *cuts, len(rows)]):
        part = rows[start:stop]
        arrivals = [START + 1000 * second + 1 for second, _ in part]
        values = [
            orjson.dumps({"sensor_id": name, "metric": "ch4", "ts": arrival, "value": 1.0})
            for (_, name), arrival in zip(part, arrivals, strict=True)
        ]
        done = stage.process(RawBatch(TOPIC, stage.partition, list(range(start, stop)), arrivals, values, [None] * len(part)))
        found += [(one.entity, one.phase, (one.arrival_ts - START) // 1000) for one in done.signals if isinstance(one, Signal)]
        if restart:
            stage = DetectStage.restore(TOPIC, HOME, RULES, stage.registry, stage.settings, stage.snapshot())
    return found


@pytest.mark.parametrize("added_s", [41, 600, 5000])
def test_whoever_spoke_elsewhere_before_partitions_were_added_is_not_silent(added_s: int) -> None:
    assert len(CAME) > 10 < len(LEFT)
    assert told(fresh(), grown(added_s, added_s + 300)) == []


@pytest.mark.parametrize("away_s", [20, 45, 400])
def test_nor_where_nothing_came_at_all_for_a_while_before(away_s: int) -> None:
    """What it heard then is silent, and comes back; of those that come later nothing is said."""
    rows = [(second + away_s if second >= 200 else second, name) for second, name in grown(900, 1200)]
    assert {entity for entity, _, _ in told(fresh(), rows)} & {*CAME} == set()


def test_who_never_spoke_is_missed_once_the_log_is_from_today() -> None:
    lost = CAME[0]
    found = told(fresh(), grown(600, 900, dead=[lost]))
    assert [(entity, phase) for entity, phase, _ in found] == [(lost, "raised")]
    # None of those that have left for as long as it may be silent, the next whole minute, and its time to report.
    assert found[0][2] == 660 + AFTER_S + 1


@pytest.mark.parametrize("step", [1, 7, 97])
@pytest.mark.parametrize("restart", [False, True])
def test_it_does_not_depend_on_where_batches_are_cut_nor_on_a_restart(step: int, restart: bool) -> None:
    rows = grown(100, 260, dead=[CAME[0], STAYED[0]])
    whole = told(fresh(), rows)
    assert {entity for entity, _, _ in whole} == {CAME[0], STAYED[0]}
    assert told(fresh(), rows, range(step, len(rows), step), restart) == whole


def test_in_a_log_of_today_who_never_spoke_is_missed_after_the_first_look() -> None:
    lost = CAME[0]
    rows = speaking([name for name in (*STAYED, *CAME) if name != lost], 0, 300)
    # Enough of today's are heard at the first whole minute a minute after the beginning.
    assert told(fresh(), rows) == [(lost, "raised", 60 + AFTER_S + 1)]


def test_in_a_topic_of_one_partition_nobody_waits() -> None:
    lost, others = NAMES[0], NAMES[1:]
    assert told(fresh(partitions=1), speaking(others, 0, 100)) == [(lost, "raised", AFTER_S)]


def test_a_few_who_speak_in_the_wrong_partition_hide_nobody() -> None:
    lost = CAME[0]
    rows = speaking([*STAYED, *CAME[1:], *LEFT[:3]], 0, 400)
    assert told(fresh(), rows) == [(lost, "raised", 60 + AFTER_S + 1)]


def test_of_a_few_entities_the_one_that_never_spoke_is_missed_when_its_time_has_passed_twice() -> None:
    lost, other = CAME[:2]
    assert told(fresh(names=[lost, other]), speaking([other], 0, 200)) == [(lost, "raised", 60 + AFTER_S + 1)]

"""The cases of a rule, run through the real detect stage: what a rule file promises is what the stage does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from detectors.rule import Case, Rule
from detectors.rulebook import RuleBook
from streams.batch import RawBatch
from streams.records import Asset, Signal
from streams.registry import Registry
from streams.topics import TOPICS
from topologies.detect import DetectStage
from topologies.settings_stages import DetectSettings

#: 2025-06-30 08:00 +08:00, a Monday morning.
START = 1_751_241_600_000
_ENTITY = {"sensor": "sensor_id", "group": "sensor_id", "vehicle": "vehicle_id", "video": "camera_id", "hotline": "call_id"}


@dataclass(slots=True, frozen=True)
class Outcome:
    """What one case came to; ``problem`` is empty where it holds."""

    rule: str
    case: str
    problem: str = ""
    found: tuple[dict[str, Any], ...] = ()

    @property
    def held(self) -> bool:
        return not self.problem


def run_cases(book: RuleBook, rule: Rule) -> Iterator[Outcome]:
    """Every case of a rule, each in a fresh stage that knows this rule alone."""
    alone = RuleBook.of([rule], book.families)
    for case in rule.case:
        yield run_case(alone, rule, case)


def run_case(book: RuleBook, rule: Rule, case: Case) -> Outcome:
    """One case; the records arrive in the order of ``arrives_s``, the rest of the time passes idly."""
    stream = _stream(rule)
    topic = next(topic for topic in TOPICS if topic.stream == stream).name("city.")
    assets = [msgspec.convert(_asset(asset), Asset) for asset in case.assets]
    stage = DetectStage(topic, 0, book, Registry.from_assets(assets), DetectSettings())
    rows = sorted(_records(rule, case), key=lambda row: row[0])
    raw = RawBatch(
        topic,
        0,
        list(range(len(rows))),
        [arrival for arrival, _, _ in rows],
        [orjson.dumps(record) for _, _, record in rows],
        [key for _, key, _ in rows],
    )
    done = stage.process(raw)
    signals = [signal for signal in done.signals if isinstance(signal, Signal)]
    if case.until_s is not None:
        later = stage.idle(START + round(case.until_s * 1000), len(rows))
        signals += [signal for signal in later.signals if isinstance(signal, Signal)]
    lost = [letter.detail or letter.reason for letter in done.dead] + [item.detail or item.reason for item in done.quarantined]
    found = tuple(
        {"at_s": round((signal.ts - START) / 1000, 3), "phase": signal.phase, "level": signal.level, "entity": signal.entity}
        for signal in signals
    )
    problem = f"records of the case cannot be used: {lost[0]}" if lost else _differs(case, found)
    return Outcome(rule.name, case.name, problem, found)


def _differs(case: Case, found: tuple[dict[str, Any], ...]) -> str:
    for i, expected in enumerate(case.expect):
        if i >= len(found):
            return f"expected {_say(expected)}, and nothing more came"
        wrong = [name for name, value in expected.items() if found[i][name] != value]
        if wrong:
            return f"expected {_say(expected)}, got {_say(found[i])}"
    if len(found) > len(case.expect):
        return f"unexpected {_say(found[len(case.expect)])}"
    return ""


def _say(signal: dict[str, Any]) -> str:
    level = f" level {signal['level']}" if "level" in signal else ""
    return f"{signal['phase']}{level} at {signal['at_s']:g} s" if "at_s" in signal else f"{signal['phase']}{level}"


def _stream(rule: Rule) -> str:
    """A rule for any stream is shown sensors."""
    return "sensor" if rule.match.stream == "any" else rule.match.stream


def _asset(given: dict[str, Any]) -> dict[str, Any]:
    """``period`` is shorthand for one period."""
    asset = dict(given)
    if "period" in asset:
        asset["periods"] = [asset.pop("period")]
    return asset


def _records(rule: Rule, case: Case) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """(arrival, key, wire record) of every record of the case."""
    stream = _stream(rule)
    rows: list[dict[str, Any]] = [dict(record) for record in case.records]
    metric = rule.match.metrics[0] if rule.match.metrics else "value"
    for at_s, value in case.series:
        rows.append({"at_s": at_s, "sensor_id": "S-1", "metric": metric, "value": value, **case.common})
    for row in rows:
        at_s = float(row.pop("at_s", 0.0))
        arrival = START + round(1000 * float(row.pop("arrives_s", at_s)))
        key = str(row.pop("group", row.get(_ENTITY[stream], "")))
        record = {"ts": START + round(1000 * at_s), **row}
        yield arrival, key.encode(), record

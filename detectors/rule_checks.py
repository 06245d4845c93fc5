"""What a rule must mean, beyond its form: a ladder that climbs, a detector that knows its parameters, cases that show it.

Each check yields ``(place, what, mend)``; :mod:`detectors.rulebook` puts the file in front.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from detectors.base import Detector
from detectors.families import HAZARD_PATTERN, Families
from detectors.rule import Bound, Limit, Rule, Rung
from detectors.toml_form import Problem, mistakes, nearest

#: Limits of an asset that the contract names; a rule may name others in ``match.needs_limits``.
KNOWN_LIMITS = frozenset({"low", "high", "warning", "guaranteed", "record", "design", "set_point", "speed_kmh"})
EXPECT_FIELDS = frozenset({"at_s", "phase", "level", "entity"})
HANDLE_PATTERN = r"^\d+(\.\d+)?(uh|wh|wd)$"

Detectors = Mapping[str, type[Detector[Any]]]


def check(rule: Rule, detectors: Detectors, families: Families) -> Iterator[Problem]:
    """Every problem of meaning in one rule."""
    if not re.match(HAZARD_PATTERN, rule.hazard):
        yield "hazard", f"{rule.hazard!r} is no hazard code", "write it as GAS-01"
    if not re.match(HANDLE_PATTERN, rule.deadlines.handle):
        yield "deadlines.handle", f"{rule.deadlines.handle!r} is no deadline", "write 2uh, 4wh or 5wd"
    yield from _detector(rule, detectors)
    yield from _family(rule, families)
    yield from _ladder(rule)
    yield from _limits(rule)
    yield from _moments(rule)
    if rule.opens_with is not None and rule.opens:
        yield "opens_with", "the rule opens incidents by itself", "say opens = false, or leave opens_with out"
    yield from _cases(rule)


def _detector(rule: Rule, detectors: Detectors) -> Iterator[Problem]:
    name = rule.detector.get("use")
    if not isinstance(name, str):
        yield "detector.use", "is missing", f"name one of {', '.join(sorted(detectors))}"
        return
    if name not in detectors:
        yield "detector.use", f"no detector {name!r}", nearest(name, detectors)
        return
    detector = detectors[name]
    given = {key: value for key, value in rule.detector.items() if key != "use"}
    wrong = mistakes(given, detector.Params, "detector")
    yield from wrong
    if not wrong:
        # What a struct checks of itself as a whole (``__post_init__``) comes as a sentence without a place.
        try:
            msgspec.convert(given, detector.Params)
        except (msgspec.ValidationError, ValueError) as error:
            yield "detector", str(error), f"see the docstring of detectors.{name}"
    allowed = "any" if detector.of_stream else ", ".join(sorted(detector.streams))
    if rule.match.stream not in allowed.split(", "):
        yield "match.stream", f"{name} does not read the stream {rule.match.stream!r}", f"it reads {allowed}"
    if rule.direction == "below" and not detector.signed:
        yield "direction", f"the measure of {name} grows with the trouble", 'leave direction at "above"'


def _family(rule: Rule, families: Families) -> Iterator[Problem]:
    if rule.family not in families:
        yield "family", f"no family {rule.family!r} in families.toml", nearest(rule.family, families)
    elif rule.category not in families[rule.family].categories:
        known = families[rule.family].categories
        yield "category", f"{rule.category!r} is not of the family {rule.family!r}", nearest(rule.category, known)


def _compare(a: Bound, b: Bound) -> float | None:
    """a − b where it can be told without an asset: two numbers, or the same limit with one thing different."""
    if isinstance(a, Limit) and isinstance(b, Limit):
        if a.limit != b.limit:
            return None
        if a.times == b.times:
            return a.plus - b.plus
        return a.times - b.times if a.plus == b.plus else None
    if isinstance(a, Limit) or isinstance(b, Limit):
        return None
    return a - b


def _say(bound: Bound) -> str:
    if not isinstance(bound, Limit):
        return f"{bound:g}"
    times = f" × {bound.times:g}" if bound.times != 1 else ""
    plus = f" {'+' if bound.plus > 0 else '−'} {abs(bound.plus):g}" if bound.plus else ""
    return f"limit {bound.limit}{times}{plus}"


def _ladder(rule: Rule) -> Iterator[Problem]:
    sign = -1.0 if rule.direction == "below" else 1.0
    beyond, within = ("above", "below") if sign > 0 else ("below", "above")
    seen: dict[int, tuple[int, Rung]] = {}
    for i, rung in enumerate(rule.levels):
        place = f"levels[{i}]"
        for name, bound in (("raise", rung.raise_), ("clear", rung.clear)):
            numbers = (bound.times, bound.plus) if isinstance(bound, Limit) else (bound or 0.0,)
            if not all(math.isfinite(number) for number in numbers):
                yield f"{place}.{name}", f"{bound!r} is no bound", "give a finite number"
        if rung.level in seen:
            yield f"{place}.level", f"a second rung of level {rung.level}", "a level has one rung"
            continue
        for level, (k, other) in sorted(seen.items()):
            severe, mild = (rung, other) if rung.level < level else (other, rung)
            apart = _compare(severe.raise_, mild.raise_)
            longer = severe.for_s > mild.for_s or severe.for_count > mild.for_count
            if apart is not None and (sign * apart < 0 or (apart == 0 and not longer)):
                yield (
                    f"{place}.raise",
                    f"level {severe.level} raises at {_say(severe.raise_)}, level {mild.level} at {_say(mild.raise_)}",
                    f"the more severe level must lie further {beyond} (compare levels[{k}]), or last longer",
                )
        seen[rung.level] = (i, rung)
        if rung.clear is not None:
            apart = _compare(rung.clear, rung.raise_)
            if apart is not None and sign * apart > 0:
                yield (
                    f"{place}.clear",
                    f"clear {_say(rung.clear)} lies beyond raise {_say(rung.raise_)}",
                    f"put clear {within} raise (direction is {rule.direction!r})",
                )
        if rung.for_mode == "any" and (rung.for_s == 0 or rung.for_count == 1):
            yield f"{place}.for_mode", '"any" of one condition always holds', "give both for_s and a for_count above 1"


def _limits(rule: Rule) -> Iterator[Problem]:
    known = KNOWN_LIMITS | set(rule.match.needs_limits)
    for i, rung in enumerate(rule.levels):
        for name, bound in (("raise", rung.raise_), ("clear", rung.clear)):
            if isinstance(bound, Limit) and bound.limit not in known:
                mend = nearest(bound.limit, known) + ", or name it in match.needs_limits"
                yield f"levels[{i}].{name}.limit", f"no limit {bound.limit!r}", mend
    both = set(rule.match.needs_limits) & set(rule.match.without_limits)
    if both:
        yield "match.without_limits", f"{sorted(both)[0]!r} is needed and excluded", "take it out of one of the two"


def _moments(rule: Rule) -> Iterator[Problem]:
    if not rule.momentary:
        return
    for i, rung in enumerate(rule.levels):
        if rung.clear is not None or rung.hold_s or rung.hold_count != 1:
            yield f"levels[{i}]", "a momentary alarm has no end to hold", "leave out clear, hold_s and hold_count"


def _cases(rule: Rule) -> Iterator[Problem]:
    if not any(case.expect for case in rule.case):
        yield "case", "no [[case]] expects a signal", "add one that shows the rule raising"
    if not any(not case.expect for case in rule.case):
        yield "case", "no [[case]] expects silence", "add one with expect = [] just inside the bounds"
    levels = {rung.level for rung in rule.levels}
    for i, case in enumerate(rule.case):
        place = f"case[{i}]"
        if not case.records and not case.series and case.until_s is None:
            yield place, "nothing happens in it", "give records, a series or until_s"
        for k, expected in enumerate(case.expect):
            where = f"{place}.expect[{k}]"
            for name in set(expected) - EXPECT_FIELDS:
                yield f"{where}.{name}", f"no field {name!r}", nearest(name, EXPECT_FIELDS, "fields here are")
            phase = expected.get("phase")
            if phase not in ("raised", "updated", "cleared"):
                yield f"{where}.phase", f"{phase!r} is no phase", "write raised, updated or cleared"
            level = expected.get("level")
            if level not in levels and not (level is None and phase == "cleared"):
                yield f"{where}.level", f"the rule has no level {level!r}", f"it has {sorted(levels)}"
